"""Finetuning on the transformers Trainer: its loop, with our loss, our batches and our seed.

The loss is the mean over the learned tokens of a whole optimiser step, and logits exist only for those tokens.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, TrainingArguments
from transformers import Trainer as HubTrainer

from backends.hf.adapters import hash_adapter, is_lora, write_folder
from backends.hf.attention import fast_attention
from backends.hf.batches import Batches, collate_share
from backends.hf.casting import Precision, cast_parameters
from backends.hf.chat import Chat
from backends.hf.compiling import compiled
from backends.hf.examples import Rows, encode
from backends.hf.launch import train_sharded
from backends.hf.lora import attach_new, write_lora
from backends.hf.rounding import unrounded_sums
from backends.hf.scoring import learned_logits
from backends.hf.weights import Weights
from backends.training import OnStep, Parallel, Training, TrainSettings
from society.core.errors import BackendError, InputError
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
    rank: int = 0
    """Which of the processes of a sharded training this is."""
    processes: int = 1


def train(
    job: Job, chat: Chat, examples: Sequence[Example], folder: Path, parallel: Parallel | None = None
) -> Training:
    """Finetune and write the result into `folder`, in one step at the end. The model is as before afterwards.

    Memory beyond the base: for LoRA four times the adapter's parameters in float32; for full finetuning four
    times the model's (weights, gradients, two moments), and the base is read from disk again at the end. With
    `parallel` that is spread over processes of their own, and this one's model steps aside.
    """
    started = time.perf_counter()
    rows = encode(chat, examples, job.settings)

    def write(part: Path) -> None:
        if parallel is not None:
            train_sharded(job, rows, part, parallel)
        else:
            with memory_told(job.settings), seeded(job.seed):
                (_train_full if job.settings.method == "full" else _train_lora)(job, rows, part)
        if job.settings.method == "full":
            chat.tokenizer.save_pretrained(part)

    write_folder(folder, write)
    return Training(
        Adapter(hash_adapter(folder), str(folder), job.weights.hash),
        losses=tuple(job.watch.losses),
        tokens=rows.tokens * job.settings.epochs,
        examples=len(rows.rows),
        dropped=rows.dropped,
        cut=rows.cut,
        retokenized=rows.retokenized,
        seconds=time.perf_counter() - started,
    )


def _train_lora(job: Job, rows: Rows, part: Path) -> None:
    """Train a LoRA adapter, alone on the model, and write it as a PEFT folder.

    The adapters of a society's iterations add up, and every step goes through all modules several times.
    """
    weights = job.weights
    weights.strip()
    weights.switch(None)
    try:
        attach_new(weights, job.settings, job.start)
        run(job, weights.peft, rows, part)
        write_lora(weights.peft, part)
    finally:
        weights.strip()
        weights.model.eval()


def _train_full(job: Job, rows: Rows, part: Path) -> None:
    """Train the model's own weights, in float32, and write a complete model folder."""
    weights, start = job.weights, job.start
    check_full(start)
    if start is not None:
        weights.add(start)
    with weights.bare() as model:
        weights.switch(start.hash if start else None)
        precision = Precision.of(model)
        run(job, cast_parameters(model, torch.float32).requires_grad_(True), rows, part)
        precision.restore()
        model.save_pretrained(part)


def check_full(start: Adapter | None) -> None:
    """Raise `InputError` unless full finetuning can go on from there."""
    if start is not None and is_lora(Path(start.path)):
        cause = "Full finetuning cannot continue from a LoRA adapter."
        raise InputError(cause, "Start from the base, or set method: lora.")


def run(job: Job, model: Any, rows: Rows, scratch: Path) -> None:
    """The training loop on `model`: the transformers model itself, or PEFT's wrapper round it."""
    inner, settings = job.weights.model, job.settings
    dtype = torch.bfloat16 if use_bfloat16(settings, inner.device) else None
    gc.freeze()  # the Trainer collects garbage: among a million objects of the libraries that takes half a second
    loop = _Loop(
        model=model,
        args=make_arguments(settings, len(rows.rows), scratch, job.seed, inner.device, job.processes),
        train_dataset=rows.rows,
        callbacks=[job.watch],
    )
    loop.inner, loop.watch = inner, job.watch
    loop.batches = Batches([len(ids) for ids, _ in rows.rows], settings, job.seed, job.rank, job.processes)
    loop.autocast_to = dtype
    loop.model_accepts_loss_kwargs = True  # or the Trainer would average our sums once more
    loop.remove_callback(PrinterCallback)
    if settings.gradient_checkpointing:
        recompute(inner, True)
    try:
        unrounded, compiling = unrounded_sums(inner, dtype), compiled(inner, settings.compile)
        with unrounded, compiling, fast_attention(inner, dtype) as loop.fit_attention:
            loop.train()
    finally:
        if settings.gradient_checkpointing:
            recompute(inner, False)
        model.zero_grad(set_to_none=True)
        del loop
        gc.collect()  # the Trainer and its optimiser refer to each other
        gc.unfreeze()


def recompute(model: Any, wanted: bool) -> None:
    """Have the model compute activations again in the backward pass, or keep them. transformers 5.23 renamed both."""
    verb = "enable" if wanted else "disable"
    name = f"activation_checkpointing_{verb}"
    switch: Any = getattr(model, name if hasattr(model, name) else f"gradient_checkpointing_{verb}")
    switch({"use_reentrant": False}) if wanted else switch()


class _Loop(HubTrainer):
    """The Trainer with a loss over learned positions alone."""

    inner: Any
    watch: Watch
    batches: Batches
    autocast_to: torch.dtype | None
    fit_attention: Callable[[int], None]

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Our batches in our order; not prepared by accelerate, which would share them out once more."""
        rows: Any = self.train_dataset
        return DataLoader(rows, batch_sampler=self.batches, collate_fn=collate_share)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """This batch's part of the mean loss over the learned tokens of the whole step."""
        device = inputs["input_ids"].device.type
        self.fit_attention(inputs["input_ids"].shape[1])
        with torch.autocast(device, self.autocast_to or torch.bfloat16, enabled=self.autocast_to is not None):
            logits, labels = learned_logits(self.inner, model, inputs)
        count = labels.numel() if num_items_in_batch is None else num_items_in_batch
        loss = cross_entropy(logits, labels, reduction="sum") / count
        self.watch.add(float(loss.detach()), int(inputs["attention_mask"].sum()) if len(labels) else 0)
        return loss * self.batches.processes  # whose gradients are averaged


class Watch(TrainerCallback):
    """Notes the loss of every step, tells the caller, and stops when the loss is not finite or nobody waits."""

    def __init__(self, on_step: OnStep, stop: threading.Event) -> None:
        self.on_step_done, self.stop = on_step, stop
        self.losses: list[float] = []
        self.tokens = 0
        self.pending = 0.0

    def add(self, loss: float, tokens: int) -> None:
        """One more batch of the step under way."""
        if not math.isfinite(loss):
            raise BackendError(
                f"The training loss is {loss} in step {len(self.losses) + 1}.",
                "In train.settings, lower `learning_rate`, raise `warmup`, or set `precision: float32`.",
            )
        self.pending += loss
        self.tokens += tokens

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the Trainer after an optimiser step."""
        self.note(state.max_steps, self.pending, self.tokens)

    def note(self, steps: int, loss: float, tokens: int) -> None:
        """A step is done, of so many in all, with that loss; so many tokens were trained on until now."""
        self.losses.append(loss)
        self.pending, self.tokens = 0.0, tokens
        self.on_step_done(len(self.losses), steps, loss, tokens)
        if self.stop.is_set():
            raise BackendError("The training was cancelled.", "Nothing was written.")


def make_arguments(
    settings: TrainSettings, examples: int, folder: Path, seed: int, device: torch.device, processes: int = 1
) -> TrainingArguments:
    """The settings in the Trainer's words: nothing reported, logged or saved by itself."""
    steps = math.ceil(math.ceil(examples / settings.batch_size) / settings.accumulation) * settings.epochs
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation // processes,
        learning_rate=settings.rate,
        lr_scheduler_type="constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        warmup_steps=int(settings.warmup * steps),  # rounded down: the first of them is at rate 0
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        seed=seed % (1 << 32),
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        report_to=[],
        logging_strategy="no",
        save_strategy="no",
        disable_tqdm=True,
        ddp_backend="gloo" if device.type == "cpu" and processes > 1 else None,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # the backend has one device; the Trainer would take every GPU it sees
    return arguments


def use_bfloat16(settings: TrainSettings, device: torch.device) -> bool:
    """Whether to compute in bfloat16: as asked for, or where the hardware has instructions for it."""
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    able: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return any(able().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, torch's random numbers derive from this seed; afterwards they go on as before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def memory_told(settings: TrainSettings) -> Iterator[None]:
    """Turn running out of memory into an error that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "allocate memory" not in text:
            raise
        raise BackendError(
            f"Training ran out of memory with batches of {settings.batch_size} sequences "
            f"of up to {settings.max_length} tokens.",
            "In train.settings, lower `batch_size` (and raise `accumulation` by the same factor) or `max_length`, or "
            "set `gradient_checkpointing: true`" + ("." if settings.method != "full" else " or `method: lora`."),
        ) from error
