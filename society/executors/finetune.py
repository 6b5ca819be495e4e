"""Finetuning on a cluster: the Ray task, and the trainer that starts it.

The task opens a backend of its own, reports every step, and returns the adapter in chunks. It depends on its arguments
only, so a task whose worker died can be run again.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from backends.base import BackendConfig
from backends.objectives import Objective
from backends.training import OnStep, Parallel, Training, TrainSettings, checkpoint_of
from society.core.errors import BackendError, SocietyError
from society.core.machine import ProcessFacts, read_process
from society.core.types import Adapter, Example
from society.executors.file_transfer import Chunk, ChunkReceiver, Digest, read_chunks
from society.executors.ray_calls import call, describe_cause, put_chunks, worker_errors
from society.executors.replica import catch_errors
from society.executors.scratch import Scratch

log = logging.getLogger(__name__)

Step = tuple[int, int, float, int]
ADAPTER, MARK = "adapter", ".seen-"
"""Name of the result among a worker's temporary files, and the start of the name of `FinetuneJob.checkpoints`."""


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
    checkpoints: Path | None = None
    """A file in the folder for checkpoints, by which a worker recognizes the folder; None for no checkpoints."""


@dataclass(frozen=True)
class Done:
    """The result of a finetuning, the digest of the chunks sent before it, and the process that trained."""

    training: Training
    digest: str
    process: ProcessFacts


@dataclass(frozen=True)
class Note:
    """A line for the log of the process that started the finetuning."""

    text: str


def finetune(job: FinetuneJob) -> Iterator[Step | Note | Chunk | Done | SocietyError]:
    """Run as a Ray task: yield the steps, then the adapter's files and `Done`, or an error."""
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Scratch() as scratch:
        if job.checkpoints is not None and not _share_checkpoints(job.checkpoints, scratch.path / ADAPTER):
            yield Note(
                f"The machine {platform.node()} does not see {job.checkpoints.parent}, so the finetuning has no "
                "checkpoints. Put the run's folder on a shared disk."
            )

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


def _share_checkpoints(mark: Path, folder: Path) -> bool:
    """Let the checkpoints of a finetuning into `folder` be those of the run; return whether this machine sees them."""
    seen = mark.is_file()
    if seen:
        checkpoint_of(folder).symlink_to(mark.parent)
    return seen


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
            job.examples, job.settings, start, folder / ADAPTER, seed=job.seed, on_step=on_step, **spread
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
        """Train as `Trainer.train` does. If the worker dies, another one goes on from the last checkpoint.

        That needs a worker on a machine that sees the run's folder. Elsewhere, the finetuning starts again.
        """
        await self._before()
        mark = _mark_checkpoints(folder) if settings.checkpoint_minutes else None
        for _ in range(self._retries + 1):
            chunks = [] if start is None else await asyncio.to_thread(put_chunks, Path(start.path))
            job = FinetuneJob(self._config, list(examples), settings, start, chunks, seed, parallel, objective, mark)
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
            elif isinstance(item, Note):
                log.warning("%s", item.text)
            elif isinstance(item, Done):
                self._on_process(item.process)
                path = place.finish(item.digest)
                return replace(item.training, adapter=replace(item.training.adapter, path=str(path)))
            elif on_step is not None:
                on_step(*item)
        raise BackendError("A finetuning ended without a result.", "Run again with --resume (Python: resume=True).")


def _mark_checkpoints(folder: Path) -> Path:
    """Make the folder for checkpoints of a finetuning, and return a file in it with a name that no other folder has."""
    place = checkpoint_of(folder.absolute())
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob(f"{MARK}*"):
        old.unlink(missing_ok=True)
    mark = place / f"{MARK}{token_hex(16)}"
    mark.touch()
    return mark


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
