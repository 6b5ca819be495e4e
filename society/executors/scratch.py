"""Folders that workers write into. A worker is often killed, and then cleans nothing up: the next one does."""

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
    """A folder of this process, `path`, until it is closed; what dead processes left beside it is removed."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = FileLock(self.path / LOCK)  # the system lets go of it when the process ends, however it ends
        self._lock.acquire(timeout=0)
        for folder in self.path.parent.glob(f"{PREFIX}*"):
            if (folder / LOCK).exists():  # else it is only being made
                remove_if_left(folder)

    def close(self) -> None:
        """Remove it."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def remove_if_left(folder: Path) -> None:
    """Remove a folder whose process is gone."""
    with suppress(Timeout, OSError), FileLock(folder / LOCK, timeout=0):  # OSError: somebody else's, or just removed
        shutil.rmtree(folder)
