"""Places of runs: the store of a run's folder, and the runs in the folders that a user names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from society.core.errors import RunFolderError
from society.runs.files import check_folder
from society.runs.lease import find_lease
from society.runs.locking import LOCK
from society.runs.mirror import local_store

STORE = "store.sqlite"
FILES = (STORE, f"{STORE}-wal", f"{STORE}-shm", f"{STORE}-journal", LOCK)
"""Files of a run's folder that are opened by their names, by this program or by SQLite."""
PAGE = "report.html"
"""Name of a run's own page in its folder, as `Run.report()` writes it."""
DEEPEST = 3
"""Maximum depth of a run below a folder, as in `runs/sweep/variant`."""


def find_store(folder: Path) -> Path:
    """Return the store of a run folder. Raises `RunFolderError` if there is none.

    While this machine works on a run on a shared disk, it is the store on the local disk.
    """
    path = Path(folder) / STORE
    check_folder(Path(folder), FILES)
    found = find_lease(Path(folder))
    if found and found.open and found.lease and (live := local_store(found.lease.token, STORE)).is_file():
        return live
    if not path.is_file():
        if _exists(path.with_name(LOCK)):
            raise RunFolderError(
                f"The run in {folder} has stored nothing yet.", f"See who works on it: society status {folder}"
            )
        raise RunFolderError(f"{folder} holds no run (it has no {STORE}).", "Name the folder of a run.")
    return path


def has_begun(folder: Path) -> bool:
    """Return whether a folder holds a run. One that was killed early may have no store yet."""
    return is_run(folder) or _exists(folder / LOCK)


def is_run(folder: Path) -> bool:
    """Return whether a folder has the store of a run, readable or not. False for a folder that cannot be read."""
    return _exists(folder / STORE)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def find_folders(folder: Path, depth: int = 1) -> Iterator[Path]:
    """Yield each run below a folder, and each other folder that holds none. Hidden folders and links are left out.

    Raises `RunFolderError` if the folder cannot be read.
    """
    try:
        entries = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be read: {error.strerror}.", "Name a folder with runs.") from error
    for path in entries:
        if path.name.startswith("."):
            continue
        inner = [] if has_begun(path) or depth == DEEPEST else list(_find_runs(path, depth + 1))
        yield from inner or [path]


def _find_runs(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders below one that is no run, if one has begun there; a folder that cannot be read has none."""
    try:
        found = list(find_folders(folder, depth))
    except RunFolderError:
        return
    if any(map(has_begun, found)):
        yield from found
