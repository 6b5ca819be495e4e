"""The store of a run on a shared disk: written on a local disk, and copied whole to the run's folder.

Copies are consistent (SQLite's backup) and appear by a rename, so a reader on any machine finds a whole store. A copy
is made at intervals, after each finetuning and at every stop. A process that was killed leaves its local store: the
next one on the same machine goes on from that, and one on another machine from the last copy.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from society.core.atomic import atomic_write
from society.core.disks import find_own_scratch, find_scratch, find_shared
from society.core.errors import StoreError
from society.runs.lease import Holder
from society.store.opening import connect, copy_store, drop_stale_wal

log = logging.getLogger(__name__)

INTERVAL = 60.0
"""Seconds between two copies, unless copies take long."""
SHARE = 20
"""Minimum pause between two copies, in durations of the last one."""


def local_store(token: str, name: str) -> Path:
    """Return where this machine keeps the store of the run whose lease has this token, whether or not it is there."""
    return find_own_scratch() / token / name


class Mirror:
    """A store on a local disk, and its copy `kept` in the run's folder.

    `check` is called before a copy appears, and raises `StoreError` if another process works on the run by now.
    """

    def __init__(self, kept: Path, token: str, check: Callable[[], None]) -> None:
        """Raise `InputError` if this machine has no local disk to write to."""
        self._kept, self._check = kept, check
        find_scratch()
        self.live = local_store(token, kept.name)
        self._db: sqlite3.Connection | None = None
        self._copied: int | None = None
        self._due, self._end = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="society-mirror", daemon=True)

    def start(self) -> None:
        """Take over the store in the run's folder, if there is one, and begin to copy."""
        self.live.parent.mkdir(mode=0o700)
        if self._kept.exists():
            copy_store(self._kept, self.live)
        self._thread.start()

    def fetch(self, store: Path) -> Path:
        """Return a copy of another run's store, on the local disk."""
        number = len(list(self.live.parent.glob("reused-*")))
        return copy_store(store, self.live.parent / f"reused-{number}" / store.name)

    def copy_soon(self) -> None:
        """Make a copy within moments."""
        self._due.set()

    def close(self) -> None:
        """Make the last copy, and remove the local store. Raises `StoreError`, and keeps it, if that fails."""
        self._end = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._copy()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"The run's store cannot be copied to {self._kept}: {error}.",
                "Free space, then run again with --resume on this machine (Python: resume=True). Until then the store "
                f"is in {self.live.parent}.",
            ) from error
        finally:
            if self._db is not None:
                self._db.close()
        shutil.rmtree(self.live.parent, ignore_errors=True)

    def _work(self) -> None:
        pause, warned = INTERVAL, False
        while True:
            self._due.wait(pause)
            self._due.clear()
            if self._end:
                return
            started = time.monotonic()
            try:
                self._copy()
                warned = False
            except (OSError, sqlite3.Error, StoreError) as error:
                if not warned:
                    log.warning("The run's store cannot be copied to %s, and is tried again: %s", self._kept, error)
                warned = True
            pause = max(INTERVAL, SHARE * (time.monotonic() - started))

    def _copy(self) -> None:
        """Copy the local store, if there is one and it has changed. Only one thread calls this at a time."""
        if self._db is None:
            if not self.live.exists():
                return
            self._db = connect(self.live, check_same_thread=False)
        [version] = self._db.execute("PRAGMA data_version").fetchone()  # changes with each commit of the run
        if version != self._copied:
            copy_into_place(self.live, self._kept, self._check)
            self._copied = version


def salvage(holder: Holder, kept: Path) -> None:
    """Copy what a killed process left on a local disk of this machine into the run's folder."""
    last = holder.previous
    if last is None or last.ended:
        return
    left = local_store(last.token, kept.name)
    if left.is_file():
        copy_into_place(left, kept, holder.check)
        shutil.rmtree(left.parent, ignore_errors=True)
    elif find_shared(kept):
        log.warning("%s did not end the run. Turns after its last copy of the store are made again.", last)


@contextmanager
def open_mirror(holder: Holder, kept: Path) -> Iterator[Mirror | None]:
    """Keep a store that is on a shared disk on a local one during the block; None for a store on a local disk.

    `kept` is the store's place in the run's folder, which `holder` holds.
    """
    if not find_shared(kept):
        yield None
        return
    mirror = Mirror(kept, holder.token, holder.check)
    holder.ends = False
    try:
        mirror.start()
        yield mirror
    finally:
        mirror.close()
        holder.ends = True


def copy_into_place(store: Path, kept: Path, check: Callable[[], None]) -> None:
    """Put a consistent copy of a local store, which may be in use, in the place of `kept`."""
    check()
    whole = store.with_name("copy.sqlite")
    whole.unlink(missing_ok=True)
    with closing(connect(store)) as source, closing(sqlite3.connect(whole)) as target:
        target.execute("PRAGMA synchronous=OFF")
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    with atomic_write(kept) as part:
        shutil.copyfile(whole, part)
        check()
    drop_stale_wal(kept)
    whole.unlink()
