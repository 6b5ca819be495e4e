"""Tokens drawn from logits on the device, without waiting for it: what `sampling` does, with parameters in tensors.

Each row has its uniform numbers from its own generator, so its tokens depend neither on the other rows nor on the
size of the batch. The same numbers and logits give the tokens that `sampling.sample` gives, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch.nn.functional import pad

from backends.hf.nucleus import find_floors
from backends.hf.rows import Row
from backends.hf.sampling import HEAD

HEADS = (64, HEAD)
"""Numbers of likeliest tokens that rows with `top_k` are drawn from; the smallest that suffices is used."""
BLOCK = 256
"""Tokens whose probabilities are summed together: the cumulative distribution is searched by blocks, then within."""


@dataclass(frozen=True)
class Kind:
    """Steps that the rows of a batch need. A step that a row does not need leaves its result as it is."""

    head: int = 0
    """Likeliest tokens to draw from for rows with `top_k`; 0 where there are no such rows."""
    full: bool = False
    """Some rows draw from the whole vocabulary."""
    nucleus: bool = False
    """Some of these are truncated."""
    cold: bool = False
    """Some rows take the likeliest token."""
    penalty: bool = False
    choices: bool = False
    forced: bool = False
    """Some rows have a thought that may be closed at a budget."""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Kind:
        """Return the steps that these rows need."""
        samplings = [row.request.sampling for row in rows]
        warm = [sampling for sampling in samplings if sampling.temperature > 0]
        limits = [sampling.top_k for sampling in warm if 0 < sampling.top_k <= HEAD]
        full = [sampling for sampling in warm if not 0 < sampling.top_k <= HEAD]
        return cls(
            head=next(size for size in HEADS if size >= max(limits)) if limits else 0,
            full=bool(full),
            nucleus=any(sampling.top_k or sampling.top_p < 1 or sampling.min_p for sampling in full),
            cold=len(warm) < len(samplings),
            penalty=any(sampling.repeat_penalty != 1.0 for sampling in samplings),
            choices=any(row.options for row in rows),
            forced=any(row.has_budget for row in rows),
        )


@dataclass
class Settings:
    """Sampling parameters of n rows, on the device; see `Sampling` for their meaning."""

    cold: torch.Tensor
    """(n), bool: take the likeliest token."""
    heat: torch.Tensor
    """(n), float32: the temperature, 1 where `cold`."""
    top_k: torch.Tensor
    """(n), int64; 0: no limit."""
    top_p: torch.Tensor
    min_p: torch.Tensor
    penalty: torch.Tensor
    """(n), float32, each."""
    uniform: torch.Tensor
    """(n, steps), float64: numbers in [0, 1) for the next steps."""
    step: torch.Tensor
    """(1), int64: the column of `uniform` to use."""
    seen: torch.Tensor
    """(n, vocabulary), bool: tokens of prompt and reply. Without rows where penalties are not needed."""
    allowed: torch.Tensor
    """(n, vocabulary), bool: tokens that may come next. Without rows where there are no choices."""
    forced: torch.Tensor
    """(n), int64: the token that must come next, -1 where any may."""

    def first(self, count: int) -> Settings:
        """Return views of the first rows."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Settings(**{name: part if name == "step" else part[:count] for name, part in parts.items()})


def draw_tokens(logits: torch.Tensor, settings: Settings, kind: Kind) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one token a row (n), and its natural log-probability under the untempered model (n).

    `logits` is float32 of shape (n, vocabulary).
    """
    scores = logits
    if kind.penalty:
        lowered = torch.where(scores > 0, scores / settings.penalty[:, None], scores * settings.penalty[:, None])
        scores = torch.where(settings.seen, lowered, scores)
    if kind.choices:
        scores = scores.masked_fill(~settings.allowed, -torch.inf)
    tokens = scores.argmax(-1) if kind.cold else None
    if kind.head or kind.full:
        drawn = _draw(scores / settings.heat[:, None], settings, kind)
        tokens = drawn if tokens is None else torch.where(settings.cold, tokens, drawn)
    assert tokens is not None
    if kind.forced:
        tokens = torch.where(settings.forced >= 0, settings.forced, tokens)
    logprobs = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(-1)
    return tokens, logprobs


def _draw(scores: torch.Tensor, settings: Settings, kind: Kind) -> torch.Tensor:
    """Draw one token a row by inverting its cumulative distribution at its uniform number."""
    uniform = settings.uniform.index_select(1, settings.step)
    whole = _draw_from_all(scores, settings, kind, uniform) if kind.full else None
    if not kind.head:
        assert whole is not None
        return whole
    likeliest = _draw_from_likeliest(scores, settings, min(kind.head, scores.shape[1]), uniform)
    if whole is None:
        return likeliest
    limited = (settings.top_k > 0) & (settings.top_k <= HEAD)
    return torch.where(limited, likeliest, whole)


def _draw_from_all(scores: torch.Tensor, settings: Settings, kind: Kind, uniform: torch.Tensor) -> torch.Tensor:
    """Draw from the whole vocabulary, in the order of the tokens."""
    probs = scores.softmax(-1)
    if kind.nucleus:
        floors = find_floors(probs, settings.top_k, settings.top_p, settings.min_p)
        probs = probs.where(probs >= floors[:, None], 0.0)
    return invert(probs, uniform)


def _draw_from_likeliest(scores: torch.Tensor, settings: Settings, count: int, uniform: torch.Tensor) -> torch.Tensor:
    """Draw from the likeliest tokens, the likeliest first; right for rows whose `top_k` is at most `count`."""
    likeliest, tokens = scores.topk(count, sorted=True)
    probs = likeliest.softmax(-1)
    rank = torch.arange(count, device=scores.device)
    probs = probs.where(rank < settings.top_k[:, None], 0.0)
    before = probs.cumsum(-1) - probs
    keep = (before < settings.top_p[:, None] * probs.sum(-1, keepdim=True)) | (rank == 0)
    keep &= probs >= settings.min_p[:, None] * probs[:, :1]
    cumulative = probs.where(keep, 0.0).double().cumsum(-1)
    place = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).clamp(max=count - 1)
    return tokens.gather(1, place)[:, 0]


def invert(probs: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Return the first column of each row at which the cumulative sum exceeds the number in `uniform` (n, 1) times the
    row's sum. `probs` (n, columns) need not sum to 1; a column of 0 is never returned.
    """
    width = probs.shape[1]
    blocks = pad(probs, (0, -width % BLOCK)).view(len(probs), -1, BLOCK)
    sums = blocks.sum(-1, dtype=torch.float64)
    cumulative = sums.cumsum(-1)
    target = uniform * cumulative[:, -1:]
    # right=True: the first sum that exceeds the target, so that none of mass 0 is found.
    block = torch.searchsorted(cumulative, target, right=True).clamp(max=blocks.shape[1] - 1)
    within = blocks.gather(1, block[:, :, None].expand(-1, 1, BLOCK))[:, 0].double()
    before = (cumulative - sums).gather(1, block)
    place = torch.searchsorted(before + within.cumsum(-1), target, right=True)
    # Sums of sums may round below the target: the last column with mass is then meant.
    column = torch.arange(BLOCK, device=probs.device)
    last = torch.where(within > 0, column, 0).amax(-1, keepdim=True)
    return (block * BLOCK + torch.minimum(place, last))[:, 0].clamp(max=width - 1)
