"""Batches of awaitable requests. The event loop waits; one worker thread computes.

Batcher   adds rows to the running batch as others leave
Gatherer  computes the requests of one moment together
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from backends.hf.decode import Batch
from backends.hf.rows import Row
from backends.hf.static import StaticBatch
from society.core.errors import DroppedError

T = TypeVar("T")
R = TypeVar("R")
Run = Callable[..., Awaitable[Any]]
"""Function that runs another one on the worker thread, with its arguments."""


class Batcher:
    """A loop that advances a batch while there are requests.

    Rows join when a quarter of the slots is free, because the other rows wait while prompts are computed. Rows that
    need other weights in memory wait until the batch is empty. Until then no row joins.

    With `steady`, each step waits for the prompts that are being tokenized. The rows of a step then do not depend on
    the speed of the tokenizer, and the same run has the same log-probabilities to the last digit.
    """

    def __init__(self, batch: Batch | StaticBatch, run: Run, slots: int, tokens: int, steady: bool = False) -> None:
        self.batch, self.run, self.steady = batch, run, steady
        self.slots, self.tokens = slots, tokens
        self.waiting: dict[Row, asyncio.Future[None]] = {}
        self.running: dict[Row, asyncio.Future[None]] = {}
        self.task: asyncio.Task[None] | None = None
        self._tokenizing = 0
        self._tokenized = asyncio.Event()

    @contextmanager
    def tokenizing(self) -> Iterator[None]:
        """Count a prompt as being tokenized within this context."""
        self._tokenizing += 1
        self._tokenized.clear()
        try:
            yield
        finally:
            self._tokenizing -= 1
            if not self._tokenizing:
                self._tokenized.set()

    async def generate(self, row: Row) -> None:
        """Return when the row is finished. Cancelling frees its place at the next step."""
        future = self.waiting[row] = asyncio.get_running_loop().create_future()
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._work())
        try:
            await future
        finally:
            row.cancelled = row.finish is None
            self.waiting.pop(row, None)

    def drop_queued(self) -> None:
        """Let all rows that have not joined the batch raise `DroppedError`."""
        waiting, self.waiting = self.waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(DroppedError())

    async def close(self) -> None:
        """Stop the loop and cancel all waiting requests."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        for future in (*self.waiting.values(), *self.running.values()):
            future.cancel()

    async def _work(self) -> None:
        await asyncio.sleep(0)  # let all ready tasks make their requests first
        while self.waiting or self.running:
            while self.steady and self._tokenizing:
                await self._tokenized.wait()
                await asyncio.sleep(0)  # let the tokenized rows join
            joining = self._admit()
            for row in joining:
                self.running[row] = self.waiting.pop(row)
            try:
                done = await self.run(self.batch.advance, joining)
            except Exception as error:
                self._fail(error)
                continue
            for row in done:
                _resolve(self.running.pop(row))

    def _admit(self) -> list[Row]:
        """Return the rows that may join now, in the order of their requests, as slots and the cache allow."""
        present = list(self.running)
        if not self.waiting or (present and self.slots - len(present) < max(1, self.slots // 4)):
            return []
        group = self._group(present[0] if present else next(iter(self.waiting)))
        if present and any(self._group(row) != group for row in self.waiting):
            return []
        rows = list(present)
        longest = max((row.longest for row in rows), default=0)
        total = sum(row.longest for row in rows)
        for row in self.waiting:
            if self._group(row) != group:
                continue
            longest, total = max(longest, row.longest), total + row.longest
            if rows and (len(rows) == self.slots or self.batch.cost(len(rows) + 1, longest, total) > self.tokens):
                break
            rows.append(row)
        return rows[len(present) :]

    def _group(self, row: Row) -> str | None:
        return self.batch.weights.group(row.request.adapter)

    def _fail(self, error: Exception) -> None:
        """Raise the error in all requests of the batch, and continue with an empty batch."""
        for future in self.running.values():
            if not future.done():
                future.set_exception(error)
        self.running.clear()
        self.batch.clear()


class Gatherer(Generic[T, R]):
    """Collects questions while the worker is busy and computes them in one call."""

    def __init__(self, run: Run, compute: Callable[[Sequence[T]], list[R]]) -> None:
        self.run, self.compute = run, compute
        self.waiting: list[tuple[T, asyncio.Future[R]]] = []
        self.task: asyncio.Task[None] | None = None

    async def ask(self, question: T) -> R:
        """Return the answer to one question, computed together with others of the same moment."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.waiting.append((question, future))
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        await asyncio.sleep(0)
        while self.waiting:
            asked, self.waiting = self.waiting, []
            asked = [(question, future) for question, future in asked if not future.done()]
            try:
                answers = await self.run(self.compute, [question for question, _ in asked])
            except Exception as error:
                for _, future in asked:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(asked, answers, strict=True):
                _resolve(future, answer)


def _resolve(future: asyncio.Future[Any], value: Any = None) -> None:
    if not future.done():
        future.set_result(value)
