"""Replicas of one backend. Each request goes to the least busy replica; dead replicas are replaced.

A request is repeated on another replica if its replica dies, but the caller receives one answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from society.core.errors import BackendError, DroppedError, SocietyError, TransientError, UnavailableError
from society.core.machine import ProcessFacts
from society.core.types import Adapter
from society.executors.ray_calls import call, describe_cause, put_chunks, worker_errors
from society.executors.replica import Missing, Opened
from society.executors.request_batches import Connection

CLOSING = 5
"""Timeout in seconds for a replica to close its backend."""


@dataclass(eq=False)
class _OpenReplica:
    """An open replica, and the adapters that are being sent to it."""

    connection: Connection
    loading: dict[str, asyncio.Task[None]] = field(default_factory=dict)


@dataclass(eq=False)
class _Slot:
    """A slot for one replica, which is open or being started."""

    actor: Any = None
    live: _OpenReplica | None = None
    lost: bool = False  # whether no more replacement is started
    busy: int = 0
    starting: asyncio.Task[None] | None = None


class Pool:
    """The replicas of a backend. `start` starts a Ray actor of `Replica`; `retries` limits replacements in a row."""

    def __init__(self, start: Callable[[], Any], count: int, retries: int) -> None:
        self._start, self._retries = start, retries
        self._slots = [_Slot() for _ in range(count)]
        self._changed = asyncio.Event()
        self._failure: SocietyError | None = None
        self._drops = 0
        self._dropping: set[asyncio.Task[Any]] = set()
        self.adapters: dict[str, Adapter] = {}
        self.opened: Opened | None = None
        self.processes: list[ProcessFacts] = []
        """Processes of replicas and finetunings, each once."""
        self.users = 0
        """Number of open backends on this pool. Runs of a sweep share a pool."""

    async def open(self) -> Opened:
        """Start all replicas and wait for the first. Raises the error of its backend."""
        await self._pick()
        assert self.opened is not None
        return self.opened

    async def ask(self, method: str, *arguments: Any) -> Any:
        """Return a replica's answer. Raises `BackendError` if no replica is left or all that try it die."""
        drops = self._drops if method == "generate" else None
        for _ in range(self._retries + 1):
            slot, live = await self._pick(drops)
            slot.busy += 1
            try:
                answer = await self._ask(live, method, *arguments)
            except worker_errors() as error:
                self._replace(slot, live)
                last = error
                continue
            finally:
                slot.busy -= 1
            if isinstance(answer, SocietyError):
                raise answer
            return answer
        raise BackendError(
            f"{self._retries + 1} replicas in a row died during one request: {describe_cause(last)}",
            "See Ray's logs for the cause. Often memory ran out.",
        )

    def drop_queued(self) -> None:
        """Let `generate` raise `DroppedError` for requests that no model has begun, here and in the replicas."""
        self._drops += 1
        self._changed.set()
        for live in [slot.live for slot in self._slots if slot.live]:
            task = asyncio.ensure_future(live.connection.ask("drop_queued"))
            self._dropping.add(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._dropping.discard(task)
        if not task.cancelled():
            task.exception()  # the replica has died, and its requests with it

    def ask_now(self, method: str, *arguments: Any) -> Any:
        """Block until a replica answers. For rare and fast methods."""
        import ray

        for slot in [slot for slot in self._slots if slot.live]:
            try:
                answer = ray.get(getattr(slot.actor, method).remote(*arguments))
            except worker_errors():
                continue
            if isinstance(answer, SocietyError):
                raise answer
            return answer
        raise TransientError(
            "No replica of the backend is open.", "Try again, or run again with --resume (Python: resume=True)."
        )

    async def try_adapter(self, adapter: Adapter) -> None:
        """Load an adapter into an open replica, if any, to find out whether it fits."""
        for live in [slot.live for slot in self._slots if slot.live][:1]:
            with suppress(*worker_errors()):  # the next request loads it into another replica
                refused = await self._load(live, adapter.hash)
                if refused is not None:
                    raise refused

    async def _ask(self, live: _OpenReplica, method: str, *arguments: Any) -> Any:
        answer = await live.connection.ask(method, *arguments)
        if isinstance(answer, Missing):
            refused = await self._load(live, answer.hash)
            return refused or await live.connection.ask(method, *arguments)
        return answer

    async def _load(self, live: _OpenReplica, name: str) -> SocietyError | None:
        """Send an adapter to this replica once, also for concurrent requests."""
        if name not in self.adapters:
            return BackendError(f"No adapter {name[:12]} is loaded.", "Call `adapters.load` with it first.")
        if name not in live.loading:
            live.loading[name] = asyncio.ensure_future(self._ship(live.connection.actor, self.adapters[name]))
        try:
            await asyncio.shield(live.loading[name])
        except SocietyError as error:
            return error
        return None

    async def _ship(self, actor: Any, adapter: Adapter) -> None:
        refused = await call(actor.load.remote(adapter, await asyncio.to_thread(put_chunks, Path(adapter.path))))
        if isinstance(refused, SocietyError):
            raise refused

    async def _pick(self, drops: int | None = None) -> tuple[_Slot, _OpenReplica]:
        """Return the least busy open replica. Start missing ones, and wait until one is open.

        Raises `DroppedError` once queued requests have been dropped more than `drops` times.
        """
        while True:
            if drops not in (None, self._drops):
                raise DroppedError
            if (failure := self._failure) is not None:
                if isinstance(failure, UnavailableError):
                    self._failure = None  # the next call tries again
                raise failure
            for slot in self._slots:
                if slot.live is None and not slot.lost and slot.starting is None:
                    slot.starting = asyncio.ensure_future(self._start_replica(slot))
            open_ones = [(slot, slot.live) for slot in self._slots if slot.live]
            if open_ones:
                return min(open_ones, key=lambda pair: pair[0].busy)
            self._changed.clear()
            await self._changed.wait()

    async def _start_replica(self, slot: _Slot) -> None:
        """Start a replica, again if it dies before it is open. If all slots fail, the pool fails."""
        for _ in range(self._retries + 1):
            try:
                slot.actor = self._start()
                expected = self.opened.model_hash if self.opened else ""
                answer = await call(slot.actor.open.remote(expected))
            except worker_errors() as error:
                failure: SocietyError = _start_error(error)
                continue
            except Exception as error:  # callers wait for this replica and must receive any error
                answer = _start_error(error)
            if isinstance(answer, Opened) and self.opened and answer.model_hash != self.opened.model_hash:
                answer = BackendError("Replicas hold different weights.", "Put the same model files on every machine.")
            if isinstance(answer, SocietyError):
                self._failure = answer
            else:
                self.opened, slot.live = self.opened or answer, _OpenReplica(Connection(slot.actor))
                self.add_process(answer.process)
            slot.starting = None
            self._changed.set()
            return
        slot.lost, slot.starting = True, None
        if all(other.lost for other in self._slots):
            self._failure = failure
        self._changed.set()

    def add_process(self, process: ProcessFacts) -> None:
        """Remember a process that works for the backend."""
        if process not in self.processes:
            self.processes.append(process)

    def _replace(self, slot: _Slot, live: _OpenReplica) -> None:
        """Start a replacement for a dead replica, unless another caller has done so."""
        if slot.live is live:
            slot.live, slot.actor = None, None
            slot.starting = asyncio.ensure_future(self._start_replica(slot))

    async def close(self) -> None:
        """Stop all replicas and free their resources. The next request starts them again."""
        await asyncio.gather(*(_clear(slot) for slot in self._slots))


async def _clear(slot: _Slot) -> None:
    import ray

    live, starting, actor = slot.live, slot.starting, slot.actor
    slot.live, slot.starting, slot.actor = None, None, None
    if live is not None:
        await live.connection.close()
    await _end([task for task in (starting, *(live.loading.values() if live else ())) if task is not None])
    if actor is not None:
        if live is not None:  # a starting replica has nothing to close, and would not answer
            with suppress(Exception):  # the actor is killed anyway
                await asyncio.wait_for(actor.close.remote(), CLOSING)
        ray.kill(actor)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _start_error(error: Exception) -> BackendError:
    return BackendError(
        f"Cannot start a replica: {describe_cause(error)}",
        "See Ray's logs for the cause. Every machine needs the same packages and the model's files.",
    )
