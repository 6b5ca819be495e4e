"""Logits to the next token, in numpy: one request's rules, its own random numbers, its log-probability.

The order of the rules is the one transformers has: repeat penalty (over prompt and reply), temperature,
top_k, top_p, min_p. Nothing sorts a whole vocabulary: with top_p, say, the few tokens above a small
probability are taken first, and more only if these do not hold enough of the mass: the result is exact.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from backends.llama_cpp.native import Logits, Tokens
from society.types import Sampling

_FLOORS = (1e-3, 1e-6, -1.0)
_BLOCK = 512


class Sampler:
    """Draws the tokens of one reply."""

    def __init__(self, sampling: Sampling, seed: int, prompt: Sequence[int] | Tokens) -> None:
        self._rules = sampling
        self._random = random.Random(seed).random
        self._seen = set(map(int, prompt)) if sampling.repeat_penalty != 1.0 else None

    def draw(self, logits: Logits, allowed: Tokens | None = None) -> tuple[int, float]:
        """The next token, one of `allowed` if given, and its log-probability under the bare model.

        `logits` has shape [vocabulary] and is not changed.
        """
        top = float(logits.max())
        weights = np.exp(logits - np.float32(top))
        log_total = top + math.log(float(weights.sum()))
        token = self._choose(logits, weights, top, allowed)
        if self._seen is not None:
            self._seen.add(token)
        return token, float(logits[token]) - log_total

    def _choose(self, logits: Logits, weights: Logits, top: float, allowed: Tokens | None) -> int:
        """`weights` are the exponentials of `logits - top`."""
        rules = self._rules
        changed = self._seen or allowed is not None
        if changed:
            logits = self._adjust(logits, allowed)
            top = float(logits.max())
        if rules.temperature <= 0:
            return int(logits.argmax())
        if changed or rules.temperature != 1.0:
            weights = np.exp((logits - np.float32(top)) * np.float32(1 / rules.temperature))
        return self._pick(weights)

    def _adjust(self, logits: Logits, allowed: Tokens | None) -> Logits:
        """The logits after the repeat penalty (Keskar et al. 2019, 4.1), all but `allowed` ruled out."""
        logits = logits.copy()
        if self._seen:
            seen = np.fromiter(self._seen, np.intp)
            penalty = np.float32(self._rules.repeat_penalty)
            logits[seen] = np.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
        if allowed is not None:
            masked = np.full_like(logits, -np.inf)
            masked[allowed] = logits[allowed]
            logits = masked
        return logits

    def _pick(self, weights: Logits) -> int:
        """A token drawn in proportion to its weight (the largest is 1) among those that the rules leave."""
        rules = self._rules
        if rules.top_k <= 0 and rules.top_p >= 1 and rules.min_p <= 0:
            return self._pick_any(weights)
        tokens = _leading(weights, rules)
        sums = np.cumsum(weights[tokens], dtype=np.float64)
        at = int(np.searchsorted(sums, self._random() * sums[-1], side="right"))
        return int(tokens[min(at, len(tokens) - 1)])

    def _pick_any(self, weights: Logits) -> int:
        """The same without rules: first a block of tokens, then one in it; much cheaper than one long sum."""
        sums = np.cumsum(np.add.reduceat(weights, np.arange(0, len(weights), _BLOCK)), dtype=np.float64)
        point = self._random() * sums[-1]
        block = min(int(np.searchsorted(sums, point, side="right")), len(sums) - 1)
        inside = weights[block * _BLOCK : (block + 1) * _BLOCK]
        rest = point - (sums[block - 1] if block else 0.0)
        at = int(np.searchsorted(np.cumsum(inside, dtype=np.float64), rest, side="right"))
        return block * _BLOCK + (at if at < len(inside) else int(inside.argmax()))


def _leading(weights: Logits, rules: Sampling) -> Tokens:
    """The tokens that top_k, top_p and min_p leave, likeliest first."""
    total = float(weights.sum()) if rules.top_p < 1 and rules.top_k <= 0 else 0.0
    for floor in (max(rules.min_p, -1.0),) if rules.top_k <= 0 and rules.top_p >= 1 else _FLOORS:
        tokens = np.flatnonzero(weights >= floor)
        enough = len(tokens) >= rules.top_k if rules.top_k > 0 else float(weights[tokens].sum()) >= rules.top_p * total
        if enough:
            break
    tokens = tokens[np.argsort(-weights[tokens], kind="stable")]
    if rules.top_k > 0:
        tokens = tokens[: rules.top_k]
    if rules.top_p < 1:
        sums = np.cumsum(weights[tokens], dtype=np.float64)
        whole = sums[-1] if rules.top_k > 0 else total
        tokens = tokens[: int(np.searchsorted(sums, rules.top_p * whole)) + 1]
    return tokens[weights[tokens] >= rules.min_p].astype(np.int32)


def log_probabilities(logits: Logits, tokens: Sequence[int] | Tokens) -> float:
    """Sum of the natural log-probabilities of `tokens` [n] under `logits` [n, vocabulary]."""
    top = logits.max(axis=1)
    log_total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((logits[np.arange(len(tokens)), tokens] - log_total).sum())


@dataclass(slots=True)
class Choices:
    """Which tokens may come next when the reply must be one of a few: a tree over their tokens.

    A choice that is the beginning of a longer one ends with `end`, the mark that ends a turn.
    """

    end: int
    depth: int = 0
    _node: dict[int, dict[int, dict]] = field(default_factory=dict)  # type: ignore[type-arg]

    @classmethod
    def of(cls, choices: Iterable[Sequence[int]], end: int) -> Choices:
        """The tree over these token sequences."""
        root: dict[int, dict] = {}  # type: ignore[type-arg]
        depth = 0
        for tokens in choices:
            depth = max(depth, len(tokens) + 1)
            node = root
            for token in (*tokens, end):
                node = node.setdefault(token, {})
        return cls(end, depth, root)

    @property
    def allowed(self) -> Tokens:
        """The tokens that may come next."""
        return np.array(sorted(self._node), np.int32)

    def advance(self, token: int) -> bool:
        """Take one of the allowed tokens; whether the choice is complete."""
        self._node = self._node[token]
        return token == self.end or list(self._node) == [self.end]
