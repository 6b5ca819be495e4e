"""Log-probabilities of given text, and embeddings. Logits are computed at scored positions alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from backends.hf.chat import Chat
from backends.hf.weights import Weights

BATCH_TOKENS = 8192
"""Maximum number of tokens in a padded batch."""
LEARNED_NOT = -100
"""Label of a position without loss, as in torch."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A text to score: its tokens, where the scored part starts, and the adapter to score it with."""

    ids: list[int]
    start: int
    adapter: str | None


@contextmanager
def picked_logits(model: Any, mask: torch.Tensor) -> Iterator[None]:
    """Compute logits (true entries of `mask`, vocabulary) alone within this context: those of the positions in `mask`
    (rows, columns). Other operations of the model on its logits are kept."""
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0][mask],))
    try:
        yield
    finally:
        hook.remove()


def learned_logits(
    model: Any, forward: Callable[..., Any], inputs: dict[str, Any], early: bool = True
) -> tuple[Any, Any]:
    """Return float32 logits (n, vocabulary) where the next token has a label, and those n labels.

    `inputs` holds input_ids, labels and perhaps attention_mask, all (rows, columns). Labels are those of transformers:
    the token of the position itself, or -100. With `early` the output layer computes these n positions alone. It must
    compute all rows alike for that.
    """
    following = inputs["labels"][:, 1:]
    mask = torch.zeros_like(inputs["labels"], dtype=torch.bool)
    mask[:, :-1] = following != LEARNED_NOT
    given = {name: part for name, part in inputs.items() if name != "labels"} | {"use_cache": False}
    if early:
        with picked_logits(model, mask):
            logits = forward(**given).logits
    else:
        logits = forward(**given).logits[mask]
    return logits.float(), following[mask[:, :-1]]


def collate(rows: Sequence[tuple[list[int], int]], device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return rows, given as (tokens, start of the labelled part), as one batch, padded on the right."""
    columns = max(len(ids) for ids, _ in rows)
    pad = [columns - len(ids) for ids, _ in rows]
    ids = [ids + [0] * n for (ids, _), n in zip(rows, pad, strict=True)]
    mask = [[1] * len(ids) + [0] * n for (ids, _), n in zip(rows, pad, strict=True)]
    labels = [
        [LEARNED_NOT] * start + ids[start:] + [LEARNED_NOT] * n for (ids, start), n in zip(rows, pad, strict=True)
    ]
    parts = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: torch.tensor(part, device=device) for name, part in parts.items()}


class Scorer:
    """Scores and embeds texts in batches of similar length."""

    def __init__(self, weights: Weights, chat: Chat) -> None:
        self.weights, self.chat = weights, chat

    @torch.inference_mode()
    def logprobs(self, questions: Sequence[Scored]) -> list[tuple[float, int]]:
        """Return for each text the sum of the natural log-probabilities from `start` on, and the number of tokens."""
        answers: list[tuple[float, int]] = [(0.0, 0)] * len(questions)
        groups = [self.weights.group(question.adapter) or "" for question in questions]
        for group in sorted(set(groups)):
            members = [i for i, other in enumerate(groups) if other == group]
            for part in portion(members, [len(question.ids) for question in questions]):
                for i, sums in zip(part, self._score([questions[i] for i in part]), strict=True):
                    answers[i] = (sums, len(questions[i].ids) - questions[i].start)
        return answers

    def _score(self, questions: Sequence[Scored]) -> list[float]:
        inputs = collate([(question.ids, question.start) for question in questions], self.weights.device)
        del inputs["attention_mask"]  # no token attends to padding on its right; without a mask, kernels are faster
        names = [question.adapter for question in questions]
        self.weights.prepare(names)
        model, early = self.weights.model, not self.weights.adapts_head
        logits, labels = learned_logits(model, lambda **kw: self.weights.forward(names, **kw), inputs, early)
        logprobs = logits.gather(1, labels[:, None])[:, 0] - logits.logsumexp(-1)
        counts = [len(question.ids) - question.start for question in questions]
        return [float(part.double().sum()) for part in logprobs.split(counts)]

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the mean of each text's last hidden states under the base: vectors of the model's hidden size."""
        rows: list[list[int]] = [self.chat.text_ids(text) or [self.chat.end] for text in texts]
        vectors: list[list[float]] = [[] for _ in texts]
        for part in portion(range(len(rows)), [len(ids) for ids in rows]):
            inputs = collate([(rows[i], 0) for i in part], self.weights.device)
            mask = inputs["attention_mask"]
            out = self.weights.forward(
                [None] * len(part),
                input_ids=inputs["input_ids"],
                use_cache=False,
                output_hidden_states=True,
                logits_to_keep=1,
            )
            total = (out.hidden_states[-1].float() * mask[:, :, None]).sum(1)
            for i, vector in zip(part, (total / mask.sum(1, keepdim=True)).tolist(), strict=True):
                vectors[i] = vector
        return vectors


def portion(members: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Return members sorted by length, in groups of at most BATCH_TOKENS tokens, padding included."""
    groups: list[list[int]] = []
    for member in sorted(members, key=lambda i: lengths[i]):
        if not groups or (len(groups[-1]) + 1) * lengths[member] > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(member)
    return groups
