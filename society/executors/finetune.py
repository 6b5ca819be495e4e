"""Finetuning on a cluster: the Ray task, and the trainer that starts it.

The task opens a backend of its own, reports every step, and returns the adapter in chunks. It depends on its arguments
only, so a task whose worker died can be run again.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backends.base import BackendConfig
from backends.objectives import Objective
from backends.training import OnStep, Parallel, Training, TrainSettings
from society.core.errors import BackendError, SocietyError
from society.core.machine import ProcessFacts, read_process
from society.core.types import Adapter, Example
from society.executors.file_transfer import Chunk, ChunkReceiver, Digest, read_chunks
from society.executors.ray_calls import call, describe_cause, put_chunks, worker_errors
from society.executors.replica import catch_errors
from society.executors.scratch import Scratch

Step = tuple[int, int, float, int]


@dataclass(frozen=True)
class FinetuneJob:
    """The arguments of a finetuning. `chunks` are references to the files of the adapter to start from."""

    config: BackendConfig
    examples: Sequence[Example]
    settings: TrainSettings
    start: Adapter | None
    chunks: Sequence[Any]
    seed: int
    parallel: Parallel | None
    objective: Objective | None = None


@dataclass(frozen=True)
class Done:
    """The result of a finetuning, the digest of the chunks sent before it, and the process that trained."""

    training: Training
    digest: str
    process: ProcessFacts


def finetune(job: FinetuneJob) -> Iterator[Step | Chunk | Done | SocietyError]:
    """Run as a Ray task: yield the steps, then the adapter's files and `Done`, or an error."""
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Scratch() as scratch:

        def work() -> None:
            items.put(asyncio.run(catch_errors(_train, job, scratch.path, lambda *step: items.put(step))))

        threading.Thread(target=work, daemon=True).start()
        while isinstance(item := items.get(), tuple):
            yield item
        if isinstance(item, Training):
            digest = Digest()
            yield from digest.hash_each(read_chunks(Path(item.adapter.path)))
            item = Done(item, digest.value, read_process())
        yield item


async def _train(job: FinetuneJob, folder: Path, on_step: OnStep) -> Training:
    start = job.start
    if start is not None:
        place, digest = ChunkReceiver(folder / "start"), Digest()
        for reference in job.chunks:
            place.add(next(digest.hash_each([await reference])))
        start = replace(start, path=str(place.finish(digest.value)))
    asked = {"parallel": job.parallel, "objective": job.objective}
    spread: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    async with job.config.open() as backend:
        if backend.trainer is None:
            raise BackendError("This backend cannot train.", "Use the backend hf.")
        return await backend.trainer.train(
            job.examples, job.settings, start, folder / "adapter", seed=job.seed, on_step=on_step, **spread
        )


class RemoteTrainer:
    """A trainer that runs finetunings on the cluster and stores the adapters here."""

    def __init__(
        self,
        config: BackendConfig,
        launch: Callable[[FinetuneJob], Any],
        retries: int,
        before: Callable[[], Awaitable[None]],
        on_process: Callable[[ProcessFacts], None],
    ) -> None:
        self._config, self._launch, self._retries = config, launch, retries
        self._before, self._on_process = before, on_process

    async def train(
        self,
        examples: Sequence[Example],
        settings: TrainSettings,
        start: Adapter | None,
        folder: Path,
        *,
        seed: int,
        on_step: OnStep | None = None,
        parallel: Parallel | None = None,
        objective: Objective | None = None,
    ) -> Training:
        """Train as `Trainer.train` does. If the worker dies, training and its steps start again."""
        await self._before()
        for _ in range(self._retries + 1):
            chunks = [] if start is None else await asyncio.to_thread(put_chunks, Path(start.path))
            job = FinetuneJob(self._config, list(examples), settings, start, chunks, seed, parallel, objective)
            place = ChunkReceiver(folder)
            try:
                return await self._follow(job, place, on_step)
            except worker_errors() as error:
                last = error
            finally:
                place.discard()
        raise BackendError(
            f"The worker of a finetuning died {self._retries + 1} times: {describe_cause(last)}",
            "See Ray's logs for the cause. If memory ran out, lower train.settings.batch_size.",
        )

    async def _follow(self, job: FinetuneJob, place: ChunkReceiver, on_step: OnStep | None) -> Training:
        async for item in _items(self._launch(job)):
            if isinstance(item, SocietyError):
                raise item
            if isinstance(item, Chunk):
                await asyncio.to_thread(place.add, item)
            elif isinstance(item, Done):
                self._on_process(item.process)
                path = place.finish(item.digest)
                return replace(item.training, adapter=replace(item.training.adapter, path=str(path)))
            elif on_step is not None:
                on_step(*item)
        raise BackendError("A finetuning ended without a result.", "Run again with --resume (Python: resume=True).")


async def _items(generator: Any) -> AsyncIterator[Any]:
    """Yield the items of a streaming task. Stopping early cancels the task."""
    ended = False
    try:
        async for reference in generator:
            yield await call(reference)
        ended = True
    finally:
        if not ended:
            import ray

            with suppress(Exception):  # the task may have ended already
                ray.cancel(generator, force=True)
