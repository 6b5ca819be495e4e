"""How weights are trained, and what training gives back. No heavy imports: scenarios are read with this.

TrainSettings   what a scenario may say about finetuning, with the values of the paper as defaults
Parallel        over how many processes one finetuning is spread
Training        what a trainer hands back: the adapter, the loss of every step, and what it cost
OnStep          called after every optimiser step
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from society.core.component import Component
from society.core.types import Adapter

OnStep = Callable[[int, int, float, int], None]
"""Called with (step from 1, steps in all, mean loss per learned token, tokens trained on so far)."""

Share = Annotated[float, Field(ge=0, le=1)]


class TrainSettings(Component):
    """The hyperparameters of one finetuning. The seed is the caller's: it derives from who is being trained.

    Epochs, schedule, warm-up, length, precision and the 48 sequences a step are those of the public script of
    Subramaniam et al. 2025 (arXiv 2501.05707), per GPU.
    """

    method: Literal["lora", "qlora", "full"] = "lora"
    """`qlora` is LoRA on a base that its backend holds in four bits (`quantize: nf4`)."""
    rank: int = Field(default=16, ge=1)
    """Inner dimension of the LoRA matrices."""
    alpha: float | None = Field(default=None, gt=0)
    """LoRA scale: the update is multiplied by alpha / rank. Left out, twice the rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before the LoRA matrices."""
    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = "all-linear"
    """Names of the linear layers that get LoRA matrices, as q_proj; all but the output layer by default."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Left out, 1e-5 for full finetuning (the paper's) and 2e-4 for LoRA, whose few weights need larger steps."""
    epochs: int = Field(default=2, ge=1)
    batch_size: int = Field(default=8, ge=1)
    """Sequences in memory at once."""
    accumulation: int = Field(default=6, ge=1)
    """Batches per optimiser step."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """What the learning rate does after the warm-up."""
    warmup: Share = 0.03
    """Share of all steps in which the learning rate rises from 0."""
    max_length: int = Field(default=2048, ge=8)
    """Longest example in tokens, reply included."""
    too_long: Literal["drop", "cut"] = "drop"
    """What becomes of longer ones: `cut` takes tokens out of the middle of the context, never of the reply."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    weight_decay: float = Field(default=0.0, ge=0)
    optimizer: Literal["adamw", "adamw_8bit"] = Field(default="adamw")
    """`adamw_8bit` holds Adam's two moments in 8 bits each instead of 32. It needs CUDA and bitsandbytes."""
    gradient_checkpointing: bool = False
    """Compute activations twice to hold fewer: about a third slower."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the arithmetic; weights being trained stay in float32. `auto`: bfloat16 where the hardware has it."""
    compile: bool = Field(default=False, json_schema_extra={"tuning": True})
    """Compile the training step first: half a minute to several, and then faster steps. Needs a C++ compiler."""
    group_by_length: bool = True
    """Batch examples of like length, so that little is padding."""

    @property
    def scale(self) -> float:
        """The LoRA alpha in effect."""
        return self.alpha or 2.0 * self.rank

    @property
    def rate(self) -> float:
        """The peak learning rate in effect."""
        return self.learning_rate or (1e-5 if self.method == "full" else 2e-4)

    @model_validator(mode="after")
    def _check_full(self) -> Self:
        """Refuse LoRA options that full finetuning would silently ignore."""
        ignored = self.model_fields_set & {"rank", "alpha", "dropout", "targets"}
        if self.method == "full" and ignored:
            raise ValueError(f"method: full has no LoRA matrices; take out {', '.join(sorted(ignored))}")
        return self


class Parallel(Component):
    """One finetuning spread over processes of one machine, a GPU each (or on the CPU): weights, gradients and optimiser
    states are sharded (FSDP2, Zhao et al. 2023, arXiv 2304.11277). It learns what one process would."""

    kind: Literal["fsdp"] = "fsdp"
    processes: int = Field(ge=2, le=64)
    """How many. They share the batches of a step, so `settings.accumulation` must be a multiple of it."""


@dataclass(frozen=True, slots=True)
class Training:
    """What came of one training. `losses` has one value per optimiser step, the mean over its learned tokens."""

    adapter: Adapter
    losses: tuple[float, ...]
    tokens: int
    """Tokens trained on: prompts and replies over all epochs, padding not counted."""
    examples: int
    """Examples trained on, each counted once."""
    dropped: int = 0
    """Examples left out because they were too long."""
    cut: int = 0
    """Examples whose context was shortened."""
    retokenized: int = 0
    """Examples whose reply was tokenized from its text, since its drawn tokens are not known."""
    seconds: float = 0.0
