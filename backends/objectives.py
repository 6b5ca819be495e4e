"""Objectives of a finetuning: likelihood of the learned replies, or preference of some replies to others.

An objective sees the log-probabilities of whole replies under the trained model and under the model that the finetuning
starts from. It is plain arithmetic on tensors; a trainer computes the log-probabilities. No heavy imports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from society.core.component import Component
from society.core.types import Turn

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

OBJECTIVES = {
    "sft": "backends.objectives:Sft",
    "dpo": "backends.objectives:Dpo",
    "kto": "backends.objectives:Kto",
}
"""The built-in objectives by kind."""
Contrast = Literal["", "pair", "single"]
"""Rows beside the selected ones: none; one undesired reply for each selected one; undesired replies by themselves."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """A batch of replies. Tensors have one number for each reply, in nats, and gradients where the model has them.

    With `contrast: pair`, replies alternate: a desired one, then the undesired one of the same prompt.
    """

    gains: Tensor
    """Log-probability of a reply under the model, less that under the model that the finetuning starts from."""
    surprise: Tensor
    """Mean negative log-probability of a token under the model."""
    desired: Tensor
    """True for replies to prefer."""
    weights: Tensor
    """Weights of the rows in the loss."""
    drift: Tensor | None = None
    """Estimated divergence from the model that the finetuning starts from, at least 0, without gradient."""


class Objective(Component, ABC):
    """The `objective:` of a learner."""

    contrast: ClassVar[Contrast] = ""
    measures_drift: ClassVar[bool] = False
    """Whether the loss uses the divergence, which costs one more pass over the batch."""

    def idle(self, reading: bool) -> dict[str, str]:
        """Return why the objective, or one of its fields, changes nothing. `reading`: agents read others' turns."""
        return {}

    @property
    def crosses_prompts(self) -> bool:
        """True if the undesired reply of a pair may follow another prompt. It is put after that of the desired one.

        Otherwise both turns must have the same thinking settings and template arguments, beside what `opposes` asks.
        """
        return False

    def opposes(self, turn: Turn, other: Turn) -> bool:
        """Return whether a turn with another answer may be the undesired reply of a pair with this turn.

        By default, it may be if both have the same messages.
        """
        return other.messages == turn.messages

    @abstractmethod
    def loss(self, batch: Preferences) -> Tensor:
        """Return the weighted loss of each pair, or of each reply without pairs."""


class Sft(Objective):
    """The likelihood of the selected replies: cross-entropy of their tokens."""

    kind: Literal["sft"] = "sft"

    def loss(self, batch: Preferences) -> Tensor:
        return batch.weights * batch.surprise


class Dpo(Objective):
    """Direct preference optimization: a selected reply is preferred to one with another answer.

    The loss of a pair is -log sigmoid(beta * (gain of the desired - gain of the undesired reply)). To it is added `nll`
    times the mean negative log-likelihood of the desired reply. A gain is log pi - log ref, where ref is the model that
    the finetuning starts from. Sources: Rafailov et al. 2023 (arXiv 2305.18290), equation 7; Pang et al. 2024
    (2404.19733).
    """

    contrast: ClassVar[Contrast] = "pair"
    kind: Literal["dpo"] = "dpo"
    beta: float = Field(0.1, gt=0, le=100)
    """Strength of the pull towards the model that the finetuning starts from."""
    nll: float = Field(1.0, ge=0, le=100)
    """Weight of the likelihood of the desired reply. With 0, the likelihood of both replies may fall."""
    against: Literal["prompt", "question"] = "prompt"
    """Undesired replies: of turns with exactly the same prompt, or of any turn on the question in the same phase and
    round. The latter are put after the prompt of the desired reply. A prompt includes `thinking` and
    `template_args`."""

    def idle(self, reading: bool) -> dict[str, str]:
        if not reading or self.against == "question":
            return {}
        return {"": "finds few pairs: agents that read others have prompts of their own; set `against: question`"}

    @property
    def crosses_prompts(self) -> bool:
        return self.against == "question"

    def opposes(self, turn: Turn, other: Turn) -> bool:
        if self.against == "question":
            return (other.id.phase, other.id.round) == (turn.id.phase, turn.id.round)
        return super().opposes(turn, other)

    def loss(self, batch: Preferences) -> Tensor:
        from torch.nn.functional import logsigmoid

        preference = -logsigmoid(self.beta * (batch.gains[0::2] - batch.gains[1::2]))
        return batch.weights[0::2] * (preference + self.nll * batch.surprise[0::2])


class Kto(Objective):
    """Kahneman-Tversky optimization: selected replies are desired, replies with another answer are not. No pairs.

    Where selectors weigh rows, each undesired reply has the mean weight of its agent's selected rows. The loss of a
    desired reply is 1 - sigmoid(beta * (gain - drift)), that of another 1 - sigmoid(beta * (drift - gain)). The drift
    is estimated on replies to other questions, and is 0 if all rows are of one question. Source: Ethayarajh et al. 2024
    (arXiv 2402.01306).
    """

    contrast: ClassVar[Contrast] = "single"
    measures_drift: ClassVar[bool] = True
    kind: Literal["kto"] = "kto"
    beta: float = Field(0.1, gt=0, le=100)
    """Strength of the pull towards the model that the finetuning starts from."""
    desired: float = Field(1.0, gt=0, le=100)
    """Weight of desired replies."""
    undesired: float = Field(1.0, gt=0, le=100)
    """Weight of undesired replies."""

    def loss(self, batch: Preferences) -> Tensor:
        lead = batch.gains if batch.drift is None else batch.gains - batch.drift
        sign = batch.desired * 2.0 - 1.0
        weight = batch.desired * self.desired + ~batch.desired * self.undesired
        return batch.weights * weight * (1 - (self.beta * sign * lead).sigmoid())
