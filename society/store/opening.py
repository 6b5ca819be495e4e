"""Opens a store's file: creates it if needed, checks it before anything is read, and prepares it for writing."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from society.core.atomic import atomic_write
from society.core.errors import InputError, RunFolderError
from society.store.migrate import (
    READABLE,
    RESUMABLE,
    VERSION,
    add_columns,
    create_indexes,
    migrate,
    show_as_present,
)
from society.store.rows import TABLES
from society.store.validate import NO_STORE, check_contents, check_schema, find_fault_in_meta, limit


def open_database(path: Path, read_only: bool, resumable: bool = False) -> sqlite3.Connection:
    """Open a store. Unless `read_only`, create it if it does not exist.

    Nothing is written to a file that exists: `prepare` makes it ready for the first write. Raises `RunFolderError` for
    a file that is no store of a version that this program reads, or of one that is not resumable where it is to be
    written or has to be `resumable`; and the errors of sqlite3.
    """
    if not read_only and not path.exists():
        _create(path)
    db = _connect(path, read_only)
    try:
        limit(db)
        version = _read_version(path, db)
        _check_version(path, version, resumable or not read_only)
        check_schema(db, path, version)
        show_as_present(db, version)
        check_contents(db, path)
        db.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        db.close()
        raise
    return db


def prepare(db: sqlite3.Connection, version: str) -> None:
    """Make an open store of this version ready to be written: migrate an older one, and add the newest columns.

    An older society cannot open the file afterwards, so this comes after every check that can refuse the run.
    """
    db.execute("PRAGMA journal_mode=WAL")
    if version != VERSION:
        migrate(db, version)
    add_columns(db)


def _check_version(path: Path, version: str, resumable: bool) -> None:
    """Raise `RunFolderError` unless this program reads stores of this version, or resumes runs in them."""
    if version not in READABLE:
        remedy = f"No society wrote this version. {NO_STORE}"
        if re.fullmatch("[1-9][0-9]{0,8}", version):
            remedy = "A newer society wrote it: update society from where you installed it."
        raise RunFolderError(
            f"{path} is a run store of version {version!r:.20}; this program reads version {VERSION!r}.", remedy
        )
    if resumable:
        require_resumable(path, version)


def require_resumable(path: Path, version: str) -> None:
    """Raise `RunFolderError` for a store of a version whose runs can be read but not resumed."""
    if version not in RESUMABLE:
        raise RunFolderError(
            f"{path} is a run store of version {version}, which an older society wrote. It can be read, but no run can "
            "go on with it or take turns from it: the keys of its turns have another meaning.",
            "Run the scenario again in a new folder (--out; Python: `out`). `society show`, `report`, `compare` and "
            "`export` still read the old one.",
        )


def _read_version(path: Path, db: sqlite3.Connection) -> str:
    """Return the version that the store states. Every version has the table `meta`."""
    fault = find_fault_in_meta(db)
    row = None if fault else db.execute("SELECT value FROM meta WHERE name='store_version'").fetchone()
    if not row:
        fault = fault or "its table 'meta' has no row 'store_version'"
        raise RunFolderError(f"{path} is no run store: it says no version, as {fault}.", NO_STORE)
    return str(row["value"])


def _create(path: Path) -> None:
    """Create an empty store, whole or not at all: a process that is killed on the way leaves no half of a store."""
    if sqlite3.sqlite_version_info < (3, 37):
        raise InputError(
            f"SQLite {sqlite3.sqlite_version} is too old for a run store, which needs 3.37 or newer.",
            "Use a Python that was built with a newer SQLite, such as one from python.org, conda or uv.",
        )
    with closing(sqlite3.connect(":memory:")) as db:
        for table in TABLES.values():
            db.execute(table.schema())
        create_indexes(db)
        db.execute("INSERT INTO meta VALUES ('store_version', ?)", (VERSION,))
        db.commit()
        data = bytearray(db.serialize())
    data[18:20] = b"\2\2"  # "uses a WAL", in the header of SQLite's file format
    with atomic_write(path) as part:
        part.write_bytes(data)


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    db = _connect_read_only(path) if read_only else sqlite3.connect(path, isolation_level=None)
    db.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True)
    }
    return db


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that writes nothing.

    In a folder where SQLite cannot even write its index of the WAL (one that is mounted read-only), the file is read
    alone if it has no WAL.
    """
    place = path.resolve()
    db = sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        if place.with_name(place.name + "-wal").exists() or os.access(place.parent, os.W_OK):
            return db
        db.close()
        return sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    except BaseException:
        db.close()
        raise
    return db
