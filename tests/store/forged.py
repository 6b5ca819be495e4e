"""Stores that this program would not write: rows that break the types and the constraints of their tables."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from society.runs.run import Run


def forge(sound: Path, folder: Path, *statements: str) -> Run:
    """Return a copy of the run in which `statements` were executed, whatever types and constraints its tables have."""
    shutil.copytree(sound, folder)
    path = folder / "store.sqlite"
    strict = tables(path)
    execute(
        path,
        "UPDATE sqlite_master SET sql = replace(sql, 'STRICT, WITHOUT', 'WITHOUT') WHERE type = 'table'",
        "UPDATE sqlite_master SET sql = replace(sql, ') STRICT', ')') WHERE type = 'table'",
    )
    loose = tables(path)
    execute(path, *statements)
    pairs = [(quoted(strict[name]), quoted(loose[name])) for name in strict]
    execute(path, *(f"UPDATE sqlite_master SET sql = {ours} WHERE sql = {other}" for ours, other in pairs))
    return Run(folder)


def execute(path: Path, *statements: str) -> None:
    """Execute statements in a store, constraints or not."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(";".join(["PRAGMA writable_schema=ON", "PRAGMA ignore_check_constraints=ON", *statements]))


def tables(path: Path) -> dict[str, str]:
    """Return the SQL of each table by its name."""
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
