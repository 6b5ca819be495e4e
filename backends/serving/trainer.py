"""Training by `hf` while the server sleeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends.base import Trainer
from backends.hf import HuggingFace
from backends.hf.backend import HuggingFaceBackend
from backends.objectives import Objective
from backends.serving.turns import ASLEEP, Turns
from backends.training import OnStep, Parallel, Training, TrainSettings
from society.core.errors import BackendError
from society.core.types import Adapter, Example


class SleepingTrainer(Trainer):
    """Trains with the transformers model, which is loaded for one training and freed after it."""

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
        async with self._turns.using(ASLEEP), HuggingFaceBackend(self._config) as model:
            if model.trainer is None:
                raise BackendError("The hf backend cannot train.", "Use the backend hf alone.")
            if start is not None:  # the server does not know the hash of the base
                start = replace(start, base=model.model_hash)
            asked = {"parallel": parallel, "objective": objective}
            more: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
            return await model.trainer.train(examples, settings, start, folder, seed=seed, on_step=on_step, **more)
