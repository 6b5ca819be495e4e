"""Training by `hf` while the server sleeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends.abilities import Trainer
from backends.hf import HuggingFace
from backends.hf.backend import HuggingFaceBackend
from backends.hf.trainer import HubTrainer, sharded_trainer
from backends.objectives import Objective
from backends.serving.turns import ASLEEP, Turns
from backends.training import OnStep, Parallel, Training, TrainSettings
from society.core.types import Adapter, Example


class SleepingTrainer(Trainer):
    """Trains with the transformers model, which is loaded for one training and freed after it.

    With `parallel`, each process loads its shard, and nobody the whole model.
    """

    def __init__(self, config: HuggingFace, turns: Turns) -> None:
        self._config = config
        self._turns = turns

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
        """Finetune on `examples` once all requests are answered; see `Trainer.train`."""
        self._config.check_training(settings)
        opened = sharded_trainer if parallel is not None else _whole_trainer
        async with self._turns.using(ASLEEP), opened(self._config) as trainer:
            if start is not None:  # the server does not know the hash of the base
                start = replace(start, base=trainer.loaded.hash)
            asked = {"parallel": parallel, "objective": objective}
            more: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
            return await trainer.train(examples, settings, start, folder, seed=seed, on_step=on_step, **more)


@asynccontextmanager
async def _whole_trainer(config: HuggingFace) -> AsyncIterator[HubTrainer]:
    """Yield the trainer of a model that this process holds."""
    async with HuggingFaceBackend(config) as model:
        assert isinstance(model.trainer, HubTrainer)
        yield model.trainer
