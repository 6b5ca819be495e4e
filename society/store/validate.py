"""Checks that a run store is what this program writes, before anything is read from it: it may come from a stranger.

A SQLite file can hold triggers, views and functions that run when it is read or written, values of the wrong type, and
damage made to crash its reader. So its schema must be ours and its pages sound, and every value must satisfy the
constraints of its table. A file is checked whole when this process first opens it, which takes about as long as reading
it once. A command that reads a few rows has only these checked. What constraints cannot say, such as the form of JSON,
is checked as each row is read.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from society.core.errors import RunFolderError
from society.store.migrate import READABLE, VERSION, schema_file
from society.store.rows import INDEXES, TABLES
from society.store.table import Table

LARGEST_VALUE = 50_000_000
"""Maximum size of a value in a store, in bytes."""
TOO_LARGE = f"it holds a value of more than {LARGEST_VALUE:,} bytes"
"""Fault of a store with a larger value."""
NO_STORE = "Name another folder, or restore this one from a copy."
"""Remedy for a file that is no run store."""
_seen: set[tuple[str, int, int]] = set()


def limit(db: sqlite3.Connection) -> None:
    """Let the file's schema call only harmless functions, and let no value be huge. This comes before any query."""
    db.execute("PRAGMA trusted_schema=OFF")
    db.execute("PRAGMA cell_size_check=ON")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)


def find_fault_in_meta(db: sqlite3.Connection) -> str:
    """Return why the file has no table `meta` of any version, or "" if it has one.

    That one is no view, and nothing in it is computed when it is read.
    """
    found = _query(db, "SELECT type, name, sql FROM sqlite_master WHERE name = 'meta'")
    kinds = [(kind, name, _strip(str(sql))) for kind, name, sql in found]
    if not kinds:
        return "it has no table 'meta'"
    ours = any(kinds == [("table", "meta", _schema(version)["table", "meta"])] for version in READABLE)
    return "" if ours else "its table 'meta' is not ours"


def check_contents(db: sqlite3.Connection, path: Path) -> None:
    """Check the pages and values of a file, unless this process has checked it before.

    Raises `RunFolderError`, which says what is wrong, for a file that this program did not write.
    """
    status = path.stat()
    place = (str(path.resolve()), status.st_dev, status.st_ino)
    if place in _seen:
        return
    try:
        [(verdict,)] = _query(db, "PRAGMA quick_check(1)")
        if verdict != "ok":
            raise refuse(path, f"{verdict!s:.200}")
        for table in TABLES.values():
            check_values(db, path, table)
    except sqlite3.DataError as error:
        raise refuse(path, TOO_LARGE) from error
    _seen.add(place)


def refuse(path: Path, fault: str) -> RunFolderError:
    """Return the error for a file that this program did not write."""
    return RunFolderError(
        f"{path} is no run store that society wrote: {fault}.",
        "If the run is your own, restore its folder from a copy.",
    )


def _refuse_object(path: Path, fault: str, name: str) -> RunFolderError:
    """Return the error for an object of this name that no version of the schema has."""
    if name not in TABLES:
        return refuse(path, fault)
    return RunFolderError(
        f"{path} is no run store that a released version of society wrote: {fault}.",
        "If the run is your own, an unreleased version wrote it: read it with a checkout of the source of that time. "
        "Otherwise, restore its folder from a copy.",
    )


def check_schema(db: sqlite3.Connection, path: Path, version: str) -> None:
    """Raise `RunFolderError` for any object that our schema does not have. A missing table is left to its reader."""
    for kind, name, sql in _query(db, "SELECT type, name, sql FROM sqlite_master"):
        if str(name).startswith("sqlite_autoindex_") and sql is None:
            continue
        ours = _schema(version).get((kind, name))
        if version == VERSION and kind == "table" and str(sql).startswith(f"CREATE TABLE {name} ("):
            ours = _schema_of(db, str(name)) or ours
        if ours != _strip(str(sql)):
            raise _refuse_object(path, _compare_columns(db, version, str(kind), str(name), str(sql)), str(name))


def _compare_columns(db: sqlite3.Connection, version: str, kind: str, name: str, sql: str) -> str:
    """Return how an object of the file differs from ours of the same name: by a column of a table, if possible."""
    ours = _columns(version).get(name, []) if kind == "table" and sql.startswith(f"CREATE TABLE {name} (") else []
    if not ours:
        return f"it has the {kind:.20} {name!r:.60}, which is not ours"
    found = [str(row[1]) for row in _query(db, f"PRAGMA table_xinfo({name})")]
    for column in found:
        if column not in ours:
            return f"its table {name!r} has the column {column!r:.60}, which is not ours"
    for column in ours:
        if column not in found:
            return f"its table {name!r} is not ours: it lacks the column {column!r}"
    return f"its table {name!r} is not ours: it has our columns, but with other types, constraints or defaults"


@cache
def _columns(version: str) -> dict[str, list[str]]:
    """Return the columns of the tables of a version's schema, by table."""
    with closing(_make_empty(version)) as db:
        names = [str(name) for kind, name in _schema(version) if kind == "table"]
        return {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in names}


def _schema_of(db: sqlite3.Connection, name: str) -> str | None:
    """Return the SQL of a table of ours with the columns that the file's table has, in their order; else None.

    An older society did not know the newest columns, and a column that was added later stands last.
    """
    table = TABLES.get(name)
    names = [str(row[1]) for row in _query(db, f"PRAGMA table_info({name})")] if table else []
    return _strip(table.schema(names)) if table and table.missing(names) is not None else None


@cache
def _schema(version: str) -> dict[tuple[object, object], str]:
    """Return the SQL of every object of a version's schema, by type and name."""
    with closing(_make_empty(version)) as db:
        rows = db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(kind, name): _strip(sql) for kind, name, sql in rows}


def _make_empty(version: str) -> sqlite3.Connection:
    """Return an empty store of a version, in memory."""
    if version == VERSION:
        statements = [table.schema() for table in TABLES.values()] + list(INDEXES.values())
    else:
        statements = [(files("society.store") / schema_file(version)).read_text()]
    db = sqlite3.connect(":memory:")
    db.executescript(";".join(statements))
    return db


def _strip(sql: str) -> str:
    """Return SQL without comments and repeated spaces."""
    return " ".join(re.sub(r"--[^\n]*", " ", sql).split())


def check_values(
    db: sqlite3.Connection, path: Path, table: Table[Any], where: str = "1", parameters: Sequence[object] = ()
) -> None:
    """Raise `RunFolderError` for the first value of these rows that the constraints of the table do not allow.

    `where` is SQL over the columns. Tables of older versions have no constraints, and `quick_check` ignores them in a
    file that is opened read-only.
    """
    columns = {column[0] for column in db.execute(f"SELECT * FROM {table.name} LIMIT 0").description}
    rules = {name: rule for name, rule in table.rules().items() if name in columns}
    rows = f"FROM {table.name} WHERE ({where}) AND NOT"
    if not _query(db, f"SELECT 1 {rows} ({' AND '.join(rules.values())}) LIMIT 1", parameters):
        return
    for name, rule in rules.items():
        shown = (*table.key, name)
        for values in _query(db, f"SELECT {', '.join(shown)} {rows} ({rule}) LIMIT 1", parameters):
            fault = f"expected {table.expect(name)}"
            raise refuse(path, table.describe(dict(zip(shown, values, strict=True)), name, fault))
    raise refuse(path, f"a value of its table {table.name!r} is not allowed")


_ORPHANS = """
SELECT 1 FROM examples AS e WHERE NOT EXISTS (
  SELECT 1 FROM turns AS t WHERE t.iteration = e.source_iteration AND t.item = e.source_item
  AND t.sample = e.source_sample AND t.phase = e.source_phase AND t.round = e.source_round AND t.agent = e.source_agent
) OR NOT EXISTS (
  SELECT 1 FROM adapters AS a WHERE a.iteration = e.iteration AND a.learner = e.learner AND a.agent = e.agent
) LIMIT 1
"""


def check_examples(db: sqlite3.Connection, path: Path) -> None:
    """Raise `RunFolderError` for a training row without its turn or its adapter."""
    if _query(db, _ORPHANS):
        raise refuse(path, "a training row has no turn that it comes from, or no adapter that learned it")


def _query(db: sqlite3.Connection, query: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """Return rows as tuples, whatever the connection's row factory is."""
    cursor = db.cursor()
    cursor.row_factory = None
    return cursor.execute(query, parameters).fetchall()
