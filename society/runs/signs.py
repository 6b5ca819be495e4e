"""Signs of life of a run's process: whether its lease changes, by the steady clock of the process that reads.

The time of a file comes from the clock of the disk or of the machine that wrote it, and this machine's clock may
differ. So the time is believed if it is of the last minute, or a day old and nothing shows that clocks differ.
Otherwise a lease is read again: a change shows that its holder works, and `WATCH` seconds without one show that it
does not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from society.core.disks import find_shared
from society.core.plain import duration
from society.runs.lease import BEAT, PATIENCE, Found

WATCH = 2 * BEAT
"""Seconds without a beat after which the holder of a lease with an old time, or one in the future, counts as killed."""
DAY = 86_400.0
"""Seconds after which a lease counts as old at the first look. Machines that share a disk rarely differ by this."""


@dataclass(frozen=True, slots=True)
class Sign:
    """State of a lease's holder.

    `works` is None if only a second look can tell. `age` has the seconds since the last beat, None if clocks differ by
    an unknown time. `ahead` has the seconds by which the lease's clock is ahead of this machine's, as far as known.
    """

    works: bool | None
    age: float | None
    ahead: float = 0.0

    def describe(self, holder: object) -> str:
        """Return a note on clocks that differ, or on a holder that may work no longer; "" for neither."""
        if self.works is None:
            when = f"{duration(self.ahead)} from now" if self.ahead > 0 else f"{duration(-self.ahead)} ago"
            return (
                f"The last sign of life of {holder} was {when} by the clock of this machine. If clocks differ, it may "
                "still work: `society status` looks twice."
            )
        if abs(self.ahead) > PATIENCE:
            way = "behind" if self.ahead > 0 else "ahead of"
            return f"The clock of this machine is {duration(abs(self.ahead))} {way} that of the run's machine or disk."
        if self.works or self.age is None:
            return ""
        said = f"The last sign of life of {holder} was {duration(self.age)} ago by the clock of this machine."
        return f"{said} If clocks may differ by days: society status --wait 30." if self.age > DAY else said


@dataclass(slots=True)
class _Sight:
    """A lease as this process last saw it. Times are those of `time.monotonic`."""

    number: int
    raw: bytes
    since: float
    looked: float
    changed: bool


_sights: dict[Path, _Sight] = {}


def read_sign(folder: Path, found: Found, twice: bool = False) -> Sign:
    """Return what is known of the holder of a lease, from its time and from earlier calls of this process.

    `twice`: a lease that is days old is not believed at the first look either.
    """
    future = max(0.0, -found.age)
    if not found.open:
        return Sign(False, None, future)
    now, last = time.monotonic(), _sights.get(folder.absolute())
    if last is None or (last.number, last.raw) != (found.number, found.raw):
        changed = last is not None and now - last.looked <= PATIENCE
        last = _sights[folder.absolute()] = _Sight(found.number, found.raw, now, now, changed)
    last.looked, still = now, now - last.since
    if last.changed:
        return Sign(still <= PATIENCE, still, still - found.age)
    if abs(found.age) <= PATIENCE:
        return Sign(True, max(0.0, found.age))
    own = found.lease is not None and found.lease.is_here and not find_shared(folder)
    old = found.age > DAY and not (twice or _differs(found))
    if still >= WATCH or old or (own and found.age > PATIENCE):
        return Sign(False, max(0.0, found.age), future)
    return Sign(None, None, -found.age)


def _differs(found: Found) -> bool:
    """Return whether the clocks of the holder and of the disk differ: they tell other times of the last beat."""
    written = found.lease.written if found.lease else 0.0
    return written > 0 and abs(written - (time.time() - found.age)) > PATIENCE
