"""A finetuning elsewhere: the Ray task that does it, and the trainer that its caller sees.

The task opens a backend of its own, reports every step, and sends what it made in pieces. It depends on what it is
given alone, so one whose worker died is simply done again.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backends.base import BackendConfig
from backends.training import OnStep, Parallel, Training, TrainSettings
from society.core.errors import BackendError, SocietyError
from society.core.types import Adapter, Example
from society.executors.file_transfer import Digest, Piece, Unpacking, pack
from society.executors.ray_calls import call, cause, dead, put
from society.executors.replica import told
from society.executors.scratch import Scratch

Step = tuple[int, int, float, int]


@dataclass(frozen=True)
class Order:
    """All that a finetuning depends on. `pieces` are references to the files of the adapter to start from."""

    config: BackendConfig
    examples: Sequence[Example]
    settings: TrainSettings
    start: Adapter | None
    pieces: Sequence[Any]
    seed: int
    parallel: Parallel | None


@dataclass(frozen=True)
class Done:
    """The end of a finetuning: what came of it, and the digest of the pieces before this."""

    training: Training
    digest: str


def finetune(order: Order) -> Iterator[Step | Piece | Done | SocietyError]:
    """The Ray task. Steps first, then the adapter's files and `Done`; or an error."""
    said: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Scratch() as scratch:

        def work() -> None:
            said.put(asyncio.run(told(_train, order, scratch.path, lambda *step: said.put(step))))

        threading.Thread(target=work, daemon=True).start()
        while isinstance(item := said.get(), tuple):
            yield item
        if isinstance(item, Training):
            digest = Digest()
            yield from digest.follow(pack(Path(item.adapter.path)))
            item = Done(item, digest.value)
        yield item


async def _train(order: Order, folder: Path, on_step: OnStep) -> Training:
    start = order.start
    if start is not None:
        place, digest = Unpacking(folder / "start"), Digest()
        for reference in order.pieces:
            place.add(next(digest.follow([await reference])))
        start = replace(start, path=str(place.finish(digest.value)))
    spread: dict[str, Any] = {} if order.parallel is None else {"parallel": order.parallel}
    async with order.config.open() as backend:
        if backend.trainer is None:
            raise BackendError("This backend cannot train.", "Use the backend hf.")
        return await backend.trainer.train(
            order.examples, order.settings, start, folder / "adapter", seed=order.seed, on_step=on_step, **spread
        )


class RemoteTrainer:
    """Has finetunings done by the cluster and brings the adapters home."""

    def __init__(self, config: BackendConfig, launch: Callable[[Order], Any], retries: int, before: Any) -> None:
        self._config, self._launch, self._retries, self._before = config, launch, retries, before

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
    ) -> Training:
        """As `Trainer.train`. A finetuning whose worker died begins again, steps told included."""
        await self._before()
        for _ in range(self._retries + 1):
            pieces = [] if start is None else await asyncio.to_thread(put, Path(start.path))
            order = Order(self._config, list(examples), settings, start, pieces, seed, parallel)
            place = Unpacking(folder)
            try:
                return await self._follow(order, place, on_step)
            except dead() as error:
                last = error
            finally:
                place.drop()
        raise BackendError(
            f"A finetuning died {self._retries + 1} times: {cause(last)}",
            "Look at Ray's logs for the cause; often it is a lack of memory: lower train.settings.batch_size.",
        )

    async def _follow(self, order: Order, place: Unpacking, on_step: OnStep | None) -> Training:
        async for item in _items(self._launch(order)):
            if isinstance(item, SocietyError):
                raise item
            if isinstance(item, Piece):
                await asyncio.to_thread(place.add, item)
            elif isinstance(item, Done):
                path = place.finish(item.digest)
                return replace(item.training, adapter=replace(item.training.adapter, path=str(path)))
            elif on_step is not None:
                on_step(*item)
        raise BackendError("A finetuning ended without a result.", "Run again with --resume.")


async def _items(generator: Any) -> AsyncIterator[Any]:
    """What a streaming task yields; leaving early ends its worker."""
    ended = False
    try:
        async for reference in generator:
            yield await call(reference)
        ended = True
    finally:
        if not ended:
            import ray

            with suppress(Exception):  # it may be gone already
                ray.cancel(generator, force=True)
