"""An event loop whose clock jumps to the next timer instead of waiting for it: hours of waiting in no time.

Nothing but timers may be waited for: what another thread or a socket brings comes in real time, and the clock stands
still only as long as no timer is set.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its time, in seconds, begins at 0."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Return the virtual time."""
        return self.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Join the threads without a limit: since Python 3.12 the runner sets one, and virtual seconds pass at once."""
        await super().shutdown_default_executor()


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not timeout or timeout < 0:
            return super().select(timeout)
        events = super().select(0)
        if not events:
            self._loop.now += timeout
        return events


def run_in_virtual_time(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Return the result of the coroutine, and the virtual seconds that it took."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        result = runner.run(work)
        return result, runner.get_loop().time()
