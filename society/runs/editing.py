"""Changes of a run on which no process works: its folder is held meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from society.core.blocking import run_blocking
from society.core.disks import advise
from society.core.errors import RunFolderError
from society.runs.files import check_folder
from society.runs.locking import hold, wait_for
from society.runs.mirror import open_mirror, salvage
from society.runs.places import FILES, STORE, find_store
from society.store import Store


@contextmanager
def edit_run(folder: Path) -> Iterator[Store]:
    """Yield the store of a run for writing; no other process can use the folder meanwhile.

    Raises `RunFolderError` if a process works on the run, or if the folder holds none or cannot be written.
    """
    find_store(folder)
    check_folder(folder, FILES)
    seen = run_blocking(wait_for(folder))
    kept = folder / STORE
    try:
        with hold(folder, seen) as holder:
            salvage(holder, kept)
            with open_mirror(holder, kept) as mirror, Store(mirror.live if mirror else kept) as store:
                yield store
    except OSError as error:
        raise RunFolderError(
            f"{folder} cannot be written: {error}.", advise(error, "Check its permissions.")
        ) from error
