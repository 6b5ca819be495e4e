"""The lease of a run's folder: which process works on the run, on whichever machine.

Locks of the operating system often end at one machine: a file system may not offer them, or grant one to each machine.
So a process that works on a run also holds a lease, a numbered file in the run's folder. A new holder creates the file
of the next number, which only one process can do (O_EXCL), and rewrites it every few seconds. A lease that has not
changed for a minute is taken over. Clocks are not compared: each process watches the file by its own steady clock.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Self
from uuid import uuid4

from annotated_types import Ge, Le
from pydantic import StringConstraints, TypeAdapter, ValidationError

from society.core.disks import find_shared
from society.core.errors import FolderInUseError, StoreError
from society.core.plain import to_plain
from society.runs.files import own_file
from society.store.table import encode_json

log = logging.getLogger(__name__)

BEAT = 10.0
"""Seconds between two beats of a holder."""
PATIENCE = 60.0
"""Seconds without a beat after which a lease of another machine is taken over."""
LOSSES = 2
"""Number of beats in a row that find the lease lost, after which the run stops."""
SIZE = 1024
"""Bytes of a lease's file. All writes have this size, so no reader meets half of one."""
_NAME = re.compile(r"\.lease-([1-9][0-9]{0,8})")
_Word = Annotated[str, StringConstraints(pattern="^[ -~]{0,100}$")]
"""A name that controls no terminal."""
_Seconds = Annotated[float, Ge(0), Le(1e11)]


@dataclass(frozen=True)
class Lease:
    """The contents of a lease. `machine` is new with each start of the system, and `host` is its name for people.

    `beat` counts. `written` is the time of the last beat by the holder's clock, in seconds since 1970, and `quiet` has
    the seconds since the run last made progress then. An `ended` lease is free. `runs`: a call that runs the scenario
    holds it, and not one that edits the folder. While it loads its models, `waiting` has why it waits for a server;
    an `ended` lease has it if it waited too long.
    """

    token: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
    host: _Word
    machine: _Word
    pid: Annotated[int, Ge(0), Le(2**32)]
    beat: Annotated[int, Ge(0), Le(2**53)] = 0
    quiet: _Seconds = 0.0
    ended: bool = False
    written: _Seconds = 0.0
    runs: bool = False
    waiting: _Word = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def waited_too_long(self) -> bool:
        """Return whether the call ended because a server was gone for too long while it loaded its models."""
        return self.ended and bool(self.waiting)

    @property
    def is_here(self) -> bool:
        """Return whether the holder's machine is this one, since its last start."""
        return self.machine == _plain(machine())


_LEASE = TypeAdapter(Lease)


@dataclass(frozen=True)
class Found:
    """A lease as read: its number, its raw contents, what they say (None if unreadable), and the age of the file by
    this machine's clock, in seconds."""

    number: int
    raw: bytes
    lease: Lease | None
    age: float

    @property
    def open(self) -> bool:
        """Return whether the lease has not ended."""
        return self.lease is None or not self.lease.ended


@cache
def machine() -> str:
    """Return an identity of this machine that is new with each start of its system."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return platform.node()


def find_lease(folder: Path) -> Found | None:
    """Return the lease with the highest number in a run's folder; None where there is none.

    Raises `RunFolderError` for a link or a device of that name.
    """
    try:
        number = max(_list_numbers(folder), default=0)
    except OSError:
        return None
    path = own_file(folder, _name(number)) if number else None
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            raw, changed = file.read(SIZE), os.fstat(file.fileno()).st_mtime
    except OSError:  # its holder has just removed it
        return None
    try:
        lease = _LEASE.validate_json(raw, strict=True)
    except ValidationError:
        lease = None
    return Found(number, raw, lease, time.time() - changed)


async def wait_until_free(folder: Path, locks: bool) -> Found | None:
    """Return the lease in a folder once no other machine holds it; None where there is none.

    A lease that has not ended is watched until it changes, or for `PATIENCE`. With `locks`, the folder's lock tells
    whether a process of this machine holds it, so no lease of this machine is watched. Raises `RunFolderError` if it
    changes: then the run is under way there.
    """
    first = found = find_lease(folder)
    if found is None or not found.open or (locks and is_of_this_machine(folder, found)):
        return found
    who, started = found.lease or "an unknown process", time.monotonic()
    log.warning("%s is held by %s. Watching for up to %g s whether it still works.", folder, who, PATIENCE)
    while found is not None and found.open and time.monotonic() - started < PATIENCE:
        if first is None or (found.number, found.raw) != (first.number, first.raw):
            raise in_use(folder, found.lease)
        await asyncio.sleep(min(1.0, BEAT / 4))
        found = find_lease(folder)
    return found


def is_of_this_machine(folder: Path, found: Found) -> bool:
    """Return whether a lease is one of this machine, whose lock tells whether its holder still works.

    On a local disk this includes leases from before the last start of the system, and those that a power cut erased.
    """
    if found.lease is not None and found.lease.is_here:
        return True
    here = found.lease is None or found.lease.host == _plain(platform.node())
    return here and not find_shared(folder)


def in_use(folder: Path, holder: Lease | None = None) -> FolderInUseError:
    """Return the error for a folder in which another process works."""
    by = f" ({holder})" if holder and not holder.ended else ""
    return FolderInUseError(
        f"{folder} is in use by a run under way, in this process or another{by}.",
        "Wait for its end. A new run may also have another --out (Python: `out`).",
    )


class Holder:
    """A lease that this process holds. A thread rewrites it until it is released."""

    def __init__(self, folder: Path, runs: bool = False) -> None:
        """Make a lease that is not taken yet. `runs`: this process runs the scenario, and does not only edit it."""
        self._folder = folder
        self._now = Lease(uuid4().hex, _plain(platform.node()), _plain(machine()), os.getpid(), runs=runs)
        self._writing = threading.Lock()
        self._number = 0
        self.previous: Lease | None = None
        """The lease before this one."""
        self.ends = True
        """Whether the store in the run's folder is whole when the lease is released."""
        began = time.monotonic()
        self.last_progress: Callable[[], float] = lambda: began
        """Returns when the run last made progress, by `time.monotonic`."""
        self.on_loss: Callable[[StoreError], object] = lambda error: None
        """Called once, by another thread, if the lease is lost: nothing that is stored from then on is kept."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="society-lease", daemon=True)

    @property
    def token(self) -> str:
        """The identity of the lease, 32 hexadecimal digits."""
        return self._now.token

    def acquire(self, seen: Found | None, locked: bool) -> Self:
        """Take the lease. `seen` is what `wait_until_free` returned; `locked`: no process of this machine holds it.

        Raises `RunFolderError` if another process holds it, `OSError` if the folder cannot be written.
        """
        found = find_lease(self._folder)
        if found is not None and found.open:
            here = locked and is_of_this_machine(self._folder, found)
            watched = seen is not None and (seen.number, seen.raw) == (found.number, found.raw)
            if not here and not watched:
                raise in_use(self._folder, found.lease)
        self._number, self.previous = (found.number + 1, found.lease) if found else (1, None)
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            raise in_use(self._folder) from None
        os.close(handle)
        try:
            self._write()
        except OSError:
            self.remove()
            raise
        self.check()
        for number in _list_numbers(self._folder):
            if number < self._number:
                (self._folder / _name(number)).unlink(missing_ok=True)
        self._thread.start()
        return self

    def check(self) -> None:
        """Raise `StoreError` if another process has taken the lease over, or if the folder is gone.

        Raises `OSError` if the folder cannot be read now.
        """
        try:
            numbers = _list_numbers(self._folder)
        except FileNotFoundError:
            raise StoreError(
                f"The folder {self._folder} was removed or moved while the run went on.",
                "If it was moved, go on there: --resume --out NEW (Python: resume=True, out=NEW). What a removed "
                "folder held is lost.",
            ) from None
        if self._number not in numbers or max(numbers) > self._number:
            raise StoreError(
                f"Another process has taken over the run in {self._folder}, as this one gave no sign for {PATIENCE:g} "
                "s or its lease was removed.",
                "Let the other one go on. Everything that it found stored is kept.",
            )

    def release(self) -> None:
        """Stop beating. If the lease `ends`, it is free for every machine at once."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.ends and self._path.exists():
            self._now = replace(self._now, ended=True)
            with suppress(OSError, StoreError):
                self.check()
                self._write()

    def note_wait(self, reason: str) -> None:
        """Let others see that the call waits for a server while it loads its models, or with "" that it goes on."""
        self._now = replace(self._now, waiting=_plain(reason))
        with suppress(OSError):  # the next beat tries again
            self._write()

    def remove(self) -> None:
        """Remove the file of the lease."""
        self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / _name(self._number)

    def _beat(self) -> None:
        losses = 0
        while not self._end.wait(BEAT):
            try:
                self.check()
                self._write()
                losses = 0
            except StoreError as error:
                losses += 1
                if losses == LOSSES:
                    self.on_loss(error)
            except OSError as error:
                log.warning("The lease %s cannot be renewed: %s", self._path, error)

    def _write(self) -> None:
        """Rewrite the file in place, so that other machines see its new time, and not a cached file of that name."""
        with self._writing:
            quiet = round(max(0.0, time.monotonic() - self.last_progress()), 1)
            written = round(max(0.0, time.time()), 1)
            self._now = replace(self._now, beat=self._now.beat + 1, quiet=quiet, written=written)
            data = encode_json(to_plain(asdict(self._now))).encode().ljust(SIZE)
            handle = os.open(self._path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
            try:
                os.write(handle, data)
            finally:
                os.close(handle)


def _plain(name: str) -> str:
    return re.sub("[^ -~]", "?", name)[:100]


def _name(number: int) -> str:
    return f".lease-{number}"


def _list_numbers(folder: Path) -> list[int]:
    return [int(found[1]) for path in folder.iterdir() if (found := _NAME.fullmatch(path.name))]
