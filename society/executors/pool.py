"""Replicas of one backend: each request goes to the least busy one, and to another if that dies; the dead are replaced.

A request may be asked twice but is answered once: the caller stores the one answer that it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from society.core.errors import BackendError, SocietyError, TransientError
from society.core.types import Adapter
from society.executors.ray_calls import call, cause, dead, put
from society.executors.replica import Missing, Opened
from society.executors.request_batches import Line

CLOSING = 5
"""Seconds that a replica has to close its backend."""


@dataclass(eq=False)
class _Live:
    """A replica that is open, and the adapters on their way to it."""

    line: Line
    loading: dict[str, asyncio.Task[None]] = field(default_factory=dict)


@dataclass(eq=False)
class _Slot:
    """The place of one replica: the one that is open there, or being started."""

    actor: Any = None
    live: _Live | None = None
    lost: bool = False  # for good
    busy: int = 0
    starting: asyncio.Task[None] | None = None


class Pool:
    """The replicas; `start` makes a Ray actor of `Replica`, `retries` bounds how often in a row one is replaced."""

    def __init__(self, start: Callable[[], Any], count: int, retries: int) -> None:
        self._start, self._retries = start, retries
        self._slots = [_Slot() for _ in range(count)]
        self._changed = asyncio.Event()
        self._failure: SocietyError | None = None
        self.adapters: dict[str, Adapter] = {}
        self.opened: Opened | None = None
        self.users = 0
        """Backends that are open on it: runs of a sweep share one pool."""

    async def open(self) -> Opened:
        """Start all replicas and wait for the first. Raises what its backend raised."""
        await self._free()
        assert self.opened is not None
        return self.opened

    async def ask(self, method: str, *arguments: Any) -> Any:
        """What a replica answers. Raises `BackendError` when none is left, or the request ends every one it gets."""
        for _ in range(self._retries + 1):
            slot, live = await self._free()
            slot.busy += 1
            try:
                answer = await self._ask(live, method, *arguments)
            except dead() as error:
                self._replace(slot, live)
                last = error
                continue
            finally:
                slot.busy -= 1
            if isinstance(answer, SocietyError):
                raise answer
            return answer
        raise BackendError(
            f"{self._retries + 1} replicas in a row died at one request: {cause(last)}",
            "Look at Ray's logs for the cause; often it is a lack of memory.",
        )

    def ask_now(self, method: str, *arguments: Any) -> Any:
        """As `ask`, while the caller waits: for questions that are seldom and quick."""
        import ray

        for slot in [slot for slot in self._slots if slot.live]:
            try:
                answer = ray.get(getattr(slot.actor, method).remote(*arguments))
            except dead():
                continue
            if isinstance(answer, SocietyError):
                raise answer
            return answer
        raise TransientError("No replica of the backend is there to ask.", "Try again, or run again with --resume.")

    async def try_adapter(self, adapter: Adapter) -> None:
        """Load an adapter into a replica now, if one is there, to find out whether it fits."""
        for live in [slot.live for slot in self._slots if slot.live][:1]:
            with suppress(*dead()):  # whoever asks for it next will load it elsewhere
                refused = await self._load(live, adapter.hash)
                if refused is not None:
                    raise refused

    async def _ask(self, live: _Live, method: str, *arguments: Any) -> Any:
        answer = await live.line.ask(method, *arguments)
        if isinstance(answer, Missing):
            refused = await self._load(live, answer.hash)
            return refused or await live.line.ask(method, *arguments)
        return answer

    async def _load(self, live: _Live, name: str) -> SocietyError | None:
        """Bring an adapter to this replica, once however many ask for it."""
        if name not in self.adapters:
            return BackendError(f"No adapter {name[:12]} is loaded.", "Call `adapters.load` with it first.")
        if name not in live.loading:
            live.loading[name] = asyncio.ensure_future(self._ship(live.line.actor, self.adapters[name]))
        try:
            await asyncio.shield(live.loading[name])
        except SocietyError as error:
            return error
        return None

    async def _ship(self, actor: Any, adapter: Adapter) -> None:
        refused = await call(actor.load.remote(adapter, await asyncio.to_thread(put, Path(adapter.path))))
        if isinstance(refused, SocietyError):
            raise refused

    async def _free(self) -> tuple[_Slot, _Live]:
        """The least busy replica that is open; waits for one, starting those that are not there."""
        while True:
            if self._failure is not None:
                raise self._failure
            for slot in self._slots:
                if slot.live is None and not slot.lost and slot.starting is None:
                    slot.starting = asyncio.ensure_future(self._bring_up(slot))
            open_ones = [(slot, slot.live) for slot in self._slots if slot.live]
            if open_ones:
                return min(open_ones, key=lambda pair: pair[0].busy)
            self._changed.clear()
            await self._changed.wait()

    async def _bring_up(self, slot: _Slot) -> None:
        """Start a replica, again if it dies before it is open; the last one to fail is the pool's failure."""
        for _ in range(self._retries + 1):
            try:
                slot.actor = self._start()
                expected = self.opened.model_hash if self.opened else ""
                answer = await call(slot.actor.open.remote(expected))
            except dead() as error:
                failure: SocietyError = _gone(error)
                continue
            except Exception as error:  # whoever waits for this replica must be told, whatever it is
                answer = _gone(error)
            if isinstance(answer, Opened) and self.opened and answer.model_hash != self.opened.model_hash:
                answer = BackendError("Replicas hold different weights.", "Put the same model files on every machine.")
            if isinstance(answer, SocietyError):
                self._failure = answer
            else:
                self.opened, slot.live = self.opened or answer, _Live(Line(slot.actor))
            slot.starting = None
            self._changed.set()
            return
        slot.lost, slot.starting = True, None
        if all(other.lost for other in self._slots):
            self._failure = failure
        self._changed.set()

    def _replace(self, slot: _Slot, live: _Live) -> None:
        """This replica is gone: another is started in its place, by the first who finds out."""
        if slot.live is live:
            slot.live, slot.actor = None, None
            slot.starting = asyncio.ensure_future(self._bring_up(slot))

    async def close(self) -> None:
        """End all replicas and free what they hold. They start again when one is asked."""
        await asyncio.gather(*(_clear(slot) for slot in self._slots))


async def _clear(slot: _Slot) -> None:
    import ray

    live, starting, actor = slot.live, slot.starting, slot.actor
    slot.live, slot.starting, slot.actor = None, None, None
    if live is not None:
        await live.line.close()
    await _end([task for task in (starting, *(live.loading.values() if live else ())) if task is not None])
    if actor is not None:
        if live is not None:  # one that is only starting has nothing to close, and would be waited for
            with suppress(Exception):  # it is killed all the same
                await asyncio.wait_for(actor.close.remote(), CLOSING)
        ray.kill(actor)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _gone(error: Exception) -> BackendError:
    return BackendError(
        f"No replica could be started: {cause(error)}",
        "Look at Ray's logs for the cause; every machine needs the same packages and the model's files.",
    )
