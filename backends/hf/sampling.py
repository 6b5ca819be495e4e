"""Tokens drawn from logits. Each row has its own random numbers, which do not depend on the other rows.

The order is that of transformers: repeat penalty, temperature, top_k, top_p, min_p. A temperature of 0 is greedy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from backends.hf.rows import Row
from society.core.types import Sampling

HEAD = 1024
"""Number of likeliest tokens that truncation looks at first. Sorting the whole vocabulary costs ten times as much."""


def sample(logits: torch.Tensor, rows: Sequence[Row]) -> tuple[list[int], list[float]]:
    """Return one token a row, and its natural log-probability under the untempered model.

    `logits` is float32 of shape (rows, vocabulary).
    """
    scores = restrict(logits, rows)
    best = logits.new_empty(len(rows), dtype=torch.long)
    warm = [i for i, row in enumerate(rows) if row.request.sampling.temperature > 0]
    cold = [i for i, row in enumerate(rows) if row.request.sampling.temperature == 0]
    if cold:
        best[cold] = scores[cold].argmax(-1)
    if warm:
        best[warm] = draw(scores[warm] if cold else scores, [rows[i] for i in warm])
    logprobs = logits.gather(1, best[:, None])[:, 0] - logits.logsumexp(-1)
    return best.tolist(), logprobs.tolist()


def restrict(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Return the logits after repeat penalties (Keskar et al., 2019), with -inf for tokens that are not allowed.

    The penalty applies to every token of prompt and reply.
    """
    if not any(row.request.sampling.repeat_penalty != 1.0 or row.options or row.forced is not None for row in rows):
        return logits
    scores = logits.clone()
    for i, row in enumerate(rows):
        penalty = row.request.sampling.repeat_penalty
        if penalty != 1.0:
            seen = torch.tensor(sorted({*row.prompt, *row.ids}), device=scores.device)
            old = scores[i, seen]
            scores[i, seen] = torch.where(old > 0, old / penalty, old * penalty)
        if allowed := row.allowed:
            kept = scores[i, allowed]
            scores[i] = -torch.inf
            scores[i, allowed] = kept
        elif barred := row.barred:
            scores[i, barred] = -torch.inf
    return scores


def draw(scores: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Draw one token a row by inverting its cumulative distribution at its next uniform number.

    Rows with `top_k` draw from their likeliest tokens alone, in order of probability.
    """
    limits = {i: k for i, row in enumerate(rows) if 0 < (k := row.request.sampling.top_k) <= HEAD}
    if not limits:
        return _draw(scores, rows)
    few, rest = list(limits), [i for i in range(len(rows)) if i not in limits]
    found = torch.empty(len(rows), dtype=torch.long, device=scores.device)
    likeliest, tokens = (scores[few] if rest else scores).topk(min(max(limits.values()), scores.shape[1]), sorted=True)
    found[few] = tokens.gather(1, _draw(likeliest, [rows[i] for i in few])[:, None])[:, 0]
    if rest:
        found[rest] = _draw(scores[rest], [rows[i] for i in rest])
    return found


def _draw(scores: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Draw one column a row, in the order of the columns."""
    heat = torch.tensor([row.request.sampling.temperature for row in rows], device=scores.device)
    probs = (scores / heat[:, None]).softmax(-1)
    floor = truncate(probs, [row.request.sampling for row in rows])
    cumulative = probs.where(probs >= floor[:, None], 0.0).double().cumsum(-1)
    uniform = torch.stack([row.uniform(len(row.ids), 1) for row in rows])
    target = uniform.to(scores.device) * cumulative[:, -1:]
    # right=True finds the first token whose cumulative mass exceeds the target, so a token of mass 0 is never drawn.
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=scores.shape[1] - 1)


def truncate(probs: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """Return the smallest probability that top_k, top_p and min_p leave in each row; 0 where all three are off."""
    floor = torch.zeros(len(samplings), device=probs.device)
    cut = [i for i, s in enumerate(samplings) if s.top_k or s.top_p < 1 or s.min_p]
    for width in (HEAD, probs.shape[1]):
        if cut:
            floor[cut], unsure = _floors(probs[cut], [samplings[i] for i in cut], width)
            cut = [i for i, again in zip(cut, unsure, strict=True) if again]
    return floor


def _floors(probs: torch.Tensor, samplings: Sequence[Sampling], width: int) -> tuple[torch.Tensor, list[bool]]:
    """Return the floors found among the `width` likeliest tokens, and the rows for which those were too few."""

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, device=probs.device)[:, None]

    size = probs.shape[1]
    ranked = probs.topk(min(width, size), sorted=True).values
    rank = torch.arange(ranked.shape[1], device=probs.device)
    ranked = ranked.where(rank < column([s.top_k or size for s in samplings]), 0.0)
    limited = column([float(0 < s.top_k <= width) for s in samplings]).bool()
    mass = torch.where(limited, ranked.sum(-1, keepdim=True), 1.0)
    before = ranked.cumsum(-1) - ranked
    keep = (ranked > 0) & (before < column([s.top_p for s in samplings]) * mass)
    keep &= ranked >= column([s.min_p for s in samplings]) * ranked[:, :1]
    keep[:, 0] = True
    floors = ranked.where(keep, 1.0).amin(-1)
    unsure: list[bool] = (keep[:, -1] & (rank[-1] + 1 < size) & ~limited[:, 0]).tolist()
    return floors, unsure
