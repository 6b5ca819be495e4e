"""Checks that a run store is what this program writes, before anything is read from it: it may come from a stranger.

A SQLite file can hold triggers, views and functions that run when it is read or written, values of the wrong type, and
damage made to crash its reader. So its schema must be ours and its pages sound, and every value must satisfy the
constraints of its table. A file is checked whole when this process first opens it, which takes about as long as reading
it once. What constraints cannot say, such as the form of JSON, is checked as each row is read.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path

from society.core.errors import RunFolderError
from society.store.migrate import READABLE, VERSION, schema_file
from society.store.rows import INDEXES, TABLES

LARGEST_VALUE = 50_000_000
"""Maximum size of a value in a store, in bytes."""
_seen: set[tuple[str, int, int]] = set()


def limit(db: sqlite3.Connection) -> None:
    """Let the file's schema call only harmless functions, and let no value be huge. This comes before any query."""
    db.execute("PRAGMA trusted_schema=OFF")
    db.execute("PRAGMA cell_size_check=ON")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)


def has_our_meta(db: sqlite3.Connection) -> bool:
    """Return whether the file has the table `meta` of some version: no view, and nothing computed when it is read."""
    found = _query(db, "SELECT type, name, sql FROM sqlite_master WHERE name = 'meta'")
    kinds = [(kind, name, _strip(str(sql))) for kind, name, sql in found]
    return any(kinds == [("table", "meta", _schema(version)["table", "meta"])] for version in READABLE)


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
        _check_values(db, path)
    except sqlite3.DataError as error:
        raise refuse(path, f"it holds values that cannot be read: {error}") from error
    _seen.add(place)


def refuse(path: Path, fault: str) -> RunFolderError:
    """Return the error for a file that this program did not write."""
    return RunFolderError(
        f"{path} is no run store that society wrote: {fault}.",
        "Nothing was taken from it. If the run is your own, restore its folder from a copy.",
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
            raise refuse(path, f"it has the {kind!s:.20} {str(name)!r:.60}, which is not ours")


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
    if version == VERSION:
        statements = [table.schema() for table in TABLES.values()] + list(INDEXES.values())
    else:
        statements = [(files("society.store") / schema_file(version)).read_text()]
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(";".join(statements))
        rows = db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(kind, name): _strip(sql) for kind, name, sql in rows}


def _strip(sql: str) -> str:
    """Return SQL without comments and repeated spaces."""
    return " ".join(re.sub(r"--[^\n]*", " ", sql).split())


def _check_values(db: sqlite3.Connection, path: Path) -> None:
    """Raise `RunFolderError` for the first value that the constraints of its table do not allow.

    Tables of older versions have no constraints, and `quick_check` ignores them in a file that is opened read-only.
    """
    for table in TABLES.values():
        columns = {column[0] for column in db.execute(f"SELECT * FROM {table.name} LIMIT 0").description}
        rules = [rule for name, rule in table.rules().items() if name in columns]
        if _breaks(db, table.name, " AND ".join(rules)):
            broken = next(rule for rule in rules if _breaks(db, table.name, rule))
            raise refuse(path, f"a row of {table.name} breaks the rule: {broken:.90}")


def _breaks(db: sqlite3.Connection, table: str, rule: str) -> bool:
    return bool(_query(db, f"SELECT 1 FROM {table} WHERE NOT ({rule}) LIMIT 1"))


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


def _query(db: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    """Return rows as tuples, whatever the connection's row factory is."""
    cursor = db.cursor()
    cursor.row_factory = None
    return cursor.execute(query).fetchall()
