"""Bootstrap intervals and permutation tests, whose results are those of scipy with `numpy.random.default_rng(0)`.

The random numbers are the same with and without numpy, which only draws many of them faster.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice, product
from math import fsum, isfinite
from operator import mul
from statistics import NormalDist, fmean
from typing import Any

_STATE, _STEP = 0x1AA1B5345996452D09585EB7A69561E3, 0x418DDADB3AF71A82588133BC447873A9
"""State and increment of `numpy.random.PCG64(0)`."""
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MASK_128, _MASK_64, _MASK_32 = (1 << 128) - 1, (1 << 64) - 1, (1 << 32) - 1
_MANY = 200_000
"""Number of draws from which numpy is imported where it is installed: the import takes as long as these draws."""
_BATCH = 2_000_000
"""Maximum number of draws of numpy in memory."""
_ROUNDING = 100 * sys.float_info.epsilon
"""Relative difference below which two means count as equal, as in scipy."""
_normal = NormalDist()


def ratio_interval(
    values: Sequence[float], weights: Sequence[float], resamples: int, confidence: float
) -> tuple[float, float]:
    """Return the BCa bootstrap interval (Efron 1987) of sum(values) / sum(weights), resampled in pairs.

    The weights are positive. If the correction of BCa is undefined, as for nearly equal values, the percentile interval
    (Efron 1979) is returned.
    """
    rows = draw_rows(len(values), resamples)
    if all(weight == 1 for weight in weights):
        drawn = sorted(fsum(map(values.__getitem__, row)) / len(row) for row in rows)
    else:
        drawn = sorted(fsum(map(values.__getitem__, row)) / fsum(map(weights.__getitem__, row)) for row in rows)
    tail = (1 - confidence) / 2
    low, high = _correct(drawn, values, weights, tail) or (tail, 1 - tail)
    return _quantile(drawn, low), _quantile(drawn, high)


def _correct(
    drawn: Sequence[float], values: Sequence[float], weights: Sequence[float], tail: float
) -> tuple[float, float] | None:
    """Return the probabilities whose quantiles are BCa's bounds (Efron and Tibshirani 1993, equation 14.10)."""
    total, weight, n = fsum(values), fsum(weights), len(values)
    share = (sum(x < total / weight for x in drawn) + sum(x <= total / weight for x in drawn)) / (2 * len(drawn))
    without = [(total - v) / (weight - w) for v, w in zip(values, weights, strict=True)]  # the jackknife
    influence = [(n - 1) * (fmean(without) - x) for x in without]
    squares = fsum(u * u for u in influence) / n**2
    if not 0 < share < 1 or squares == 0:
        return None
    bias = _normal.inv_cdf(share)
    skewness = fsum(u**3 for u in influence) / n**3 / squares**1.5 / 6
    z = _normal.inv_cdf(tail)
    found = [_normal.cdf(bias + x / (1 - skewness * x)) for x in (bias + z, bias - z) if skewness * x != 1]
    return (found[0], found[1]) if len(found) == 2 and all(map(isfinite, found)) else None


def find_percentiles(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval (Efron 1979) of the values of resamples."""
    ordered, tail = sorted(values), (1 - confidence) / 2
    return _quantile(ordered, tail), _quantile(ordered, 1 - tail)


def _quantile(ordered: Sequence[float], probability: float) -> float:
    """Return a quantile by linear interpolation between the two nearest values."""
    place = probability * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 2)
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


def sign_flip_p(values: Sequence[float], resamples: int) -> float:
    """Return the two-sided p of the mean of non-zero values under random signs.

    The p is exact where there are at most `resamples` patterns of signs.
    """
    n = len(values)
    exact = 2**n <= resamples
    patterns = product((1, -1), repeat=n) if exact else draw_signs(n, resamples)
    means = [fsum(map(mul, values, signs)) / n for signs in patterns]
    seen = fsum(values) / n
    margin = _ROUNDING * abs(seen)
    below, above = sum(x <= seen + margin for x in means), sum(x >= seen - margin for x in means)
    more = 0 if exact else 1  # the observed pattern counts as one of those drawn
    return min(1.0, 2 * (min(below, above) + more) / (len(means) + more))


def draw_rows(n: int, rows: int) -> Iterator[list[int]]:
    """Yield rows of n indices below n, as `default_rng(0).integers(0, n, (rows, n))` has them."""
    if (generator := _numpy_generator(n * rows)) is not None:
        for size in _batches(n, rows):
            yield from generator.integers(0, n, (size, n)).tolist()
        return
    below = _draw_below(n)
    yield from (list(islice(below, n)) for _ in range(rows))


def draw_signs(n: int, rows: int) -> Iterator[list[int]]:
    """Yield rows of n signs, 1 or -1, as the permutation test of scipy draws them."""
    if (generator := _numpy_generator(n * rows)) is not None:
        for size in _batches(n, rows):
            words = generator.integers(0, _MASK_32, (size, n), dtype="uint32", endpoint=True)
            yield from ((words & 1) * 2.0 - 1).astype(int).tolist()
        return
    words = draw_words()
    yield from ([1 if word & 1 else -1 for word in islice(words, n)] for _ in range(rows))


def _batches(n: int, rows: int) -> Iterator[int]:
    """Yield sizes of batches of rows that fit the memory."""
    size = max(1, _BATCH // n)
    yield from (min(size, rows - start) for start in range(0, rows, size))


def _numpy_generator(draws: int) -> Any | None:
    """Return numpy's generator where it is faster and installed."""
    if draws < _MANY and "numpy" not in sys.modules:
        return None
    try:
        import numpy as np
    except ImportError:
        return None
    return np.random.default_rng(0)


def _draw_below(n: int) -> Iterator[int]:
    """Yield indices below n, by Lemire's method (2019, arXiv 1805.10941) on words of 32 bits."""
    if n == 1:
        while True:
            yield 0
    least = (1 << 32) % n  # the products with a smaller lower half would favour some indices
    for word in draw_words():
        product_ = word * n
        if product_ & _MASK_32 >= least:
            yield product_ >> 32


def draw_words() -> Iterator[int]:
    """Yield the words of 32 bits of PCG64 (O'Neill 2014, HMC-CS-2014-0905): a word of 64 bits, its lower half first."""
    state = _STATE
    while True:
        state = (state * _MULTIPLIER + _STEP) & _MASK_128
        mixed, turn = (state >> 64) ^ (state & _MASK_64), state >> 122
        word = ((mixed >> turn) | (mixed << (64 - turn))) & _MASK_64
        yield word & _MASK_32
        yield word >> 32
