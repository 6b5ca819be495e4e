"""Shares of successes with confidence intervals, for independent trials and for clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share with the bounds of a confidence interval, in [0, 1], or NaN for n = 0."""

    successes: int
    n: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The point estimate."""
        return self.successes / self.n if self.n else float("nan")

    def __str__(self) -> str:
        return f"{self.share:.1%} [{self.low:.1%}, {self.high:.1%}] (n = {self.n})" if self.n else "- (n = 0)"


NOTHING = Proportion(0, 0, float("nan"), float("nan"))
"""The share of no trials. There is one object, as NaN equals itself only in the same object."""


def proportion(successes: int, n: int, confidence: float = 0.95) -> Proportion:
    """Return the share of independent trials with the Wilson score interval (Wilson 1927)."""
    from society.metrics.binomial import wilson

    if n == 0:
        return NOTHING
    return Proportion(successes, n, *wilson(successes / n, n, confidence))


def clustered(clusters: Sequence[tuple[int, int]], confidence: float = 0.95) -> Proportion:
    """Return the share over clusters of (successes, trials), such as several answers to one question.

    Answers to one question are correlated, so whole clusters are resampled (BCa bootstrap, Efron 1987). If
    every cluster has one trial, the interval is that of Wilson. If all clusters have the same share, it is that of
    Wilson with one trial per cluster.
    """
    clusters = [cluster for cluster in clusters if cluster[1]]
    successes, n = sum(s for s, _ in clusters), sum(t for _, t in clusters)
    if all(trials == 1 for _, trials in clusters):
        return proportion(successes, n, confidence)
    if len({s / t for s, t in clusters}) == 1:
        low, high = wilson_of_share(successes / n, len(clusters), confidence)
        return Proportion(successes, n, low, high)
    from society.metrics.resampling import ratio_interval

    low, high = ratio_interval([s for s, _ in clusters], [t for _, t in clusters], RESAMPLES, confidence)
    return Proportion(successes, n, low, high)


def wilson_of_share(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Return the Wilson interval of `share` of n trials, from the counts below and above share * n."""
    from math import ceil, floor

    below, above = proportion(floor(share * n), n, confidence), proportion(ceil(share * n), n, confidence)
    return below.low, above.high
