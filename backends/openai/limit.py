"""How many requests are in flight: one more for every one that is answered until the server is first busy, from then
on one more for a whole window of them; half as many when it is (additive increase, multiplicative decrease: Chiu and
Jain 1989, with the slow start of Jacobson 1988)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backends.openai.failures import BusyError

LONGEST_PAUSE = 60.0
"""Seconds for which everything waits, at most, because the server says when to come back."""


class Limit:
    """A place in the window is held during each request; who finds none waits in the order of arrival."""

    def __init__(self, most: int, start: int = 8) -> None:
        self.most = most
        self.size = float(min(start, most))
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._steep = True
        self._cut_at = self._resume_at = 0.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place; what the request raises says whether the server is busy."""
        await self._enter()
        try:
            started = await self._pause()
            try:
                yield
            except BusyError as busy:
                self._shrink(started, busy.after)
                raise
            self._grow()
        finally:
            self.in_flight -= 1
            self._wake()

    async def _enter(self) -> None:
        """Take a place. A place is handed over by whoever frees it, so that nobody jumps the queue."""
        if not self._waiting and self.in_flight < int(self.size):
            self.in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place was handed over in the same moment
                self.in_flight -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and self.in_flight < int(self.size):
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    async def _pause(self) -> float:
        """Wait as long as the server asked for; the time at which the request starts."""
        clock = asyncio.get_running_loop().time
        while (left := self._resume_at - clock()) > 0:
            await asyncio.sleep(left)
        return clock()

    def _grow(self) -> None:
        self.size = min(float(self.most), self.size + (1 if self._steep else 1 / self.size))

    def _shrink(self, started: float, after: float | None) -> None:
        """Halve, once for all requests that were in flight together."""
        now = asyncio.get_running_loop().time()
        if after:
            self._resume_at = max(self._resume_at, now + min(after, LONGEST_PAUSE))
        if started >= self._cut_at:
            self.size, self._steep, self._cut_at = max(1.0, self.size / 2), False, now
