"""Paired statistics of two runs on the same questions: difference, interval, test and power.

Pairs are questions. If a run has several debates of a question, their mean is one observation.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from society.core.errors import InputError
from society.metrics.proportion import SEED, proportion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 9999
MOST_QUESTIONS = 10_000_000
"""Maximum number of questions in a search for the needed number."""
_BATCH = 2_000_000

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
    McNemar's. The interval is a BCa bootstrap over questions (Efron 1987). All are by scipy.

    Raises `InputError` without common questions.
    """
    import numpy as np

    shared = [question for question in first if question in second]
    if not shared:
        raise InputError(
            "The runs have no question in common, so they cannot be compared.",
            "Run both scenarios with the same task, limit, offset and seed.",
        )
    differences = np.array([_mean(second[q]) - _mean(first[q]) for q in shared])
    single = all(len(side[q]) == 1 and side[q][0] in (0, 1) for side in (first, second) for q in shared)
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    low, high = _interval(differences, confidence)
    return Difference(
        value=float(differences.mean()),
        low=low,
        high=high,
        p=mcnemar(gained, lost) if single else _permutation(differences),
        test="exact McNemar" if single else "sign permutation",
        questions=len(shared),
        gained=gained,
        lost=lost,
        discordance=float((differences**2).mean()),
        only_first=len(first) - len(shared),
        only_second=len(second) - len(shared),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def mcnemar(gained: int, lost: int) -> float:
    """Return the exact two-sided p of these numbers of discordant pairs (McNemar 1947), by scipy; 1 without pairs."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def _permutation(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p of the mean under random signs of the non-zero differences; exact up to 13 of them."""
    import numpy as np
    from scipy.stats import permutation_test

    unlike = differences[differences != 0]
    if len(unlike) == 0:
        return 1.0
    if len(unlike) == 1:
        return 1.0  # either sign is as likely as the other
    result = permutation_test(
        (unlike,),
        lambda d, axis: d.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // len(unlike)),
        rng=np.random.default_rng(SEED),
    )
    return float(result.pvalue)


def _interval(differences: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the bootstrap interval of the mean, or the range that the number of questions allows if all are equal."""
    import numpy as np
    from scipy.stats import binomtest

    if np.ptp(differences) == 0:
        value = float(differences[0])
        unseen = binomtest(0, len(differences)).proportion_ci(confidence, method="exact").high
        reach = (1 + abs(value)) * float(unseen)  # each unlike question could move the mean so far
        return max(-1.0, value - reach), min(1.0, value + reach)
    return bootstrap_mean(differences, confidence)


def bootstrap_mean(values: Sequence[float] | NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float]:
    """Return the BCa bootstrap interval (Efron 1987) of a mean of independent values, by scipy.

    The interval is a point if all values are equal. If the correction of BCa is undefined for nearly equal values, the
    percentile interval (Efron 1979) is returned.
    """
    import numpy as np

    values = np.asarray(values, dtype=float)
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    low, high = _bootstrap(values, confidence, "BCa")
    return (low, high) if isfinite(low) and isfinite(high) else _bootstrap(values, confidence, "percentile")


def _bootstrap(values: NDArray[np.float64], confidence: float, method: str) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import DegenerateDataWarning, bootstrap

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)  # the caller sees it by the NaN
        result = bootstrap(
            (values,),
            np.mean,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, _BATCH // len(values)),
            confidence_level=confidence,
            method=method,
            rng=np.random.default_rng(SEED),
        )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a mean of scores in [0, 1], one per question: Wilson's if all are 0 or 1, else BCa."""
    if set(values) <= {0, 1}:
        share = proportion(round(sum(values)), len(values), confidence)
        return share.low, share.high
    return bootstrap_mean(values, confidence)


def holm(ps: Sequence[float]) -> list[float]:
    """Return adjusted p values in the given order (Holm 1979): the i-th smallest of m is multiplied by m - i + 1."""
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def power(questions: int, difference: float, discordance: float, alpha: float = 0.05) -> float:
    """Return the power of McNemar's exact test to detect a true `difference` at level `alpha`.

    It is the unconditional exact power of Duffy (1984, Biometrics 40, 1005-1015): the number of discordant pairs is
    binomial with `discordance`, and of these the gains are binomial with (1 + difference / discordance) / 2.
    """
    import numpy as np
    from scipy.stats import binom

    spread = max(discordance, abs(difference))  # fewer discordant pairs could not make this difference
    pairs = np.arange(binom.ppf(1e-9, questions, spread), binom.ppf(1 - 1e-9, questions, spread) + 1)
    limit = binom.ppf(alpha / 2, pairs, 0.5)
    limit = np.where(binom.cdf(limit, pairs, 0.5) > alpha / 2, limit - 1, limit)  # at most so many on one side
    gain = (1 + abs(difference) / spread) / 2
    found = binom.cdf(limit, pairs, gain) + binom.sf(pairs - limit - 1, pairs, gain)
    return float(binom.pmf(pairs, questions, spread) @ found)


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
    return choices[bisect_left(choices, wanted, key=lambda n: power(n, difference, discordance, alpha))]


def _connor(difference: float, discordance: float, wanted: float, alpha: float) -> float:
    """Return the normal approximation of Connor (1987, Biometrics 43, 207-211), from which the exact search starts."""
    from scipy.stats import norm

    spread = max(discordance, abs(difference))
    z_alpha, z_beta = norm.isf(alpha / 2), norm.isf(1 - wanted)
    return float((z_alpha * spread**0.5 + z_beta * (spread - difference**2) ** 0.5) ** 2 / difference**2)
