"""Stores of older versions: read through views, and migrated in place when a run goes on with them.

A new field with a default needs nothing here: its column is added (see `add_columns`). Every other change of a table
needs a new version: the schema of the earlier one in a file, and the SQL that shows its tables as the present ones.

Version 1 has neither token ids nor the turn keys of today, so a run in it can be read but not resumed. Version 2 has
the same contents as version 3, without constraints.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from society.store.rows import INDEXES, TABLES

VERSION = "3"
"""Version of the stores that this program writes."""

_EXAMPLES = (
    "iteration, learner, agent, number, iteration AS source_iteration, item AS source_item, phase AS source_phase,"
    " round AS source_round, speaker AS source_agent, sample AS source_sample, rule"
)
_PRESENT = {
    "1": {"turns": "*, chat AS messages, status = 'ok' OR text != '' AS replied", "examples": _EXAMPLES},
    "2": {"turns": "*, chat AS messages", "examples": _EXAMPLES},
}
"""SQL for the present columns of the tables of an older version. Tables that are not listed have not changed."""
READABLE = (*_PRESENT, VERSION)
"""Versions that this program reads."""
RESUMABLE = ("2", VERSION)
"""Versions whose turn keys and model hashes mean the same as today: runs can go on with them and reuse their turns."""


def show_as_present(db: sqlite3.Connection, version: str) -> None:
    """Make every query through this connection see the tables of the present version. The file stays as it is."""
    for table, columns in _PRESENT.get(version, {}).items():
        number = "rowid AS rowid, " if TABLES[table].ordered else ""
        db.execute(f"CREATE TEMP VIEW {table} AS SELECT {number}{columns} FROM main.{table}")


def migrate(db: sqlite3.Connection, version: str) -> None:
    """Rewrite the tables of an older version as those of the present one, in one transaction."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        for table in TABLES.values():
            present, old = _PRESENT[version].get(table.name, "*"), f"{table.name}_{version}"
            found = [name for name in table.columns if name in _list_columns(db, f"SELECT {present} FROM {table.name}")]
            order = "ORDER BY rowid" if table.ordered else ""
            names = ", ".join(found)
            db.execute(f"ALTER TABLE {table.name} RENAME TO {old}")
            db.execute(table.schema())
            db.execute(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM (SELECT {present} FROM {old} {order})")
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


def _list_columns(db: sqlite3.Connection, query: str) -> Iterable[str]:
    return [column[0] for column in db.execute(f"{query} LIMIT 0").description]


def schema_file(version: str) -> str:
    """Return the name of the file with the schema of this older version."""
    return f"schema_{version}.sql"
