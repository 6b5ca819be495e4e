"""Finetunes all weights of a model except its embeddings, with checkpoints: an interrupted training loses little."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from backends.hf import HuggingFace
from backends.hf.checkpoints import LIBRARIES, Checkpoints
from backends.hf.examples import encode
from backends.hf.loading import load
from backends.hf.loop import Share, Watch, train_rows
from backends.training import TrainSettings
from society.core.identity import fingerprint
from society.core.types import Example

SECONDS = 120.0
"""Seconds from one checkpoint to the next."""


@dataclass(frozen=True)
class Base:
    """The model that is finetuned, its chat template, and the device."""

    model: str
    template: str
    device: str = "cpu"


@dataclass(frozen=True)
class Trained:
    """The result of a training. `seconds` are those of all its parts, and `losses` those of every tenth step."""

    steps: int
    tokens: int
    seconds: float
    losses: tuple[float, ...]


def train_base(
    base: Base, rows: Sequence[Example], settings: TrainSettings, seed: int, out: Path, state: Path
) -> Trained:
    """Finetune a model on one thread, and write it to `out`. `state` is the folder of the checkpoints."""
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
        about = {
            "rows": fingerprint(encoded.rows),
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
            "base": asdict(base),
            "library versions": {name: version(name) for name in LIBRARIES},
        }
        watch, share = Watch(_tell, threading.Event()), Share()
        checkpoints = Checkpoints(state, SECONDS, about, share)
        train_rows(loaded.model, loaded.model, encoded, settings, seed, watch, share, None, checkpoints)
        loaded.model.eval().save_pretrained(out)
        loaded.chat.tokenizer.save_pretrained(out)
        losses = tuple(round(loss, 4) for loss in watch.losses[::10])
        return Trained(len(watch.losses), encoded.tokens * settings.epochs, round(watch.seconds, 1), losses)
    finally:
        torch.set_num_threads(threads)


def _tell(step: int, steps: int, loss: float, tokens: int) -> None:
    """Print one line every ten steps."""
    if step % 10 == 0 or step == steps:
        print(f"{time.strftime('%X')} step {step} of {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)
