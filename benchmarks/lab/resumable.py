"""Finetunes all weights of a model except its embeddings, with checkpoints: an interrupted training loses little."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from backends.hf import HuggingFace
from backends.hf.attention import fast_attention
from backends.hf.batches import Batches
from backends.hf.examples import encode
from backends.hf.goals import Likelihood
from backends.hf.loading import load
from backends.hf.loop import Loop, Share, Watch, use_bfloat16
from backends.hf.loss import Loss
from backends.hf.working import working_copies
from backends.training import TrainSettings
from society.core.atomic import atomic_write
from society.core.types import Example

EVERY = 20
"""Steps from one checkpoint to the next."""


@dataclass(frozen=True)
class Base:
    """The model that is finetuned, its chat template, and the device."""

    model: str
    template: str
    device: str = "cpu"


@dataclass(frozen=True)
class Trained:
    """The result of a training. `seconds` are those of the processor, over all parts."""

    steps: int
    tokens: int
    seconds: float
    losses: tuple[float, ...]


class Resumable(Loop):
    """A training loop that stores its state every `EVERY` steps and goes on from the stored one."""

    def go_on(self, place: Path) -> Trained:
        """Take all steps that are missing, on one epoch of the rows."""
        tokens, seconds, losses = self._restore(place)
        for number, step in enumerate(self._steps(), 1):
            if number <= len(losses):
                continue
            started = time.process_time()
            loss, count = self._step(step)
            tokens, seconds = tokens + count, seconds + time.process_time() - started
            losses.append(loss)
            self.watch.record(self.steps, loss, tokens)
            if number % EVERY == 0:
                self._store(place, (tokens, seconds, losses))
        return Trained(self.steps, tokens, round(seconds, 1), tuple(round(loss, 4) for loss in losses[::10]))

    def _store(self, place: Path, told: tuple[int, float, list[float]]) -> None:
        state = {
            "weights": [parameter.data for parameter in self.working.trained],
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "told": told,
        }
        with atomic_write(place) as part:
            torch.save(state, part)

    def _restore(self, place: Path) -> tuple[int, float, list[float]]:
        if not place.exists():
            return 0, 0.0, []
        state: dict[str, Any] = torch.load(place, weights_only=True)
        for parameter, stored in zip(self.working.trained, state["weights"], strict=True):
            parameter.data.copy_(stored)
        self.working.update()
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        tokens, seconds, losses = state["told"]
        return tokens, seconds, losses


def train_base(
    base: Base, rows: Sequence[Example], settings: TrainSettings, seed: int, out: Path, state: Path
) -> Trained:
    """Finetune a model on one thread, and write it to `out`. `state` is the file of the checkpoint."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(seed)
        loaded = load(
            HuggingFace.model_validate(
                {"model": base.model, "device": base.device, "dtype": "float32", "chat_template": base.template}
            )
        )
        loaded.model.requires_grad_(True)
        loaded.model.get_input_embeddings().requires_grad_(False)
        encoded = encode(loaded.chat, rows, settings)
        dtype = torch.bfloat16 if use_bfloat16(settings, loaded.model.device) else None
        watch = Watch(_tell, threading.Event())
        with working_copies(loaded.model, dtype) as working, fast_attention(loaded.model, dtype) as fit:
            loaded.model.train()
            goal = Likelihood(Loss(loaded.model, loaded.model, dtype), encoded, fit)
            loop = Resumable(working, goal, Batches(goal.lengths, settings, seed), settings, Share(), watch)
            trained = loop.go_on(state)
        loaded.model.eval().save_pretrained(out)
        loaded.chat.tokenizer.save_pretrained(out)
        return trained
    finally:
        torch.set_num_threads(threads)


def _tell(step: int, steps: int, loss: float, tokens: int) -> None:
    """Print one line every ten steps."""
    if step % 10 == 0 or step == steps:
        print(f"{time.strftime('%X')} step {step} of {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)
