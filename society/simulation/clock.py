"""Seconds of a backend, shared among the requests that it answers at the same time.

While n requests are in flight, each is charged one n-th of the time that passes. So the seconds of all requests add up
to the time in which at least one was in flight: the time that the backend was at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


def loop_time() -> float:
    """Return the seconds of the running event loop's clock."""
    return asyncio.get_running_loop().time()


@dataclass
class FairClock:
    """The clock of one backend."""

    now: Callable[[], float] = loop_time
    in_flight: int = 0
    charged: float = 0.0
    """Seconds that a request would have been charged that was in flight from the beginning."""
    _looked: float = 0.0

    def start(self) -> float:
        """Note that a request begins, and return what `charged` is then."""
        self._advance()
        self.in_flight += 1
        return self.charged

    def stop(self, since: float) -> float:
        """Note that a request ends that began at `since`, and return its share in seconds."""
        self._advance()
        self.in_flight -= 1
        return self.charged - since

    def _advance(self) -> None:
        now = self.now()
        if self.in_flight:
            self.charged += max(0.0, now - self._looked) / self.in_flight
        self._looked = now


@dataclass(slots=True)
class Stopwatch:
    """Adds up what one turn is charged, over all attempts at it; waits between attempts are free."""

    clock: FairClock
    seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Charge the turn for the time within."""
        since = self.clock.start()
        try:
            yield
        finally:
            self.seconds += self.clock.stop(since)
