"""Trainer: finetunings on the worker thread of an opened model, or of a model that only other processes hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.hf.heap import return_memory
from backends.objectives import Objective
from backends.training import OnStep, Parallel, Training, TrainSettings
from society.core.errors import InputError
from society.core.types import Adapter, Example

if TYPE_CHECKING:
    from backends.hf import HuggingFace
    from backends.hf.loading import Loaded
    from backends.hf.weights import Weights


class HubTrainer:
    """Trains adapters, one at a time. Memory of a training is freed after it."""

    def __init__(
        self,
        config: HuggingFace,
        run: Callable[..., Any],
        weights: Weights,
        loaded: Loaded,
        release: Callable[[], None],
    ) -> None:
        """`release` drops memory for generation that can be made again."""
        self.config, self.run, self.weights, self.loaded, self.release = config, run, weights, loaded, release

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
        """Finetune on `examples`, from `start` or the base, and write the adapter into `folder`, atomically.

        `on_step` is called in the event loop. Raises `InputError` when there is nothing to train on and
        `BackendError` when the loss is not finite or memory runs out. Cancelling stops after the batch under way, or if
        sharded after the step, and writes a checkpoint.
        """
        from backends.hf.loop import Watch
        from backends.hf.train import Job, train

        self.config.check_training(settings)
        if parallel is not None:
            self.config.check_parallel(parallel, settings)
        if parallel is not None and objective is not None:
            raise InputError("A sharded training has no objective but `sft`.", "Remove train.parallel or `objective`.")
        stop = threading.Event()
        loop = asyncio.get_running_loop()

        def tell(step: int, steps: int, loss: float, tokens: int) -> None:
            if on_step is not None:
                loop.call_soon_threadsafe(on_step, step, steps, loss, tokens)

        await self.run(self.release)
        job = Job(self.weights, settings, start, seed, Watch(tell, stop), objective=objective)
        task = asyncio.ensure_future(self.run(train, job, self.loaded.chat, list(examples), folder, parallel))
        try:
            result: Training = await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)  # it raises because it was stopped
            raise
        await self.run(return_memory)
        return result


@asynccontextmanager
async def sharded_trainer(config: HuggingFace) -> AsyncIterator[HubTrainer]:
    """Yield a trainer for finetunings by several processes. This process holds no weights, unlike the opened backend.

    Raises what opening the backend raises, except for weights that are missing: the processes look for them.
    """
    from backends.hf.loading import load
    from backends.hf.weights import Weights

    with ThreadPoolExecutor(1, "hf") as thread:
        run = partial(asyncio.get_running_loop().run_in_executor, thread)
        loaded = await run(load, config, True)
        weights = Weights(loaded.model, loaded.folder, loaded.hash, device=loaded.device)
        yield HubTrainer(config, run, weights, loaded, release=lambda: None)
