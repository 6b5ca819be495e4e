"""A measured check of a model that was loaded: a batch must compute what the model computes for each text alone.

Model classes differ in how they treat padding, positions and a cache. What a class says of itself is not
enough, so two short texts are decoded together, and compared with a pass over each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from backends.hf.decode import Batch
from backends.hf.rows import Row
from backends.hf.weights import Weights
from society.core.errors import BackendError

LENGTHS = ((7, 3), (4, 3))
"""Tokens of the prompt and of the reply of each text; the second one joins and ends later."""
NEAR = {torch.float32: 0.01}
"""Maximum difference of logits, relative to their deviation from the mean; faults give 0.1 and more."""
NEAR_IN_HALF = 0.2
"""The same in half precision, where experts may be chosen differently."""


@dataclass(eq=False)
class Text:
    """A row of which every token is given. `found` has the logits that a batch draws each from."""

    prompt: list[int]
    reply: list[int]
    ids: list[int] = field(default_factory=list)
    found: list[torch.Tensor] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def request(self) -> Text:
        """Itself: the request of a row names its adapter."""
        return self

    @property
    def adapter(self) -> None:
        """The base."""
        return None

    @property
    def ended(self) -> bool:
        """Return whether the whole reply was given."""
        return len(self.ids) == len(self.reply)


class Forced(Batch):
    """A batch that takes the given tokens instead of drawing."""

    @staticmethod
    def _draw(logits: torch.Tensor, rows: Sequence[Row]) -> None:
        for text, scores in zip(cast("Sequence[Text]", rows), logits, strict=True):
            text.found.append(scores)
            text.ids.append(text.reply[len(text.ids)])


def check_batches(weights: Weights) -> None:
    """Raise `BackendError` unless a batch of the model computes what the model computes for each text alone."""
    kind = weights.model.config.model_type
    try:
        difference = measure(weights)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except BackendError as error:
        raise _refusal(kind, error.cause.rstrip(".")) from error
    except Exception as error:  # models of other authors raise errors of many kinds
        raise _refusal(kind, f"{type(error).__name__}: {str(error)[:200]}") from error
    if not difference < near_of(weights.model):
        raise _refusal(kind, f"its logits differ by {difference:.1g} from those of each text alone")


def _refusal(kind: str, cause: str) -> BackendError:
    return BackendError(
        f"Models of the kind {kind} cannot be decoded in batches: {cause[0].lower()}{cause[1:]}.",
        "Use a causal language model that transformers decodes with a cache of attention or Mamba layers, or the "
        "llama_cpp backend.",
    )


@torch.inference_mode()
def measure(weights: Weights) -> float:
    """Return how far logits of a batch are from those of a pass over each text; see `relate`."""
    model = weights.model
    texts = [Text(make_tokens(prompt, model), make_tokens(reply, model, 1000)) for prompt, reply in LENGTHS]
    batch: Any = Forced(weights)
    batch.advance(texts[:1])
    batch.advance(texts[1:])
    while batch.rows:
        batch.advance([])
    return relate([(torch.stack(text.found), _plain(weights, text)) for text in texts])


def relate(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Return the norm of the differences of logits (tokens, vocabulary), relative to the second ones' deviation from
    their mean."""
    difference = sum(float((one.float() - other.float()).square().sum()) for one, other in pairs)
    spread = sum(float((other.float() - other.float().mean(-1, keepdim=True)).square().sum()) for _, other in pairs)
    return float((difference / spread) ** 0.5) if spread else float(difference > 0)


def near_of(model: Any) -> float:
    """Return the maximum of `relate` at which logits of a model are taken for equal."""
    return NEAR.get(model.dtype, NEAR_IN_HALF)


def _plain(weights: Weights, text: Text) -> torch.Tensor:
    """Return the logits (tokens of the reply, vocabulary) of a pass over the whole text."""
    ids = torch.tensor([[*text.prompt, *text.reply]], device=weights.device)
    logits: torch.Tensor = weights.forward([None], input_ids=ids, use_cache=False).logits
    return logits[0, len(text.prompt) - 1 : -1].float()


def make_tokens(count: int, model: Any, first: int = 0) -> list[int]:
    """Return unlike tokens of a model's vocabulary, the same ones in each call."""
    size = int(model.get_output_embeddings().weight.shape[0])
    return [(first + 7919 * (place + 1)) % size for place in range(count)]
