"""Batches of requests and answers between the engine and one replica.

A call to a Ray actor takes more of the engine's time than all its other work for a turn. Requests that arrive during a
call therefore share the next call, and so do finished answers. No request waits for a slower one, and batches grow
with the load.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Coroutine, Sequence
from functools import partial
from itertools import count
from typing import Any

from society.core.errors import BackendError
from society.executors.ray_calls import ReplicaLostError, call, describe_cause, worker_errors

Packet = tuple[int, bytes]
"""A request or an answer: its number and a pickle of its own, so that a broken pickle affects no other."""


class Connection:
    """The engine's side. Once the actor is dead, all pending and later requests raise Ray's error."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._packets: list[Packet] = []
        self._dropped: list[int] = []
        self._ready = asyncio.Event()
        self._failure: Exception | None = None
        self._tasks = [asyncio.ensure_future(self._guard(work())) for work in (self._send, self._fetch)]

    async def ask(self, method: str, *arguments: Any) -> Any:
        """Return the actor's answer. Cancelling this coroutine cancels the request in the actor."""
        if self._failure is not None:
            raise self._failure
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self._packets.append((number, write((method, arguments))))
        self._waiting[number] = future
        self._ready.set()
        try:
            return await future
        finally:
            if self._waiting.pop(number, None) is not None and self._failure is None:
                self._dropped.append(number)
                self._ready.set()

    async def _send(self) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            packets, self._packets = self._packets, []
            dropped, self._dropped = self._dropped, []
            await call(self.actor.submit.remote(packets, dropped))

    async def _fetch(self) -> None:
        while True:
            for number, packet in await call(self.actor.collect.remote()):
                future = self._waiting.pop(number, None)
                if future is not None and not future.done():
                    future.set_result(read(packet))

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self._fail(error if isinstance(error, worker_errors()) else ReplicaLostError(describe_cause(error)))

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._failure)
        self._waiting.clear()

    async def close(self) -> None:
        """Stop sending. Pending requests raise `BackendError`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail(BackendError("The backend was closed.", "Open it again."))


class Dispatcher:
    """The replica's side: runs requests on `owner` concurrently, and keeps answers until they are collected."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._working: dict[int, asyncio.Task[bytes]] = {}
        self._finished: list[Packet] = []
        self._ready = asyncio.Event()

    def submit(self, packets: Sequence[Packet], dropped: Sequence[int]) -> None:
        """Start the requests in these packets, and cancel the dropped ones."""
        for number, packet in packets:
            self._working[number] = asyncio.ensure_future(self._work(packet))
            self._working[number].add_done_callback(partial(self._finish, number))
        for number in dropped:
            if number in self._working:
                self._working[number].cancel()

    async def _work(self, packet: bytes) -> bytes:
        try:
            method, arguments = pickle.loads(packet)
            return write(await getattr(self._owner, method)(*arguments))
        except Exception as error:  # the caller must receive any error
            return write(BackendError(f"{type(error).__name__}: {error}", "This is a fault of the backend's code."))

    def close(self) -> None:
        """Cancel all requests."""
        for task in self._working.values():
            task.cancel()

    def _finish(self, number: int, task: asyncio.Task[bytes]) -> None:
        del self._working[number]
        if not task.cancelled():
            self._finished.append((number, task.result()))
            self._ready.set()

    async def collect(self) -> list[Packet]:
        """Return all finished answers; wait for at least one."""
        await self._ready.wait()
        self._ready.clear()
        finished, self._finished = self._finished, []
        return finished


def write(content: Any) -> bytes:
    """Return the content as a pickle."""
    return pickle.dumps(content, pickle.HIGHEST_PROTOCOL)


def read(packet: bytes) -> Any:
    """Return the content of a replica's answer; a `BackendError` if it cannot be unpickled here."""
    try:
        return pickle.loads(packet)
    except Exception as error:
        return BackendError(
            f"Cannot read a replica's answer: {describe_cause(error)}", "Install the same versions on every machine."
        )
