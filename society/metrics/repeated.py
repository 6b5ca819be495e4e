"""Estimates over repeated samples of a question: pass@k, maj@k and best-of-k.

Each function returns the mean over all draws of k of the n samples without replacement, which is an unbiased estimate
for k independent samples (Hoeffding 1948, A Class of Statistics with Asymptotically Normal Distribution).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import comb


def pass_at_k(right: Sequence[bool], k: int) -> float:
    """Return the probability that any of k samples is right: 1 - C(n - c, k) / C(n, k).

    Source: Chen et al., 2021 (arXiv 2107.03374), section 2.1.
    """
    wrong = len(right) - sum(right)
    return 1 - comb(wrong, k) / comb(len(right), k)


def majority_at_k(classes: Sequence[int | None], right: Sequence[bool], k: int) -> float:
    """Return the probability that the most frequent answer of k samples is right (maj@k).

    `classes` numbers the equal answers; None is an unreadable answer or no decision, which has no vote. A tie decides
    nothing, so it counts as wrong.
    """
    found: dict[int, list[bool]] = {}
    for number, good in zip(classes, right, strict=True):
        if number is not None:
            found.setdefault(number, []).append(good)
    silent = classes.count(None)
    winning = 0
    for number, goods in found.items():
        if any(goods):
            others = [len(members) for other, members in found.items() if other != number]
            winning += sum(
                comb(len(goods), votes) * _ways(others, silent, votes - 1, k - votes) for votes in range(1, k + 1)
            )
    return winning / comb(len(classes), k)


def _ways(sizes: Sequence[int], silent: int, most: int, draws: int) -> int:
    """Return in how many ways `draws` samples come from these classes, at most `most` of each, and silent ones."""
    ways = [comb(silent, drawn) for drawn in range(draws + 1)]
    for size in sizes:
        allowed = range(min(size, most) + 1)
        ways = [sum(comb(size, j) * ways[total - j] for j in allowed if j <= total) for total in range(draws + 1)]
    return ways[draws] if draws >= 0 else 0


def best_of_k(values: Sequence[float], right: Sequence[bool], k: int) -> float:
    """Return the probability that the sample with the highest value among k is right. Equal values are drawn fairly."""
    ordered = sorted(zip(values, right, strict=True))
    total, below = 0.0, 0
    for _, group in groupby(ordered, key=lambda pair: pair[0]):
        goods = [good for _, good in group]
        best = comb(below + len(goods), k) - comb(below, k)
        total += best * sum(goods) / len(goods)
        below += len(goods)
    return total / comb(len(ordered), k)
