"""Which weights a server holds: requests for the same weights run together, requests for others wait for their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from society.core.errors import DroppedError

ASLEEP = "asleep"
"""The state without weights, while another program uses the device."""
BASE = "base"
"""The weights of the base."""
UNKNOWN = "unknown"
"""The weights after a change that failed: a part of the new ones may be in place."""


class Turns:
    """Changes the weights between groups of requests; `change` puts others in place, or puts the server to sleep.

    When no request is in flight, the weights of the longest waiting request are next, and all requests that wait for
    them go together.
    """

    def __init__(self, change: Callable[[str], Awaitable[None]]) -> None:
        self._change = change
        self._held = BASE
        self._active = 0
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._changing: asyncio.Task[None] | None = None

    @property
    def held(self) -> str:
        """Weights that the server holds."""
        return self._held

    @asynccontextmanager
    async def using(self, weights: str) -> AsyncIterator[None]:
        """Hold these weights in place within the block."""
        await self._enter(weights)
        try:
            yield
        finally:
            self._active -= 1
            self._advance()

    async def _enter(self, weights: str) -> None:
        if weights == self._held and not self._waiting and self._changing is None:
            self._active += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((weights, turn))
        self._advance()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came at the same moment
                self._active -= 1
                self._advance()
            raise

    def drop_queued(self) -> None:
        """Let all requests that wait for other weights raise `DroppedError`. A training goes on waiting."""
        for weights, turn in self._waiting:
            if weights != ASLEEP and not turn.done():
                turn.set_exception(DroppedError())
        self._waiting = deque(waiting for waiting in self._waiting if not waiting[1].done())

    def _advance(self) -> None:
        if self._active == 0 and self._waiting and self._changing is None:
            self._changing = asyncio.ensure_future(self._next())

    async def _next(self) -> None:
        """Change to the weights of the longest waiting request, and let all requests for them go."""
        if not self._waiting:
            self._changing = None
            return
        weights = self._waiting[0][0]
        failure: BaseException | None = None
        try:
            if weights != self._held:
                await self._change(weights)
                self._held = weights
        except BaseException as error:
            failure, self._held = error, UNKNOWN
        mine = [turn for wanted, turn in self._waiting if wanted == weights and not turn.done()]
        self._waiting = deque((wanted, turn) for wanted, turn in self._waiting if wanted != weights)
        self._changing = None
        for turn in mine:
            if failure is not None:
                turn.set_exception(failure)
            else:
                self._active += 1
                turn.set_result(None)
        self._advance()
