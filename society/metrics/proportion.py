"""A share of successes with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proportion:
    """`successes` of `n`, with the bounds of a confidence interval, all in [0, 1]. NaN where n is 0."""

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


def proportion(successes: int, n: int, confidence: float = 0.95) -> Proportion:
    """With the Wilson score interval (Wilson 1927), by scipy."""
    from scipy.stats import binomtest

    if n == 0:
        return Proportion(0, 0, float("nan"), float("nan"))
    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Proportion(successes, n, float(interval.low), float(interval.high))
