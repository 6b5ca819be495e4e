"""The number of requests in flight, adapted to the load of the server (additive increase, multiplicative decrease).

The limit grows by one with every response until the server is first busy, and then by one with every whole window of
responses. It is halved whenever the server is busy: it refuses a request, or requests wait in its queue for as long as
they are worked on. All clients of a server see the same queue, so each gets a fair share, and the queue stays bounded.
Sources: Chiu and Jain 1989; slow start of Jacobson 1988.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from backends.openai.failures import BusyError, NoAnswerError
from society.core.errors import DroppedError

Judge = Callable[[float], bool | None]
LONGEST_PAUSE = 60.0
"""Maximum seconds for which all requests wait because of a server's Retry-After."""


class Limit:
    """A window of requests. Each request holds a place; requests without a place wait in the order of arrival."""

    def __init__(self, most: int, start: int = 8, judge: Judge = lambda size: False) -> None:
        """`judge` returns after each response whether the window of this size shrinks or grows; None: neither."""
        self.most, self._judge = most, judge
        self.size = float(min(start, most))
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._steep = True
        self._dropped = asyncio.Event()
        self._drops = 0
        self._cut_at = self._resume_at = 0.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place during a request. `BusyError` shrinks the window; after a reply, `judge` decides."""
        await self._enter()
        try:
            started = await self._pause()
            try:
                yield
            except (BusyError, NoAnswerError) as busy:
                self._shrink(started, busy.after)
                raise
            self._adapt(started)
        finally:
            self.in_flight -= 1
            self._wake()

    def _adapt(self, started: float) -> None:
        """Shrink the window if requests wait at the server, else let it grow. `started`: start time of the request."""
        crowded = self._judge(self.size)
        if crowded:
            self._shrink(started, None)
        elif crowded is not None:
            self._grow()

    async def _enter(self) -> None:
        """Take a place. A request that ends passes its place to the first waiting one, so the order is kept."""
        if not self._waiting and self.in_flight < int(self.size):
            self.in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        drops = self._drops
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place was passed on at the same moment
                self.in_flight -= 1
                self._wake()
            raise
        if drops != self._drops:  # dropped after the place was passed on, and before the request began
            self.in_flight -= 1
            self._wake()
            raise DroppedError

    def drop_queued(self) -> None:
        """Let all requests raise `DroppedError` that wait for a place, or until the server wants to be asked again."""
        self._drops += 1
        self._dropped.set()
        self._dropped = asyncio.Event()
        waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            if not turn.done():
                turn.set_exception(DroppedError())

    def _wake(self) -> None:
        while self._waiting and self.in_flight < int(self.size):
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    async def _pause(self) -> float:
        """Wait as long as the server asked, and return the start time of the request."""
        clock = asyncio.get_running_loop().time
        while (left := self._resume_at - clock()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._dropped.wait()
                raise DroppedError
        return clock()

    def _grow(self) -> None:
        self.size = min(float(self.most), self.size + (1 if self._steep else 1 / self.size))

    def _shrink(self, started: float, after: float | None) -> None:
        """Halve the window, once for all requests that were in flight together."""
        now = asyncio.get_running_loop().time()
        if after:
            self._resume_at = max(self._resume_at, now + min(after, LONGEST_PAUSE))
        if started >= self._cut_at:
            self.size, self._steep, self._cut_at = max(1.0, self.size / 2), False, now
