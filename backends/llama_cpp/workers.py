"""Workers side by side, each with a context, slots and threads of its own: which of them gets a request.

llama.cpp's threads wait for one another after every operation, hundreds of times a token. Workers never do: as long as
there are requests enough, one thread on each core computes more than all cores together on one batch. What a worker has
computed is of use to itself alone, so a request goes where most of it is known and where its adapter is in use already,
unless another worker has much less to do. Results do not depend on the choice more than on a batch's other company.
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
"""Tokens: what prompts have in common is told in so many."""
REMEMBERED = 1 << 16
"""Beginnings of prompts that are remembered; the oldest go."""
KNOWN = 4
"""A worker that knows a prompt's beginning is chosen even if it has so many requests more than another."""
OTHER_ADAPTER = 12
"""An adapter is brought to a worker that does not use it only if that one has so many requests fewer."""


class Team:
    """Some workers, as if they were one. To be used from one thread."""

    def __init__(self, workers: Sequence[Scheduler]) -> None:
        self._workers = list(workers)
        self._busy: list[Counter[str | None]] = [Counter() for _ in workers]  # unanswered requests by adapter
        self._known: OrderedDict[int, int] = OrderedDict()  # a beginning -> one bit for each worker that computed it

    def submit(self, job: Job) -> None:
        """Hand in a job; its future is resolved on its own loop."""
        beginnings = _beginnings(job)
        index = self._choose(job.adapter, beginnings)
        self._workers[index].submit(job)
        self._busy[index][job.adapter] += 1
        job.future.add_done_callback(lambda _: self._leave(index, job.adapter))
        self._remember(beginnings, index)

    def call(self, function: Callable[[], None]) -> Future[None]:
        """Run `function` while all workers rest between two steps."""
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
        """Make an adapter usable under `name`; to be called through `call`."""
        for worker in self._workers:
            worker.add_adapter(name, adapter)

    def knows(self, adapter: str | None) -> bool:
        """Whether that adapter has been added."""
        return self._workers[0].knows(adapter)

    def close(self) -> None:
        """Stop the workers, fail what is unfinished, and wait until the threads have ended."""
        for worker in self._workers:
            worker.close()

    def _choose(self, adapter: str | None, beginnings: list[int]) -> int:
        """The worker with the least to do, after what its knowledge and its adapters are worth."""
        knowing = next((self._known[one] for one in reversed(beginnings) if one in self._known), 0)

        def cost(index: int) -> int:
            busy = self._busy[index]
            strange = busy.total() > 0 and not busy[adapter]
            return busy.total() - KNOWN * (knowing >> index & 1) + OTHER_ADAPTER * strange

        return min(range(len(self._workers)), key=cost)

    def _leave(self, index: int, adapter: str | None) -> None:
        self._busy[index][adapter] -= 1

    def _remember(self, beginnings: list[int], index: int) -> None:
        for one in beginnings:
            self._known[one] = self._known.pop(one, 0) | 1 << index
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _beginnings(job: Job) -> list[int]:
    """A number for each beginning of whole blocks, the shortest first."""
    ends = range(BLOCK, len(job.prompt) + 1, BLOCK)
    return [hash((job.adapter, job.prompt[:end].tobytes())) for end in ends]


def _settle(outcome: Future[None], function: Callable[[], None]) -> None:
    """Give `outcome` what `function` comes to."""
    try:
        function()
    except BaseException as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(None)
