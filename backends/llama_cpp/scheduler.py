"""Continuous batching: one thread owns the context and computes all ready sequences together.

A job takes a slot as soon as one is free, and frees it as soon as it is done. Its prompt, except the last token, is
computed alone, starting from the longest known prefix under its adapter. The last token, and then each drawn token, is
computed together with one token of every other slot.

Two measurements of llama.cpp shape the schedule. Slots should be in ascending order without gaps, since each gap costs
a pass over the weights: a job takes the slot next to those of its adapter, and moves there when a gap opens. Changes of
adapter should be few, since each takes some milliseconds: an adapter stays active for a few steps.

With `reproducible`, a result depends only on its request. Prompts are computed in chunks that end at fixed positions,
and only whole chunks or whole prompts are reused. Every batch of replies has exactly `BLOCK` rows; free rows hold a
token, the filler, that is removed afterwards. No batch is a single token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from backends.llama_cpp.cache import Slot
from backends.llama_cpp.jobs import Generation, Job, Scoring
from backends.llama_cpp.memories import Memories, position
from backends.llama_cpp.native import Context, Model, Tokens
from backends.llama_cpp.sampling import log_probabilities
from backends.llama_cpp.sizes import BLOCK, CHUNK, LARGEST_BATCH
from society.core.errors import BackendError, DroppedError, SocietyError

log = logging.getLogger(__name__)

ADAPTER_STEPS = 8
"""Number of steps that an adapter stays active while others wait."""


class Scheduler:
    """Runs jobs on one context. The public methods may be called from other threads."""

    def __init__(
        self, model: Model, context: Context, slots: int, length: int, cache_bytes: int, reproducible: bool
    ) -> None:
        self._model, self._context = model, context
        self._reproducible = reproducible
        self._slots = [Slot(index, np.zeros(length, np.int32)) for index in range(slots)]
        self._memories = Memories(model, context, self._slots, cache_bytes, reproducible)
        self._adapters: dict[str | None, Any] = {None: None}
        self._waiting: list[Job] = []
        self._done: list[tuple[Job, Any]] = []
        self._adapter: str | None = None
        self._turn = 0
        self._inbox: queue.SimpleQueue[Job | Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._end: SocietyError | None = None  # why nothing more is accepted
        self._thread = threading.Thread(target=self._run, name="llama.cpp", daemon=True)
        self._thread.start()

    # Called from other threads.

    def submit(self, job: Job) -> None:
        """Queue a job. Its future is resolved on its own loop."""
        self._send(job)

    def call(self, function: Callable[[], object]) -> Future[None]:
        """Run `function` on the worker's thread, between two steps."""
        future: Future[None] = Future()

        def run() -> None:
            try:
                function()
                future.set_result(None)
            except BaseException as error:
                future.set_exception(error)

        self._send(run)
        return future

    def _send(self, order: Job | Callable[[], None]) -> None:
        with self._lock:
            if self._end:
                raise self._end
            self._inbox.put(order)

    def drop_queued(self) -> None:
        """Let replies that have no slot yet raise `DroppedError`. Returns at once; the worker drops them."""
        with contextlib.suppress(SocietyError):  # the worker has ended, and its jobs with it
            self._send(self._drop)

    def _drop(self) -> None:
        """Resolve waiting replies with `DroppedError`. Runs on the worker's thread."""
        dropped = [job for job in self._waiting if isinstance(job, Generation)]
        self._waiting = [job for job in self._waiting if not isinstance(job, Generation)]
        self._done.extend((job, DroppedError()) for job in dropped)

    def add_adapter(self, name: str, adapter: Any) -> None:
        """Make an adapter usable under `name`."""
        self._adapters[name] = adapter

    def knows(self, adapter: str | None) -> bool:
        """Return whether the adapter has been added."""
        return adapter in self._adapters

    def close(self) -> None:
        """Stop the worker, fail unfinished jobs, and wait for the end of the thread."""
        self._inbox.put(None)
        self._thread.join()

    # The worker.

    def _run(self) -> None:
        end: SocietyError = BackendError("The backend was closed before the reply was complete.")
        try:
            while self._receive():
                self._admit()
                self._step()
                self._post()
        except BaseException as error:
            log.debug("The worker stopped", exc_info=True)
            end = BackendError(
                f"The llama.cpp worker stopped: {error}", "Run again with --resume (Python: resume=True)."
            )
        self._fail(end)

    def _receive(self) -> bool:
        """Take queued jobs and calls, and wait for them if there is no other work. Return False when closing."""
        idle = not self._waiting and not any(slot.job for slot in self._slots)
        with contextlib.suppress(queue.Empty):
            while True:
                order = self._inbox.get(block=idle)
                idle = False
                if order is None:
                    return False
                if isinstance(order, Job):
                    self._waiting.append(order)
                else:
                    order()
        return True

    def _post(self) -> None:
        """Resolve the futures of finished jobs, with one message per loop."""
        for loop in {job.loop for job, _ in self._done}:
            mine = [(job.future, outcome) for job, outcome in self._done if job.loop is loop]
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits for the result
                loop.call_soon_threadsafe(_resolve, mine)
        self._done.clear()

    def _fail(self, end: SocietyError) -> None:
        """Fail all unfinished jobs with `end`, and all that are queued later."""
        with self._lock:
            self._end = end
        with contextlib.suppress(queue.Empty):
            while True:
                order = self._inbox.get_nowait()
                if isinstance(order, Job):
                    self._waiting.append(order)
                elif order:
                    order()
        jobs = [*self._waiting, *(slot.job for slot in self._slots if slot.job)]
        self._done.extend((job, end) for job in jobs)
        self._post()

    # Admission: a slot, and the known part of the prompt.

    def _admit(self) -> None:
        """Give free slots to waiting jobs in order of arrival, those of one adapter together."""
        for slot in self._slots:
            if slot.job and slot.job.cancelled:
                slot.job = None
        self._waiting = [job for job in self._waiting if not job.cancelled]
        free = sum(slot.job is None for slot in self._slots)
        admitted = self._waiting[:free]
        for job in sorted(admitted, key=lambda job: (job.adapter != self._adapter, job.adapter or "")):
            self._start(job)
            self._waiting.remove(job)  # not before: after a crash, the job must be found and failed

    def _start(self, job: Job) -> None:
        slot = self._free_slot(job.adapter)
        slot.job = job
        self._memories.resume(slot)
        self._switch(job.adapter)
        job.cached = self._memories.reuse(slot, job.adapter, job.prompt[:-1])
        self._prefill(slot, job.prompt[:-1])
        if isinstance(job, Scoring):
            self._score(slot, job)

    def _free_slot(self, adapter: str | None) -> Slot:
        return min((slot for slot in self._slots if not slot.job), key=self._rank(adapter))

    def _rank(self, adapter: str | None) -> Callable[[Slot], int]:
        """Return a sort key of slots for `adapter`: each active adapter fills slots from a start of its own."""
        jobs = (slot.job for slot in self._slots if slot.job)
        used = sorted({job.adapter or "" for job in jobs} | {adapter or ""})
        start = used.index(adapter or "") * len(self._slots) // len(used)
        return lambda slot: (slot.index - start) % len(self._slots)

    def _prefill(self, slot: Slot, prompt: Tokens) -> None:
        """Compute the rest of a prompt."""
        while slot.length < len(prompt):
            end = min(self._chunk_end(slot.length), len(prompt))
            self._compute(slot, prompt[slot.length : end], wanted=False)
        slot.stable = slot.length
        if self._memories.shortest(slot.length):
            self._memories.keep(slot)

    def _chunk_end(self, start: int) -> int:
        return start - start % CHUNK + CHUNK if self._reproducible else start + LARGEST_BATCH

    def _compute(self, slot: Slot, tokens: Tokens, wanted: bool) -> Any:
        """Compute tokens of one slot; their logits [tokens, vocabulary] if `wanted`."""
        count = len(tokens)
        if self._reproducible and count == 1:
            return self._compute_beside(slot, tokens, wanted)
        positions = np.arange(slot.length, slot.length + count)
        logits = self._context.decode(tokens, positions, np.full(count, slot.index), np.full(count, wanted))
        slot.append(tokens, count)
        return logits

    def _compute_beside(self, slot: Slot, token: Tokens, wanted: bool) -> Any:
        """Compute one token together with one of a neighbour slot, which is removed afterwards.

        For a single token, llama.cpp would sum up attention in one part per thread, and the result would depend on the
        number of threads.
        """
        neighbours = [other for other in self._slots if abs(other.index - slot.index) == 1]
        other = min(neighbours, key=lambda other: other.job is not None)
        self._memories.park(other)
        pair = sorted((slot, other), key=lambda one: one.index)
        positions, rows = [position(one) for one in pair], [one.index for one in pair]
        mine = [one is slot for one in pair]
        logits = self._context.decode(np.where(mine, token, 0), positions, rows, np.logical_and(mine, wanted))
        slot.append(token, 1)
        self._memories.remove_last(other)
        return logits

    def _score(self, slot: Slot, job: Scoring) -> None:
        """Compute a reply's log-probability. Each token is scored with the logits of the token before it."""
        given = np.concatenate([job.prompt[-1:], job.reply[:-1]])
        for start in range(0, len(given), CHUNK):
            logits = self._compute(slot, given[start : start + CHUNK], wanted=True)
            job.logprob += log_probabilities(logits, job.reply[start : start + CHUNK])
        self._finish(slot)

    # A step: one token of every slot of the active adapter.

    def _step(self) -> None:
        adapter = self._next_adapter()
        slots = [slot for slot in self._slots if slot.job and slot.job.adapter == adapter]
        if not slots:
            return
        self._switch(adapter)
        if not self._reproducible:
            self._advance(self._close_gap(slots, adapter), slots)
            return
        for start in range(0, len(self._slots), BLOCK):
            block = self._slots[start : start + BLOCK]
            inside = [slot for slot in slots if start <= slot.index < start + BLOCK]
            if inside:
                self._advance(block, inside)

    def _next_adapter(self) -> str | None:
        """Return the adapter of the next step: the same one for some steps, then the next one."""
        used = sorted({slot.job.adapter or "" for slot in self._slots if slot.job})
        current = self._adapter or ""
        self._turn += 1
        if used and (current not in used or (self._turn > ADAPTER_STEPS and len(used) > 1)):
            self._turn = 1
            current = next((name for name in used if name > current), used[0])
        return current or None

    def _switch(self, adapter: str | None) -> None:
        self._context.use(self._adapters[adapter])
        self._adapter = adapter

    def _close_gap(self, slots: list[Slot], adapter: str | None) -> list[Slot]:
        """Move the outermost job into a gap, unless a waiting job will fill the gap."""
        rank = self._rank(adapter)
        last = max(slots, key=rank)
        gap = min((slot for slot in self._slots if not slot.job), key=rank, default=last)
        if self._waiting or rank(gap) >= rank(last):
            return slots
        self._memories.keep(gap)
        if not self._memories.copy(last, gap, last.length):
            return slots
        gap.adapter, gap.job, last.job = last.adapter, last.job, None
        self._memories.cut(last, 0)
        slots[:] = sorted(
            (slot for slot in self._slots if slot.job and slot.job.adapter == adapter), key=lambda s: s.index
        )
        return slots

    def _advance(self, rows: list[Slot], active: list[Slot]) -> None:
        """Compute one token for every row, and draw the next token of active slots. Tokens of others are removed."""
        jobs = {slot.index: slot.job for slot in active}
        for slot in rows:
            (self._memories.resume if slot.index in jobs else self._memories.park)(slot)
        tokens = [job.next if isinstance(job := jobs.get(slot.index), Generation) else 0 for slot in rows]
        positions = [position(slot) for slot in rows]
        # In reproducible mode all rows need logits: the shape of a batch includes that of its logits.
        wanted = [self._reproducible or slot.index in jobs for slot in rows]
        logits = self._context.decode(tokens, positions, [slot.index for slot in rows], wanted)
        for slot, token in zip(rows, tokens, strict=True):
            if slot.index in jobs:
                slot.append(token, 1)
            else:
                self._memories.remove_last(slot)
        computed = (slot for slot, is_wanted in zip(rows, wanted, strict=True) if is_wanted)
        for row, slot in zip(logits, computed, strict=True):
            if slot.index in jobs:
                self._draw(slot, row)

    def _draw(self, slot: Slot, logits: Any) -> None:
        if isinstance(slot.job, Generation) and slot.job.advance(logits, self._model.vocabulary):
            self._finish(slot)

    def _finish(self, slot: Slot) -> None:
        if slot.job:
            self._done.append((slot.job, slot.job.result()))
            slot.job = None


def _resolve(outcomes: list[tuple[asyncio.Future[Any], Any]]) -> None:
    """Set the result or the exception of each future, unless it was cancelled."""
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
