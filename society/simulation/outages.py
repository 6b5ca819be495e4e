"""Outages of a backend: who waits, who tries again, and when the run stops waiting.

During an outage one request at a time probes the backend, with growing waits. All others wait for its result, and go
on together when the backend is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from society.core.errors import UnavailableError, WaitedTooLongError
from society.core.plain import duration
from society.simulation.clock import loop_time

FIRST_PROBE = 0.5
"""Seconds before the first probe; the wait doubles with each further probe."""
LONGEST_PROBE = 30.0
"""Maximum seconds between two probes, unless the server asks for more."""
UNNOTICED = 5.0
"""Seconds before an outage is announced. A server that is busy for an instant does not concern the user."""

Found = TypeVar("Found")
OnOutage = Callable[[str, str, float], None]
"""Called with the backend's name, the cause of an outage and its seconds so far; with cause "" when it has ended."""


def ignore(backend: str, cause: str, seconds: float) -> None:
    """Announce nothing."""


@dataclass
class Availability:
    """A record of whether a backend can be reached now. `minutes`: maximum length of an outage.

    An outage is announced if it lasts at least `unnoticed` seconds, by its end at the latest.
    """

    backend: str
    minutes: float
    announce: OnOutage = ignore
    unnoticed: float = UNNOTICED
    now: Callable[[], float] = loop_time
    _since: float | None = None
    _cause: str = ""
    _announced: bool = False
    _probes: int = 0
    _after: float = 0.0
    _probing: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lost(self) -> bool:
        """Return whether there is an outage."""
        return self._since is not None

    async def wait(self) -> bool:
        """Return when the backend may be asked: after the outage, or now as the one request that probes it.

        Returns whether the request is the probe. Then call `probed` after its attempt.
        """
        while self._since is not None:
            if self._probing:
                await self._changed.wait()
                continue
            self._probing = True
            if await self._is_out_after(self._wait(self._since)):
                return True
            self.probed()
        return False

    async def _is_out_after(self, seconds: float) -> bool:
        """Return whether the outage goes on after these seconds. Returns before, if the backend answers a request."""
        try:
            async with asyncio.timeout(seconds):
                while self._since is not None:
                    await self._changed.wait()
        except TimeoutError:
            return self._since is not None
        except BaseException:
            self.probed()
            raise
        return False

    def probed(self) -> None:
        """Let another request be the next probe."""
        self._probing = False
        self._wake()

    def fail(self, error: UnavailableError) -> WaitedTooLongError | None:
        """Record that a request could not reach the backend. Return the error of an outage that lasts too long."""
        now = self.now()
        since = self._since = now if self._since is None else self._since
        self._after, self._cause = max(0.0, error.after or 0.0), error.cause
        left, seconds = since + 60 * self.minutes - now, now - since
        late = left <= 0 or self._after > left
        noticed = seconds >= UNNOTICED if late else max(seconds, self._after) >= self.unnoticed
        if self._announced or noticed:
            self._announced = True
            self.announce(self.backend, error.cause, seconds)
        return self._give_up(error, seconds) if late else None

    def answer(self) -> None:
        """Record that the backend has answered a request."""
        if self._since is None:
            return
        seconds, announced = self.now() - self._since, self._announced
        self._since, self._announced, self._probes = None, False, 0
        self._wake()
        if not announced and seconds >= self.unnoticed:  # it ended between two probes
            self.announce(self.backend, self._cause, seconds)
            announced = True
        if announced:
            self.announce(self.backend, "", seconds)

    async def bear(self, error: UnavailableError) -> None:
        """Wait before the next attempt to reach the backend. Raises `WaitedTooLongError` after an outage too long."""
        if (late := self.fail(error)) is not None:
            raise late
        await self.wait()
        self.probed()

    def _wait(self, since: float) -> float:
        """Return the seconds before the next probe; the last probe comes at the end of the time that is allowed."""
        wait = max(self._after, min(FIRST_PROBE * 2.0**self._probes, LONGEST_PROBE))
        self._probes = min(self._probes + 1, 16)
        return max(0.0, min(wait, since + 60 * self.minutes - self.now()))

    def _give_up(self, error: UnavailableError, seconds: float) -> WaitedTooLongError:
        asked = f" The server asks to be left alone for {duration(self._after)}." if self._after else ""
        return WaitedTooLongError(
            f"The backend {self.backend!r} was unavailable for {duration(seconds)}, and the run waits for at most "
            f"{self.minutes:g} minutes.{asked} {error.cause}",
            f"{error.remedy.rstrip('.')}. Then run again with --resume (Python: resume=True); all finished turns are "
            "stored. `retry.minutes` sets how long a run waits.",
        )

    async def reach(self, ask: Callable[[], Awaitable[Found]]) -> Found:
        """Return what `ask` returns, called again after each wait. Raises `WaitedTooLongError` after an outage."""
        while True:
            try:
                found = await ask()
            except UnavailableError as error:
                await self.bear(error)
            else:
                self.answer()
                return found

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
