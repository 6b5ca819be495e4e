"""Sampling in numpy: logits to the next token and its log-probability, with the request's own random numbers.

The order is that of transformers: repeat penalty (over prompt and reply), temperature, top_k, top_p, min_p. The
vocabulary is never sorted as a whole: the few tokens above a small probability are selected first, and more only if
these are fewer than top_k or have less probability mass than top_p. The result is exact.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backends.llama_cpp.native import Logits, Tokens
from society.core.types import Sampling

_Places = NDArray[np.intp]
_Tree = dict[int, "_Tree"]
_FLOORS = (1e-5, 1e-8)
_NOTHING = 1e-30  # weight of a token that is never drawn
_ROUNDING = 1e-3  # margin of a logit's floor below the floor of its weight
_BLOCK = 512


class Sampler:
    """Draws the tokens of one reply."""

    def __init__(self, sampling: Sampling, seed: int, prompt: Sequence[int] | Tokens) -> None:
        self._rules = sampling
        self._random = random.Random(seed).random
        self._seen = set(map(int, prompt)) if sampling.repeat_penalty != 1.0 else None

    def draw(self, logits: Logits, allowed: Tokens | None = None) -> tuple[int, float]:
        """Return the next token, one of `allowed` if given, and its log-probability under the bare model.

        `logits` has shape [vocabulary] and is not changed.
        """
        top = float(logits.max())
        log_total = top + math.log(float(np.exp(logits - np.float32(top)).sum()))
        token = self._choose(logits, top, allowed)
        if self._seen is not None:
            self._seen.add(token)
        return token, float(logits[token]) - log_total

    def _choose(self, logits: Logits, top: float, allowed: Tokens | None) -> int:
        """Return the next token. `top`: the maximum of `logits`."""
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
        """Return the logits after the repeat penalty (Keskar et al. 2019, section 4.1), with only `allowed` left."""
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
        """Draw one of these tokens in proportion to its weight."""
        sums = np.cumsum(weights, dtype=np.float64)
        at = int(np.searchsorted(sums, self._random() * sums[-1], side="right"))
        return int(tokens[min(at, len(tokens) - 1)])

    def _pick_any(self, weights: Logits) -> int:
        """Draw a token of the whole vocabulary: first a block, then a token in it.

        One long sum would be much slower.
        """
        sums = np.cumsum(np.add.reduceat(weights, np.arange(0, len(weights), _BLOCK)), dtype=np.float64)
        point = self._random() * sums[-1]
        block = min(int(np.searchsorted(sums, point, side="right")), len(sums) - 1)
        inside = weights[block * _BLOCK : (block + 1) * _BLOCK]
        rest = point - (sums[block - 1] if block else 0.0)
        at = int(np.searchsorted(np.cumsum(inside, dtype=np.float64), rest, side="right"))
        return block * _BLOCK + (at if at < len(inside) else int(inside.argmax()))


def _weigh(logits: Logits, top: float, rules: Sampling) -> Logits:
    """Return probabilities at the temperature, relative to the most likely token, whose logit is `top`."""
    weights: Logits = np.exp((logits - np.float32(top)) * np.float32(1 / rules.temperature))
    return weights


def _leading(logits: Logits, top: float, rules: Sampling) -> tuple[Tokens, Logits]:
    """Return the tokens that top_k, top_p and min_p leave, the most likely first, and their weights."""
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
    """Return at least the `top_k` most likely tokens, in ascending order."""
    tokens = _above(logits, top, rules, _FLOORS[0])
    if len(tokens) < rules.top_k < len(logits):
        tokens = np.sort(np.argpartition(logits, -rules.top_k)[-rules.top_k :])
    return tokens if len(tokens) >= rules.top_k else np.arange(len(logits))


def _nucleus(logits: Logits, top: float, rules: Sampling) -> tuple[_Places, Logits, float]:
    """Return at least the tokens that top_p and min_p leave, their weights, and the whole vocabulary's weight."""
    whole = float(_weigh(logits, top, rules).sum()) if rules.top_p < 1 else 0.0
    for floor in (*_FLOORS, 0.0) if rules.top_p < 1 else (rules.min_p,):
        tokens = _above(logits, top, rules, floor)
        weights = _weigh(logits[tokens], top, rules)
        if float(weights.sum()) >= rules.top_p * whole:
            break
    return tokens, weights, whole


def _above(logits: Logits, top: float, rules: Sampling, floor: float) -> _Places:
    """Return the tokens of at least this weight. Comparing logits takes a third of the time of an exponential."""
    if floor <= 0:
        return np.arange(len(logits))
    return np.flatnonzero(logits >= np.float32(top + rules.temperature * math.log(floor) - _ROUNDING))


def log_probabilities(logits: Logits, tokens: Sequence[int] | Tokens) -> float:
    """Return the sum of the natural log-probabilities of `tokens` [n] under `logits` [n, vocabulary]."""
    top = logits.max(axis=1)
    log_total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((logits[np.arange(len(tokens)), tokens] - log_total).sum())


@dataclass(slots=True)
class Choices:
    """The choices of a reply as a tree over their tokens, which gives the tokens that may come next.

    A choice that is a prefix of a longer one ends with `end`, the token that ends a turn.
    """

    end: int
    _root: _Tree
    _node: _Tree

    @classmethod
    def of(cls, choices: Iterable[Sequence[int]], end: int, opening: Sequence[int] = ()) -> Choices:
        """Return the tree over these token sequences. Instead of a choice, `opening` may come: a thought's opening."""
        whole = [(*tokens, end) for tokens in choices]
        return cls(end, _grow(whole), _grow([*whole, opening]))

    @property
    def allowed(self) -> Tokens:
        """The tokens that may come next."""
        return np.array(sorted(self._node), np.int32)

    @property
    def rest(self) -> tuple[int, ...]:
        """The tokens of a complete choice that were not drawn, because no other could follow."""
        return tuple(self._node)

    def restarted(self) -> Choices:
        """Return the same choices, after a thought."""
        return Choices(self.end, self._root, self._root)

    def advance(self, token: int) -> bool:
        """Follow one of the allowed tokens. Return whether the choice is complete."""
        self._node = self._node[token]
        return token == self.end or list(self._node) == [self.end]


def _grow(sequences: Iterable[Sequence[int]]) -> _Tree:
    root: _Tree = {}
    for tokens in sequences:
        node = root
        for token in tokens:
            node = node.setdefault(token, {})
    return root
