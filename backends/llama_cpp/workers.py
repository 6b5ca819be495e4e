"""A pool of workers, each with a context, slots and threads of its own, and the choice of the worker for a request.

llama.cpp's threads wait for one another after every operation, hundreds of times per token; workers never do. With
enough requests, one thread on each core computes more than all cores together on one batch. A worker can reuse only its
own prefixes, so a request goes to the worker that knows most of its prompt and uses its adapter, unless another worker
has much less work. The choice affects results no more than the other rows of a batch.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from backends.llama_cpp.jobs import Job
from backends.llama_cpp.scheduler import Scheduler

BLOCK = 32
"""Granularity, in tokens, at which shared prompt prefixes are detected."""
MAX_PREFIXES = 1 << 16
"""Maximum number of remembered prefixes; the oldest are removed first."""
PREFIX_BONUS = 4
"""Number of extra requests with which a worker that knows a prompt's prefix is still chosen."""
ADAPTER_COST = 12
"""Number of fewer requests for which a worker that does not use the adapter is chosen."""


class WorkerPool:
    """Workers behind one interface, for use from one thread."""

    def __init__(self, workers: Sequence[Scheduler]) -> None:
        self._workers = list(workers)
        self._busy: list[Counter[str | None]] = [Counter() for _ in workers]  # requests in progress by adapter
        self._known: OrderedDict[int, int] = OrderedDict()  # hash of a prefix -> one bit per worker that computed it

    def submit(self, job: Job) -> None:
        """Queue a job. Its future is resolved on its own loop."""
        prefixes = _prefix_hashes(job)
        index = self._choose(job.adapter, prefixes)
        self._workers[index].submit(job)
        self._busy[index][job.adapter] += 1
        job.future.add_done_callback(lambda _: self._leave(index, job.adapter))
        self._remember(prefixes, index)

    def drop_queued(self) -> None:
        """Let replies that no worker has begun raise `DroppedError`."""
        for worker in self._workers:
            worker.drop_queued()

    def call(self, function: Callable[[], None]) -> Future[None]:
        """Run `function` while all workers wait between two steps."""
        outcome: Future[None] = Future()
        gate = threading.Barrier(len(self._workers), action=lambda: _settle(outcome, function))
        try:
            for worker in self._workers:
                worker.call(gate.wait)
        except BaseException:
            gate.abort()
            raise
        return outcome

    def add_adapter(self, name: str, adapter: Any) -> None:
        """Make an adapter usable under `name`. Must run through `call`."""
        for worker in self._workers:
            worker.add_adapter(name, adapter)

    def knows(self, adapter: str | None) -> bool:
        """Return whether the adapter has been added."""
        return self._workers[0].knows(adapter)

    def close(self) -> None:
        """Stop the workers, fail unfinished jobs, and wait for the end of the threads."""
        for worker in self._workers:
            worker.close()

    def _choose(self, adapter: str | None, prefixes: list[int]) -> int:
        """Return the index of the worker with the least work, after bonuses for known prefixes and adapters."""
        knowing = next((self._known[prefix] for prefix in reversed(prefixes) if prefix in self._known), 0)

        def cost(index: int) -> int:
            busy = self._busy[index]
            lacks_adapter = busy.total() > 0 and not busy[adapter]
            return busy.total() - PREFIX_BONUS * (knowing >> index & 1) + ADAPTER_COST * lacks_adapter

        return min(range(len(self._workers)), key=cost)

    def _leave(self, index: int, adapter: str | None) -> None:
        self._busy[index][adapter] -= 1

    def _remember(self, prefixes: list[int], index: int) -> None:
        for prefix in prefixes:
            self._known[prefix] = self._known.pop(prefix, 0) | 1 << index
        while len(self._known) > MAX_PREFIXES:
            self._known.popitem(last=False)


def _prefix_hashes(job: Job) -> list[int]:
    """Return a hash of each prefix of whole blocks, the shortest first."""
    ends = range(BLOCK, len(job.prompt) + 1, BLOCK)
    return [hash((job.adapter, job.prompt[:end].tobytes())) for end in ends]


def _settle(outcome: Future[None], function: Callable[[], None]) -> None:
    """Set `outcome` to the result or the error of `function`."""
    try:
        function()
    except BaseException as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(None)
