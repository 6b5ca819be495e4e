"""Holds a run's folder for one process: by a lock of the operating system, and by a lease that all machines see."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from society.core.blocking import run_blocking
from society.core.errors import RunFolderError
from society.runs.lease import Found, Holder, find_lease, in_use, is_of_this_machine, wait_until_free
from society.runs.signs import read_sign

LOCK = ".lock"
LOCK_TIMEOUT = 0.5
"""Seconds to wait for the lock of a run's folder. A live view may hold it for an instant."""
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of a file system that offers no locks."""


def is_running(folder: Path, twice: bool = False) -> bool | None:
    """Return whether a process of any machine is working on the run in this folder.

    Nothing is written. Where the lock cannot tell, the lease does. None if only a later call can tell, as the
    clocks of machines may differ, with `twice` by days: see `society.runs.signs`.
    """
    locked = _is_locked(folder)
    if locked:
        return True
    try:
        found = find_lease(folder)
    except RunFolderError:  # it is a link or a device
        return False
    if found is None or not found.open or (locked is False and is_of_this_machine(folder, found)):
        return False
    return read_sign(folder, found, twice).works


def require_idle(folder: Path) -> None:
    """Raise `RunFolderError` if a process is working on the run in this folder.

    A lease of another machine that has not ended is watched, whatever the clocks of the machines say.
    """
    if is_running(folder):
        raise RunFolderError(f"A process works on the run in {folder}.", "Wait for its end.")
    run_blocking(wait_for(folder))


async def wait_for(folder: Path) -> Found | None:
    """Return the lease in a folder, None where there is none, once no other machine holds it.

    Raises `RunFolderError` where one does.
    """
    return await wait_until_free(folder, locks=os.name == "nt" or _is_locked(folder) is not None)


@contextmanager
def hold(folder: Path, seen: Found | None, runs: bool = False) -> Iterator[Holder]:
    """Hold a folder during the block. `seen` is what `wait_for` returned. `runs`: to run the scenario, not to edit.

    Raises `RunFolderError` if a process holds it already, and `OSError` if it cannot be written.
    """
    fresh = not (folder / LOCK).exists()
    lock = _lock(folder)
    try:
        try:
            holder = Holder(folder, runs).acquire(seen, locked=lock is not None)
        except OSError:
            if fresh:  # else the folder would count as one in which a run has begun
                (folder / LOCK).unlink(missing_ok=True)
            raise
        try:
            yield holder
        finally:
            holder.release()
    finally:
        if lock is not None:
            lock.release()


def _lock(folder: Path) -> FileLock | None:
    """Return the lock of a folder, held; None where the file system has no locks."""
    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT, poll_interval=0.02)
    except Timeout:
        found = find_lease(folder)
        raise in_use(folder, found.lease if found else None) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return lock


def _is_locked(folder: Path) -> bool | None:
    """Return whether a process of this machine holds the lock of a folder; None if unknown.

    The lock is taken for reading for an instant, as a run takes it for writing while it lasts.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return None
    try:
        opened = os.open(Path(folder) / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:  # nobody has locked the folder, or a power cut has removed the file
        return False
    except OSError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(opened)
    return False
