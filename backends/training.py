"""Settings and results of finetunings. No heavy imports, as scenarios are loaded with this module.

TrainSettings   hyperparameters in a scenario, with the values of the paper as defaults
Parallel        number of processes of one finetuning
Training        result of a trainer: the adapter, the loss of every step, and the cost
OnStep          callback after every optimizer step
checkpoint_of   the folder for checkpoints of a finetuning
require_training  a check of what the trainer of a plugin returned
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from society.core.component import Component
from society.core.errors import FieldError
from society.core.results import ResultError
from society.core.types import Adapter

OnStep = Callable[[int, int, float, int], None]
"""Callback with (step from 1, total steps, mean loss per learned token, tokens trained on so far)."""

TOO_LONG = "too long"
PARTNER_TOO_LONG = "the other reply of its pair is too long"
UNBALANCED = "more undesired than desired rows"
"""Reasons why examples are omitted."""
LOGITS = 1 << 27
"""Maximum number of logits that the loss computes at a time. In float32 these are half a gigabyte."""


def checkpoint_of(folder: Path) -> Path:
    """Return the folder for checkpoints of the finetuning whose result is written into `folder`.

    Who starts finetunings removes it, once the result is recorded.
    """
    return folder.with_name(f".{folder.name}.checkpoint")


CHECKPOINTS = ".*.checkpoint"
"""Pattern of the names of these folders."""


Share = Annotated[float, Field(ge=0, le=1)]


class TrainSettings(Component):
    """Hyperparameters of one finetuning. The seed derives from the scenario, the learner and the iteration.

    Epochs, schedule, warm-up, length, precision and the 48 sequences per step are those of the public script of
    Subramaniam et al. 2025 (arXiv 2501.05707), per GPU.
    """

    method: Literal["lora", "qlora", "full"] = "lora"
    """Trained weights: LoRA adapters, LoRA on a 4-bit base (`qlora`, which needs `quantize: nf4`), or all weights."""
    rank: int = Field(default=16, ge=1)
    """Inner dimension of the LoRA matrices."""
    alpha: float | None = Field(default=None, gt=0)
    """LoRA scale: the update is multiplied by alpha / rank. By default twice the rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before the LoRA matrices."""
    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = "all-linear"
    """Names of linear layers with LoRA matrices, such as q_proj. By default all except the output layer, routers and
    experts, and layers of recurrent models on which matrices would not act."""
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Peak learning rate. By default 1e-5 for full finetuning, as in the paper, and 2e-4 for LoRA."""
    epochs: int = Field(default=2, ge=1)
    """Number of passes over the examples."""
    batch_size: int = Field(default=8, ge=1)
    """Number of sequences per batch."""
    accumulation: int = Field(default=6, ge=1)
    """Number of batches per optimizer step (gradient accumulation)."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Schedule of the learning rate after the warm-up."""
    warmup: Share = 0.03
    """Share of the steps in which the learning rate rises from 0."""
    max_length: int = Field(default=2048, ge=8)
    """Maximum length of an example in tokens, reply included."""
    too_long: Literal["drop", "cut"] = "drop"
    """Treatment of longer examples. `drop` omits them; `cut` removes tokens from the middle of the context, not the
    reply."""
    clip: float = Field(default=1.0, gt=0)
    """Maximum norm of the gradient."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of the optimizer."""
    optimizer: Literal["adamw", "adamw_8bit"] = Field(default="adamw")
    """Optimizer. `adamw_8bit` stores the two moments of Adam in 8 bits instead of 32; it needs CUDA and
    bitsandbytes."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass to save memory. Training is about a third slower."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the computation. `auto` is bfloat16 on hardware that supports it. Trained weights are in float32."""
    compile: bool = Field(default=False, json_schema_extra={"tuning": True})
    """Compile the training step. Compiling takes up to several minutes and needs a C++ compiler."""
    group_by_length: bool = True
    """Batch examples of similar length, to reduce padding."""
    checkpoint_minutes: float = Field(default=15, ge=0, le=100_000, json_schema_extra={"tuning": True})
    """Minutes between two checkpoints of a finetuning, from which it goes on after an interruption. 0 writes none.
    Checkpoints that take long are written less often."""

    @property
    def scale(self) -> float:
        """The LoRA alpha in effect: `alpha`, or twice the rank."""
        return self.alpha or 2.0 * self.rank

    @property
    def rate(self) -> float:
        """The peak learning rate in effect: `learning_rate`, or the default of the method."""
        return self.learning_rate or (1e-5 if self.method == "full" else 2e-4)

    @model_validator(mode="after")
    def _check_full(self) -> Self:
        """Raise `ValueError` for LoRA options with `method: full`."""
        ignored = self.model_fields_set & {"rank", "alpha", "dropout", "targets"}
        if self.method == "full" and ignored:
            raise FieldError(f"`method: full` has no LoRA matrices; remove {', '.join(sorted(ignored))}", *ignored)
        return self


class Parallel(Component):
    """Sharding of one finetuning over processes of one machine, with one GPU each or on the CPU.

    Weights, gradients and optimizer states are sharded (FSDP2, Zhao et al. 2023, arXiv 2304.11277). The result equals
    that of one process up to rounding.
    """

    kind: Literal["fsdp"] = "fsdp"
    processes: int = Field(ge=2, le=64)
    """Number of processes. They share the batches of a step, so `settings.accumulation` must be a multiple."""


@dataclass(frozen=True, slots=True)
class Training:
    """The result of one finetuning. `losses` has the mean loss per learned token of each optimizer step."""

    adapter: Adapter
    losses: tuple[float, ...]
    tokens: int
    """Number of tokens trained on: prompts and replies over all epochs, without padding."""
    examples: int
    """Number of examples trained on. Repetitions count, and a pair counts as two."""
    dropped: int = 0
    """Number of examples omitted because of their length."""
    omitted: Mapping[int, str] = field(default_factory=dict)
    """Reasons of the omitted examples, those of their length included, by the number of an example from 0."""
    cut: int = 0
    """Number of examples with a shortened context."""
    retokenized: int = 0
    """Number of examples whose reply was tokenized from its text, as its drawn tokens are unknown."""
    seconds: float = 0.0


def require_training(result: object) -> Training:
    """Return the result of a trainer. Raises `ResultError` if it is no `Training` with an adapter."""
    if not isinstance(result, Training) or not isinstance(result.adapter, Adapter):
        raise ResultError(f"{type(result).__name__} instead of a Training with an Adapter")
    return result
