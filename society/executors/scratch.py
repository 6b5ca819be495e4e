"""Temporary folders of workers. The next worker removes the folders of killed ones."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

PREFIX, LOCK = "society-worker-", ".lock"


class Scratch:
    """A temporary folder of this process at `path`. Opening it removes the folders of dead processes."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = FileLock(self.path / LOCK)  # the system releases the lock when the process ends
        self._lock.acquire(timeout=0)
        for folder in self.path.parent.glob(f"{PREFIX}*"):
            if (folder / LOCK).exists():  # otherwise another process is creating the folder
                remove_if_abandoned(folder)

    def close(self) -> None:
        """Remove the folder."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def remove_if_abandoned(folder: Path) -> None:
    """Remove the folder if its process has ended."""
    # An OSError means that the folder is another user's, or was just removed.
    with suppress(Timeout, OSError), FileLock(folder / LOCK, timeout=0):
        shutil.rmtree(folder)
