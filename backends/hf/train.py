"""Finetuning: examples to rows, rows to an adapter or full weights, and those into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from backends.hf.adapters import hash_adapter, write_folder
from backends.hf.chat import Chat
from backends.hf.checkpoints import Checkpoints, describe
from backends.hf.examples import Rows, encode
from backends.hf.launch import train_sharded
from backends.hf.libraries import check_optimizer
from backends.hf.loop import Share, Watch, train_rows
from backends.hf.lora import attach_new, check_full_start, write_lora
from backends.hf.weights import Weights
from backends.objectives import Objective
from backends.training import Parallel, Training, TrainSettings, checkpoint_of
from society.core.errors import BackendError
from society.core.types import Adapter, Example

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Job:
    """One finetuning: what is trained, how, from where, and whom to tell."""

    weights: Weights
    settings: TrainSettings
    start: Adapter | None
    seed: int
    watch: Watch
    share: Share = field(default_factory=Share)
    objective: Objective | None = None
    """Objective over whole replies; None for their likelihood."""
    checkpoints: Checkpoints | None = None
    """Checkpoints of the finetuning, if there are any."""


def train(
    job: Job, chat: Chat, examples: Sequence[Example], folder: Path, parallel: Parallel | None = None
) -> Training:
    """Finetune and write the result into `folder`, in one step at the end. The model is as before afterwards.

    Memory beyond the base: for LoRA four times the adapter's parameters in float32; for full finetuning four
    times the model's (weights, gradients, two moments), and the base is read from disk again at the end. With
    `parallel` that is spread over processes of their own, and this one's model steps aside. A finetuning that was
    interrupted goes on from its last checkpoint, in `checkpoint_of(folder)`.
    """
    job.watch.begin()
    check_optimizer(job.settings, job.weights.device.type)
    paired = job.objective is not None and job.objective.contrast == "pair"
    rows = encode(chat, examples, job.settings, 2 if paired else 1)
    full = job.settings.method == "full"
    about = describe(job, rows, 1 if parallel is None else parallel.processes)
    seconds = 60 * job.settings.checkpoint_minutes
    job = replace(job, checkpoints=Checkpoints(checkpoint_of(folder), seconds, about, job.share))
    digests: dict[str, str] = {}

    def write(part: Path) -> None:
        if parallel is not None:
            train_sharded(job, rows, part, parallel)
        else:
            with explained_memory_errors(job.settings), seeded(job.seed):
                digests.update(_train_full(job, rows, part) if full else _train_lora(job, rows, part))
        if full:
            chat.tokenizer.save_pretrained(part)

    write_folder(folder, write)
    name = hash_adapter(folder, digests)
    if digests:
        job.weights.add_trained(name, folder)
    return Training(
        Adapter(name, str(folder), job.weights.hash),
        losses=tuple(job.watch.losses),
        tokens=rows.tokens * job.settings.epochs,
        examples=len(rows.rows),
        dropped=rows.dropped,
        omitted=rows.omitted,
        cut=rows.cut,
        retokenized=rows.retokenized,
        seconds=job.watch.seconds,
    )


def _train_lora(job: Job, rows: Rows, part: Path) -> dict[str, str]:
    """Train a LoRA adapter, alone on the model, and write it as a PEFT folder.

    The adapters of a society's iterations add up, and every step goes through all modules several times.
    """
    weights = job.weights
    weights.strip()
    weights.switch(None)
    try:
        attach_new(weights, job.settings, job.start)
        run(job, weights.peft, rows)
        write_lora(weights.peft, part)
        return {}
    finally:
        weights.strip()
        weights.model.eval()


def _train_full(job: Job, rows: Rows, part: Path) -> dict[str, str]:
    """Train the model's own weights and write a complete model folder; return the hashes of its files of weights."""
    weights, start = job.weights, job.start
    check_full_start(Path(start.path) if start else None)
    if start is not None:
        weights.add(start)
    with weights.bare() as model:
        weights.switch(start.hash if start else None)
        run(job, model.requires_grad_(True), rows)
        return weights.save(part)


def run(job: Job, model: Any, rows: Rows) -> None:
    """Train `model`: the transformers model itself, or PEFT's wrapper around it."""
    given = job.settings, job.seed, job.watch, job.share, job.objective, job.checkpoints
    try:
        train_rows(job.weights.model, model, rows, *given)
    finally:
        model.zero_grad(set_to_none=True)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Derive torch's random numbers from this seed within this context, and restore their state afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def explained_memory_errors(settings: TrainSettings) -> Iterator[None]:
    """Raise a `BackendError` that names the settings to lower when memory runs out in this context."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "allocate memory" not in text:
            raise
        raise BackendError(
            f"Training ran out of memory with batches of {settings.batch_size} sequences "
            f"of up to {settings.max_length} tokens.",
            "In train.settings, lower `batch_size` (and raise `accumulation` by the same factor) or `max_length`"
            + "".join(f", or set `{option}`" for option in _smaller(settings))
            + ".",
        ) from error


def _smaller(settings: TrainSettings) -> list[str]:
    """Return the settings that would take less memory."""
    options = [] if settings.gradient_checkpointing else ["gradient_checkpointing: true"]
    if settings.method == "full":
        if settings.optimizer == "adamw":
            options.append("optimizer: adamw_8bit")
        options.append("method: lora")
    return options
