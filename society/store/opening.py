"""How a store's file is opened: made if need be, and distrusted until its version and then all of it are checked."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from society.core.atomic import appearing
from society.core.errors import RunFolderError
from society.store.migrate import READABLE, VERSION, schema_file, show_as_present
from society.store.validate import distrust, is_ours, validate


def open_database(path: Path, read_only: bool, older: bool = True, whole: bool = True) -> sqlite3.Connection:
    """Open a store, made if it may be written and is not there yet; one of an older version is shown as the present.

    Unless `whole`, turns and texts are not looked through: whoever reads some of them checks these (see `Store.turns`).
    Nothing is written to a file that is refused, or that is of an older version. Raises `RunFolderError` for what is
    no store that this program reads, for an older version where it is to be written or not `older`, and what sqlite3
    raises.
    """
    if not read_only and not path.exists():
        _create(path)
    db = _connect(path, read_only)
    try:
        distrust(db)
        version = _version_of(path, db)
        check_version(path, version)
        validate(db, path, version, whole)
        if version != VERSION and (not older or not read_only):
            raise outdated(path, version)
        show_as_present(db, version)
        if not read_only:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        db.close()
        raise
    return db


def check_version(path: Path, version: str) -> None:
    """Raise `RunFolderError` unless this program reads stores of that version."""
    if version in READABLE:
        return
    newer = version.isdecimal() and len(version) < 10 and int(version) > int(VERSION)
    raise RunFolderError(
        f"{path} is a run store of version {version!r:.20}; this program reads version {VERSION!r}.",
        "A newer society wrote it: update society from where you installed it."
        if newer
        else "An older society wrote it: read it with that one (its meta table says which), or run the scenario again.",
    )


def outdated(path: Path, version: str) -> RunFolderError:
    """Return the refusal to go on with, or to take turns from, a store of an older version."""
    return RunFolderError(
        f"{path} is a run store of version {version}, which an older society wrote. It can be read, but no run can go "
        "on with it or take turns from it: what its turns are named by has changed.",
        "Run the scenario again in a new folder (--out). `society show`, `report`, `compare` and `export` still read "
        "the old one.",
    )


def _version_of(path: Path, db: sqlite3.Connection) -> str:
    """The version that the store says it has, in the table that every version has alike."""
    row = is_ours(db, "meta") and db.execute("SELECT value FROM meta WHERE name='store_version'").fetchone()
    if not row:
        raise RunFolderError(f"{path} is no run store: it says no version.", "Name another folder with --out.")
    return str(row["value"])


def _create(path: Path) -> None:
    """Make an empty store, whole or not at all: who is killed on the way leaves nothing that is half a store."""
    schema = (files("society.store") / schema_file(VERSION)).read_text()
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(f"{schema} INSERT INTO meta VALUES ('store_version', '{VERSION}');")
        db.commit()
        data = bytearray(db.serialize())
    data[18:20] = b"\2\2"  # "uses a WAL", in the header of SQLite's file format
    with appearing(path) as part:
        part.write_bytes(data)


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    db = _connect_read_only(path) if read_only else sqlite3.connect(path, isolation_level=None)
    db.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True)
    }
    return db


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing. Where even SQLite's index of the WAL cannot be written (a folder mounted
    read-only), the file is read by itself, if it is whole without one."""
    place = path.resolve()
    db = sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        if place.with_name(place.name + "-wal").exists() or os.access(place.parent, os.W_OK):
            return db
        db.close()
        return sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    return db
