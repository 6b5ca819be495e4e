"""Paired statistics of two runs on the same questions: difference, interval, test and power.

Pairs are questions. If a run has several debates of a question, their mean is one observation.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean
from typing import TypeVar

from society.core.errors import InputError
from society.metrics.binomial import mcnemar, mcnemar_power, most_unseen
from society.metrics.proportion import proportion, wilson_of_share
from society.metrics.resampling import ratio_interval, sign_flip_p

RESAMPLES = 9999
DIGITS = 12
"""Number of digits after the point to which differences of shares are computed."""
MOST_QUESTIONS = 10_000_000
"""Maximum number of questions in a search for the needed number."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of a second run minus that of a first run, on their common `questions`.

    `value`, `low` and `high` (by default a 95 % interval) are shares: 0.05 is five points. `gained` questions are
    better in the second run, and `lost` ones worse. `discordance` is the mean squared difference of a question, which
    is the share of disagreements for one debate each. `only_first` and `only_second` count questions of one run only,
    which are excluded. `test` names the test of the two-sided `p`.
    """

    value: float
    low: float
    high: float
    p: float
    test: str
    questions: int
    gained: int
    lost: int
    discordance: float
    only_first: int = 0
    only_second: int = 0

    def reversed(self) -> Difference:
        """Return the same difference as first minus second."""
        return replace(
            self,
            value=0 - self.value,
            low=0 - self.high,
            high=0 - self.low,
            gained=self.lost,
            lost=self.gained,
            only_first=self.only_second,
            only_second=self.only_first,
        )

    @property
    def points(self) -> str:
        """The difference with its interval, in percentage points."""
        low, high = 100 * self.low, 100 * self.high
        return f"{100 * self.value:+.1f} points (95% interval {low:+.1f} to {high:+.1f})"

    @property
    def chance(self) -> str:
        """The p value in words, with the name of the test."""
        return f"{describe_chance(self.p)} ({self.test})"


def describe_chance(p: float) -> str:
    """Return a p value in words."""
    digits = 1 if p < 0.1 else 0
    share = "less than 0.1%" if p < 0.001 else f"{100 * p:.{digits}f}%"
    return f"chance alone gives such a difference in {share} of cases"


def compare_outcomes(
    first: Mapping[Key, Sequence[float]], second: Mapping[Key, Sequence[float]], confidence: float = 0.95
) -> Difference:
    """Return the paired difference, second minus first, of scores in [0, 1] by question, one per debate.

    `p` is that of McNemar's exact test (McNemar 1947, the binomial test on discordant pairs) if every question has one
    verdict in each run. Otherwise it is that of a sign-flip permutation test over questions, which generalizes
    McNemar's. The interval is a BCa bootstrap over questions (Efron 1987).

    Raises `InputError` without common questions.
    """
    shared = [question for question in first if question in second]
    if not shared:
        raise InputError(
            "The runs have no question in common, so they cannot be compared.",
            "Run both scenarios with the same task, limit, offset and seed.",
        )
    # Rounding errors of equal differences would be differences, with an interval of no width.
    differences = [round(fmean(second[q]) - fmean(first[q]), DIGITS) for q in shared]
    single = all(len(side[q]) == 1 and side[q][0] in (0, 1) for side in (first, second) for q in shared)
    gained, lost = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    low, high = _interval(differences, confidence)
    return Difference(
        value=fmean(differences),
        low=low,
        high=high,
        p=mcnemar(gained, lost) if single else _permutation(differences),
        test="exact McNemar" if single else "sign permutation",
        questions=len(shared),
        gained=gained,
        lost=lost,
        discordance=fmean(d * d for d in differences),
        only_first=len(first) - len(shared),
        only_second=len(second) - len(shared),
    )


def _permutation(differences: Sequence[float]) -> float:
    """Return the two-sided p of the mean under random signs of the non-zero differences; exact up to 13 of them."""
    unlike = [difference for difference in differences if difference]
    return sign_flip_p(unlike, RESAMPLES) if unlike else 1.0


def _interval(differences: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return the bootstrap interval of the mean, or the range that the number of questions allows if all are equal."""
    if len(set(differences)) > 1:
        return bootstrap_mean(differences, confidence)
    value = differences[0]
    # Each unlike question could move the mean so far.
    reach = (1 + abs(value)) * most_unseen(len(differences), confidence)
    return max(-1.0, value - reach), min(1.0, value + reach)


def bootstrap_mean(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the BCa bootstrap interval (Efron 1987) of a mean of independent values; a point if all are equal."""
    if len(set(values)) == 1:
        return float(values[0]), float(values[0])
    return ratio_interval(values, [1] * len(values), RESAMPLES, confidence)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a mean of scores in [0, 1], one per question.

    It is Wilson's if all are 0 or 1 or if all are equal, otherwise a BCa bootstrap.
    """
    if set(values) <= {0, 1}:
        share = proportion(round(sum(values)), len(values), confidence)
        return share.low, share.high
    if len(set(values)) == 1:
        return wilson_of_share(values[0], len(values), confidence)
    return bootstrap_mean(values, confidence)


def holm(ps: Sequence[float]) -> list[float]:
    """Return adjusted p values in the given order (Holm 1979): the i-th smallest of m is multiplied by m - i + 1."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def questions_needed(difference: float, discordance: float, wanted: float = 0.8, alpha: float = 0.05) -> int | None:
    """Return the number of questions with which McNemar's exact test detects `difference` with the power `wanted`.

    None means more than ten million. Raises `InputError` for a difference of 0 or above 1.
    """
    if not 0 < abs(difference) <= 1:
        raise InputError(f"A difference of {difference} cannot be looked for.", "Give one between 0 and 1, say 0.05.")
    rough = _connor(difference, discordance, wanted, alpha)
    if rough > MOST_QUESTIONS:
        return None
    choices = range(1, int(2 * rough) + 100)
    return choices[bisect_left(choices, wanted, key=lambda n: mcnemar_power(n, difference, discordance, alpha))]


def _connor(difference: float, discordance: float, wanted: float, alpha: float) -> float:
    """Return the normal approximation of Connor (1987, Biometrics 43, 207-211), from which the exact search starts."""
    spread = max(discordance, abs(difference))
    z_alpha, z_beta = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(wanted)
    return float((z_alpha * spread**0.5 + z_beta * (spread - difference**2) ** 0.5) ** 2 / difference**2)
