"""Stores of older versions: read through views, and migrated in place before the first write of a run.

A new field with a default needs nothing here: its column is added (see `add_columns`). Every other change of a table
needs a new version: the schema of the earlier one in a file, and the SQL that shows its tables as the present ones.

Version 1 has neither token ids nor the turn keys of today, so a run in it can be read but not resumed. Version 2 has
the same contents as version 3, without constraints. Version 3 has neither thoughts nor replies that end for any other
reason than `stop`, `stop_text` and `length`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from society.store.rows import INDEXES, TABLES
from society.store.table import Table

VERSION = "4"
"""Version of the stores that this program writes."""

_EXAMPLES = (
    "iteration, learner, agent, number, iteration AS source_iteration, item AS source_item, phase AS source_phase,"
    " round AS source_round, speaker AS source_agent, sample AS source_sample, rule"
)
_PRESENT = {
    "1": {"turns": "*, chat AS messages, status = 'ok' OR text != '' AS replied", "examples": _EXAMPLES},
    "2": {"turns": "*, chat AS messages", "examples": _EXAMPLES},
    "3": {},
}
"""SQL for the present columns of the tables of an older version. Tables that are not listed have not changed."""
READABLE = (*_PRESENT, VERSION)
"""Versions that this program reads."""
RESUMABLE = ("2", "3", VERSION)
"""Versions whose turn keys and model hashes mean the same as today: runs can go on with them and reuse their turns."""


def show_as_present(db: sqlite3.Connection, version: str) -> None:
    """Make every query through this connection see the tables of the present version. The file stays as it is."""
    if version == VERSION:
        return
    for table in TABLES.values():
        names = _list_present(db, table, version)
        db.execute(f"CREATE TEMP VIEW {table.name} AS {_select_present(table, version, names, table.name)}")


def migrate(db: sqlite3.Connection, version: str) -> None:
    """Rewrite the tables of an older version as those of the present one, and drop the views, in one transaction."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        for name in TABLES:
            db.execute(f"DROP VIEW temp.{name}")
        for table in TABLES.values():
            names, old = _list_present(db, table, version), f"{table.name}_{version}"
            order = "ORDER BY rowid" if table.ordered else ""
            columns = ", ".join(names)
            db.execute(f"ALTER TABLE main.{table.name} RENAME TO {old}")
            db.execute(table.schema())
            present = _select_present(table, version, names, old)
            db.execute(f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM ({present}) {order}")
            db.execute(f"DROP TABLE {old}")
        create_indexes(db)
        db.execute("UPDATE meta SET value = ? WHERE name = 'store_version'", (VERSION,))


def create_indexes(db: sqlite3.Connection) -> None:
    """Create every index."""
    for statement in INDEXES.values():
        db.execute(statement)


def add_columns(db: sqlite3.Connection) -> None:
    """Add the columns that a store of the present version lacks because an older society wrote it."""
    for table in TABLES.values():
        for name in table.missing(_list_columns(db, f"SELECT * FROM main.{table.name}")) or ():
            db.execute(f"ALTER TABLE {table.name} ADD COLUMN {table.define(name)}")


def _select_present(table: Table[Any], version: str, names: Sequence[str], source: str) -> str:
    """Return SQL for the rows of an older version's table with these present columns, and with its row ids."""
    number = "rowid AS rowid, " if table.ordered else ""
    columns = ", ".join(f"{table.absorb(name)} AS {name}" for name in names)
    return f"SELECT {number}{columns} FROM (SELECT {number}{_present_columns(table, version)} FROM main.{source})"


def _present_columns(table: Table[Any], version: str) -> str:
    return _PRESENT[version].get(table.name, "*")


def _list_present(db: sqlite3.Connection, table: Table[Any], version: str) -> list[str]:
    """Return the columns of a present table that the file of an older version has."""
    present = _list_columns(db, f"SELECT {_present_columns(table, version)} FROM main.{table.name}")
    return [name for name in table.columns if name in present]


def _list_columns(db: sqlite3.Connection, query: str) -> list[str]:
    return [column[0] for column in db.execute(f"{query} LIMIT 0").description]


def schema_file(version: str) -> str:
    """Return the name of the file with the schema of this older version."""
    return f"schema_{version}.sql"
