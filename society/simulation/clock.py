"""Seconds of a backend, shared among the requests that are in flight at the same time.

While n requests are in flight, each gets one n-th of the time that passes. So the seconds of all requests add up to the
time in which at least one request was in flight: the busy time of the backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


def loop_time() -> float:
    """Return the seconds of the running event loop's clock."""
    return asyncio.get_running_loop().time()


@dataclass
class FairClock:
    """The clock of one backend, which shares its time equally among the requests in flight."""

    now: Callable[[], float] = loop_time
    in_flight: int = 0
    charged: float = 0.0
    """Seconds of a hypothetical request that has been in flight since the start."""
    _looked: float = 0.0

    def start(self) -> float:
        """Record the start of a request, and return the current value of `charged`."""
        self._advance()
        self.in_flight += 1
        return self.charged

    def stop(self, since: float) -> float:
        """Record the end of a request that started at the value `since`, and return its share in seconds."""
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
    """The seconds of one turn over all attempts at it, each in a `with` block, without the waits between them."""

    clock: FairClock
    seconds: float = 0.0

    _since: float = 0.0

    def __enter__(self) -> None:
        """Start to add the share of the time inside the block to the turn."""
        self._since = self.clock.start()

    def __exit__(self, *_: object) -> None:
        self.seconds += self.clock.stop(self._since)
