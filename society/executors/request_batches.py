"""Requests and answers on their way between the engine and one replica.

A call to a Ray actor costs more of the engine's time than all else that it does for a turn. So what is asked of a
replica while a call is on its way travels together in the next one, and what it has finished comes back together:
nobody waits for the slowest, and the busier the engine is, the more each call carries.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Coroutine, Sequence
from functools import partial
from itertools import count
from typing import Any

from society.core.errors import BackendError
from society.executors.ray_calls import Lost, call, cause, dead

Letter = tuple[int, bytes]
"""A number that both ends know it by, and a pickle. Each has one of its own: one that is broken harms no other."""


class Line:
    """The engine's end. It is dead once its actor is: whoever waits then, or asks later, is told what Ray raised."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._letters: list[Letter] = []
        self._dropped: list[int] = []
        self._something = asyncio.Event()
        self._failure: Exception | None = None
        self._tasks = [asyncio.ensure_future(self._alive(work())) for work in (self._send, self._fetch)]

    async def ask(self, method: str, *arguments: Any) -> Any:
        """What the actor answers; cancelled, it is told to give that up."""
        if self._failure is not None:
            raise self._failure
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self._letters.append((number, write((method, arguments))))
        self._waiting[number] = future
        self._something.set()
        try:
            return await future
        finally:
            if self._waiting.pop(number, None) is not None and self._failure is None:
                self._dropped.append(number)
                self._something.set()

    async def _send(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            letters, self._letters = self._letters, []
            dropped, self._dropped = self._dropped, []
            await call(self.actor.take.remote(letters, dropped))

    async def _fetch(self) -> None:
        while True:
            for number, letter in await call(self.actor.give.remote()):
                future = self._waiting.pop(number, None)
                if future is not None and not future.done():
                    future.set_result(read(letter))

    async def _alive(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._fail(error if isinstance(error, dead()) else Lost(cause(error)))

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._failure)
        self._waiting.clear()

    async def close(self) -> None:
        """Carry nothing any more. Who still waits is told so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail(BackendError("The backend was closed.", "Open it again."))


class Mailbox:
    """The replica's end: does what letters ask of `owner`, all at once, and keeps answers until they are fetched."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._working: dict[int, asyncio.Task[bytes]] = {}
        self._finished: list[Letter] = []
        self._something = asyncio.Event()

    def take(self, letters: Sequence[Letter], dropped: Sequence[int]) -> None:
        """Begin what these ask for, and give up what nobody waits for any more."""
        for number, letter in letters:
            self._working[number] = asyncio.ensure_future(self._work(letter))
            self._working[number].add_done_callback(partial(self._finish, number))
        for number in dropped:
            if number in self._working:
                self._working[number].cancel()

    async def _work(self, letter: bytes) -> bytes:
        try:
            method, arguments = pickle.loads(letter)
            return write(await getattr(self._owner, method)(*arguments))
        except Exception as error:  # it has to reach the one who asked, whatever it is
            return write(BackendError(f"{type(error).__name__}: {error}", "This is a fault of the backend's code."))

    def close(self) -> None:
        """Give up everything."""
        for task in self._working.values():
            task.cancel()

    def _finish(self, number: int, task: asyncio.Task[bytes]) -> None:
        del self._working[number]
        if not task.cancelled():
            self._finished.append((number, task.result()))
            self._something.set()

    async def give(self) -> list[Letter]:
        """All that is finished; waits until something is."""
        await self._something.wait()
        self._something.clear()
        finished, self._finished = self._finished, []
        return finished


def write(content: Any) -> bytes:
    """As bytes."""
    return pickle.dumps(content, pickle.HIGHEST_PROTOCOL)


def read(letter: bytes) -> Any:
    """What a replica answers; an error, as it answers errors, where that cannot be read here."""
    try:
        return pickle.loads(letter)
    except Exception as error:
        return BackendError(
            f"A replica's answer cannot be read: {cause(error)}", "Install the same versions on every machine."
        )
