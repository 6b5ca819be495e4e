"""Logits to the next token, in numpy: one request's rules, its own random numbers, its log-probability.

The order of the rules is the one transformers has: repeat penalty (over prompt and reply), temperature,
top_k, top_p, min_p. Nothing sorts a whole vocabulary: the few tokens above a small probability are taken
first, and more only if these are fewer than top_k or hold less of the mass than top_p: the result is exact.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backends.llama_cpp.native import Logits, Tokens
from society.core.types import Sampling

_Places = NDArray[np.intp]
_FLOORS = (1e-5, 1e-8)
_NOTHING = 1e-30  # the weight of a token that is never drawn
_ROUNDING = 1e-3  # a logit's floor lies so much below that of its weight
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
        log_total = top + math.log(float(np.exp(logits - np.float32(top)).sum()))
        token = self._choose(logits, top, allowed)
        if self._seen is not None:
            self._seen.add(token)
        return token, float(logits[token]) - log_total

    def _choose(self, logits: Logits, top: float, allowed: Tokens | None) -> int:
        """`top` is the largest of `logits`."""
        rules = self._rules
        if self._seen or allowed is not None:
            logits = self._adjust(logits, allowed)
            top = float(logits.max())
        if rules.temperature <= 0:
            return int(logits.argmax())
        if rules.top_k <= 0 and rules.top_p >= 1 and rules.min_p <= 0:
            return self._pick_any(_weigh(logits, top, rules))
        return self._pick(*_leading(logits, top, rules))

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

    def _pick(self, tokens: Tokens, weights: Logits) -> int:
        """One of these tokens, drawn in proportion to its weight."""
        sums = np.cumsum(weights, dtype=np.float64)
        at = int(np.searchsorted(sums, self._random() * sums[-1], side="right"))
        return int(tokens[min(at, len(tokens) - 1)])

    def _pick_any(self, weights: Logits) -> int:
        """The same over a whole vocabulary: first a block of tokens, then one in it; much cheaper than one long sum."""
        sums = np.cumsum(np.add.reduceat(weights, np.arange(0, len(weights), _BLOCK)), dtype=np.float64)
        point = self._random() * sums[-1]
        block = min(int(np.searchsorted(sums, point, side="right")), len(sums) - 1)
        inside = weights[block * _BLOCK : (block + 1) * _BLOCK]
        rest = point - (sums[block - 1] if block else 0.0)
        at = int(np.searchsorted(np.cumsum(inside, dtype=np.float64), rest, side="right"))
        return block * _BLOCK + (at if at < len(inside) else int(inside.argmax()))


def _weigh(logits: Logits, top: float, rules: Sampling) -> Logits:
    """Probabilities at the temperature, all divided by that of the likeliest token, whose logit is `top`."""
    weights: Logits = np.exp((logits - np.float32(top)) * np.float32(1 / rules.temperature))
    return weights


def _leading(logits: Logits, top: float, rules: Sampling) -> tuple[Tokens, Logits]:
    """The tokens that top_k, top_p and min_p leave, likeliest first, and their weights."""
    if rules.top_k > 0:
        tokens = _largest(logits, top, rules)
        weights = _weigh(logits[tokens], top, rules)
        whole = 0.0
    else:
        tokens, weights, whole = _nucleus(logits, top, rules)
    order = np.argsort(-weights, kind="stable")[: rules.top_k or None]
    if rules.top_p < 1:
        sums = np.cumsum(weights[order], dtype=np.float64)
        order = order[: int(np.searchsorted(sums, rules.top_p * (whole or sums[-1]))) + 1]
    order = order[weights[order] >= max(rules.min_p, _NOTHING)]
    return tokens[order].astype(np.int32), weights[order]


def _largest(logits: Logits, top: float, rules: Sampling) -> _Places:
    """At least the `top_k` likeliest tokens, in ascending order."""
    tokens = _above(logits, top, rules, _FLOORS[0])
    if len(tokens) < rules.top_k < len(logits):
        tokens = np.sort(np.argpartition(logits, -rules.top_k)[-rules.top_k :])
    return tokens if len(tokens) >= rules.top_k else np.arange(len(logits))


def _nucleus(logits: Logits, top: float, rules: Sampling) -> tuple[_Places, Logits, float]:
    """At least the tokens that top_p and min_p leave, their weights, and the weight of the whole vocabulary."""
    whole = float(_weigh(logits, top, rules).sum()) if rules.top_p < 1 else 0.0
    for floor in (*_FLOORS, 0.0) if rules.top_p < 1 else (rules.min_p,):
        tokens = _above(logits, top, rules, floor)
        weights = _weigh(logits[tokens], top, rules)
        if float(weights.sum()) >= rules.top_p * whole:
            break
    return tokens, weights, whole


def _above(logits: Logits, top: float, rules: Sampling, floor: float) -> _Places:
    """The tokens of at least this weight: a comparison costs a third of an exponential, and sorting far more."""
    if floor <= 0:
        return np.arange(len(logits))
    return np.flatnonzero(logits >= np.float32(top + rules.temperature * math.log(floor) - _ROUNDING))


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

    @property
    def rest(self) -> tuple[int, ...]:
        """The tokens of a complete choice that were not drawn, because nothing else could follow."""
        return tuple(self._node)

    def advance(self, token: int) -> bool:
        """Take one of the allowed tokens; whether the choice is complete."""
        self._node = self._node[token]
        return token == self.end or list(self._node) == [self.end]
