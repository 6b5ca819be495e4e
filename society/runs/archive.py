"""A run in one file: a ZIP archive of its store, questions and adapters, with a checksum of each."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from society.core.atomic import atomic_write
from society.core.disks import advise
from society.core.errors import InputError, RunFolderError
from society.runs.files import own_tree
from society.runs.locking import LOCK, require_idle
from society.runs.places import STORE, find_store
from society.store import Store
from society.store.opening import open_database

MARK = b"society run"
"""Comment of an archive, by which it is recognized."""


def archive_run(folder: Path, file: Path) -> int:
    """Write the run of a folder to an archive, and return its size in bytes. Every entry is read again and checked.

    Raises `RunFolderError` for a folder without a run or with links, and `InputError` if the file exists or cannot be
    written, or if the disk of temporary files has no space for a copy of the store.
    """
    store = find_store(folder)
    if os.path.lexists(file):
        raise InputError(f"{file} exists.", "Choose another --out (Python: the second argument), or delete it.")
    require_idle(folder)
    own_tree(folder.parent / folder.name, ".")
    try:
        with _copy(store) as copy, atomic_write(file) as part:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
                archive.comment = MARK
                archive.write(copy, STORE)
                for path in _list_files(folder):
                    archive.write(path, path.relative_to(folder).as_posix())
            with zipfile.ZipFile(part) as archive:
                if (broken := archive.testzip()) is not None:
                    raise InputError(f"{file} cannot be read again at {broken!r:.80}.", "Check the disk.")
    except OSError as error:
        raise InputError(
            f"{file} cannot be written: {error.strerror or error}.",
            advise(error, "Choose another --out (Python: the second argument)."),
        ) from error
    return file.stat().st_size


@contextmanager
def _copy(store: Path) -> Iterator[Path]:
    """Yield a consistent copy of a store, without a WAL, among the temporary files."""
    with ExitStack() as stack:
        try:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="society-"))
            copy = Path(place) / STORE
            with closing(open_database(store, read_only=True)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"{store} cannot be copied to {tempfile.gettempdir()}: {getattr(error, 'strerror', None) or error}.",
                "Set the environment variable TMPDIR to a folder with as much free space as the store has bytes.",
            ) from error
        yield copy


def _list_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a run besides its store, lock and lease."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        own = len(inner.parts) == 1 and (path.name.startswith((STORE, LOCK, ".lease-")))
        if path.is_file() and not own and not any(part.startswith(f".{STORE}") for part in inner.parts):
            yield path


def restore_run(file: Path, folder: Path) -> None:
    """Write the run of an archive to a new folder. The folder appears whole, or not at all.

    Raises `InputError` for a file that is no archive of a run or is damaged, and `RunFolderError` for a folder that
    exists.
    """
    if folder.exists():
        raise RunFolderError(f"{folder} exists.", "Choose another --out (Python: the second argument).")
    try:
        with zipfile.ZipFile(file) as archive:
            _check(file, archive)
            folder.parent.mkdir(parents=True, exist_ok=True)
            _require_space(archive, folder.parent)
            with atomic_write(folder) as part:
                for entry in archive.infolist():
                    target = part / entry.filename
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(entry) as source, target.open("xb") as written:
                        shutil.copyfileobj(source, written)
                with Store(part / STORE, read_only=True) as store:
                    store.check_rows()
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
        # RuntimeError: it is encrypted. ValueError: a name is not encoded as stated
        raise _refuse(file, str(error)) from error
    except OSError as error:
        raise InputError(
            f"{error.filename or folder} cannot be used: {error.strerror or error}.", "Check the path and free space."
        ) from error


def _check(file: Path, archive: zipfile.ZipFile) -> None:
    """Raise `InputError` for an archive with entries that `archive_run` does not write."""
    names = [entry.filename for entry in archive.infolist()]
    if archive.comment != MARK or STORE not in names:
        raise _refuse(file, "it holds no run")
    if len(set(names)) < len(names):
        raise _refuse(file, "it has two entries of one name")
    for name in names:
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts or name.endswith("/"):
            raise _refuse(file, f"its entry {name!r:.80} leads out of the folder")


def _require_space(archive: zipfile.ZipFile, folder: Path) -> None:
    """Raise `InputError` if the contents do not fit on the disk."""
    size, free = sum(entry.file_size for entry in archive.infolist()), shutil.disk_usage(folder).free
    if size > free:
        raise InputError(f"The run has {size:,} bytes, and {free:,} are free in {folder}.", "Free space.")


def _refuse(file: Path, fault: str) -> InputError:
    return InputError(
        f"{os.fspath(file)} is no archive of a run: {fault}.", "Name a file that `society archive` wrote."
    )
