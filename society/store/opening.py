"""Opens a store's file: creates it if needed, checks it before anything is read, and prepares it for writing."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from society.core.atomic import atomic_write
from society.core.disks import find_shared
from society.core.errors import InputError, RunFolderError
from society.core.regular_files import read_stamp
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

_Inode = tuple[int, int]
_HEADERS = threading.RLock()
"""Held while a header is read and while a file is noted as open."""


def open_database(path: Path, read_only: bool, resumable: bool = False, whole: bool = True) -> sqlite3.Connection:
    """Open a store. Unless `read_only`, create it if it does not exist. Unless `whole`, only its schema is checked.

    Nothing is written to a file that exists: `prepare` makes it ready for the first write. Raises `RunFolderError` for
    a file that is no store of a version that this program reads, or of one that is not resumable where it is to be
    written or has to be `resumable`; and the errors of sqlite3.
    """
    if not read_only:
        if path.exists():
            drop_stale_wal(path)
        else:
            _create(path)
    db = _connect(path, read_only)
    try:
        limit(db)
        version = _read_version(path, db)
        _check_version(path, version, resumable or not read_only)
        check_schema(db, path, version)
        show_as_present(db, version)
        if whole:
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
    db = _connect_read_only(path) if read_only else connect(path, isolation_level=None)
    db.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True)
    }
    return db


class _Connection(sqlite3.Connection):
    """A connection to a file whose header this process must not read past SQLite."""

    def close(self) -> None:
        """Close the connection."""
        super().close()
        with _HEADERS:
            _open.pop(self, None)


_open: WeakKeyDictionary[_Connection, _Inode | None] = WeakKeyDictionary()
"""Files that SQLite has open in this process. Its locks on such a file end when the process opens and closes it."""


def connect(path: Path, query: str = "", **options: Any) -> sqlite3.Connection:
    """Connect to a store that may change meanwhile. `query` is that of a URI, and `options` are those of sqlite3."""
    place = f"{path.as_uri()}?{query}" if query else path
    with _HEADERS:
        db = sqlite3.connect(place, uri=bool(query), factory=_Connection, **options)
        _open[db] = _inode(path)
    return db


def _is_open(store: Path) -> bool:
    """Return whether SQLite has a file open in this process."""
    inode = _inode(store)
    with _HEADERS:
        return inode is not None and inode in list(_open.values())


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that writes nothing.

    In a folder where SQLite cannot even write its index of the WAL (one that is mounted read-only), the file is read
    alone if it has no WAL. So is a store that was copied there whole and never changes, as on shared disks.
    """
    place = path.resolve()
    shared = bool(find_shared(place)) and not _is_open(place)
    if _has_stale_wal(place) or (shared and not _uses_wal(place)):
        return _connect_alone(place)
    if shared:
        return _connect_copy(place)
    db = connect(place, "mode=ro", isolation_level=None)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        if _wal(place).exists() or os.access(place.parent, os.W_OK):
            return db
        db.close()
        return _connect_alone(place)
    except BaseException:
        db.close()
        raise
    return db


def _connect_alone(place: Path) -> sqlite3.Connection:
    """Return a connection that reads this file and no other, without locks: the file must not change."""
    return sqlite3.connect(f"{place.as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _connect_copy(place: Path) -> sqlite3.Connection:
    """Return a connection to a copy of a store on a shared disk that a process of another machine may have open."""
    with tempfile.TemporaryDirectory(prefix="society-") as folder:
        copy = copy_store(place, Path(folder) / place.name)
        with closing(sqlite3.connect(copy)) as db:
            db.execute("PRAGMA journal_mode=DELETE")
        db = _connect_alone(copy)
        db.execute("SELECT 1 FROM sqlite_master").fetchone()  # the file is open from here on, and may lose its name
    return db


def copy_store(store: Path, copy: Path) -> Path:
    """Copy a store, with its WAL if it uses one, and return the copy.

    Raises `RunFolderError` if the store changes meanwhile: then a process of another machine writes it.
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        before = read_stamp(store), read_stamp(_wal(store))
        try:
            shutil.copyfile(store, copy)
            if _uses_wal(copy) and _wal(store).exists():
                shutil.copyfile(_wal(store), _wal(copy))
        except FileNotFoundError:
            if not store.exists():
                raise
            continue  # the WAL has just been removed
        if before == (read_stamp(store), read_stamp(_wal(store))):
            return copy
    raise RunFolderError(
        f"{store} is being written by another machine.", "Read the run there, or wait until the run ends."
    )


def drop_stale_wal(store: Path) -> None:
    """Remove the WAL of an earlier store that stands beside one without a WAL."""
    if _has_stale_wal(store):
        _wal(store).unlink(missing_ok=True)
        store.with_name(f"{store.name}-shm").unlink(missing_ok=True)


def _has_stale_wal(store: Path) -> bool:
    return _wal(store).exists() and not _uses_wal(store)


def _uses_wal(store: Path) -> bool:
    """Return whether the header of a file says that it uses a WAL. It does where SQLite has the file open."""
    with _HEADERS:
        if _is_open(store):
            return True
        try:
            with store.open("rb") as file:
                return file.read(20)[18:20] != b"\1\1"
        except OSError:
            return True


def _wal(store: Path) -> Path:
    return store.with_name(f"{store.name}-wal")


def _inode(path: Path) -> _Inode | None:
    found = read_stamp(path)
    return None if found is None else found[:2]
