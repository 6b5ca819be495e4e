"""Means over questions crossed with repetitions: every repetition asks the same questions with other random draws.

Replies are drawn independently for each question and repetition. Where nothing else is drawn, questions are the unit:
the mean of each over its repetitions. Where repetitions also share a draw over all questions (a random graph, trained
weights), questions and repetitions are crossed random effects without replication (Brennan 2001, Generalizability
Theory, chapter 3). The variance of the mean is then estimated from the mean squares of the two-way analysis,
and the degrees of freedom after Satterthwaite (1946, Biometrics Bulletin 2, 110-114). A negative component of variance
counts as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from statistics import fmean, stdev, variance

from society.metrics.binomial import wilson
from society.metrics.student import t_quantile, t_tail

Values = Sequence[Sequence[float]]
"""Scores of each repetition, with the questions in the same order in each."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval. `deviation` is the standard deviation of the repetitions' means, NaN for one.

    `error` is the standard error and `freedom` its degrees of freedom.
    """

    value: float
    low: float
    high: float
    deviation: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """The two-sided p value of a mean of 0, by Student's t. NaN where the standard error is 0 and the mean not."""
        if isnan(self.error) or (self.value and not self.error):
            return nan
        return 2 * t_tail(abs(self.value) / self.error, self.freedom) if self.value else 1.0


def estimate_mean(values: Values, shared: bool, confidence: float = 0.95) -> Estimate:
    """Return the mean of all scores, with an interval by Student's t.

    `shared`: whether repetitions share draws over all questions. The interval is NaN for a single question. With one
    repetition, it is that of the plain t test.
    """
    means = [fmean(row) for row in values]
    mean, deviation = fmean(means), stdev(means) if len(means) > 1 else nan
    if len(values[0]) == 1:
        return Estimate(mean, nan, nan, deviation, nan, 0.0)
    error, freedom = _standard_error(values, means, shared)
    reach = error * t_quantile((1 - confidence) / 2, freedom)
    return Estimate(mean, mean - reach, mean + reach, deviation, error, freedom)


def estimate_share(values: Values, shared: bool, confidence: float = 0.95) -> Estimate:
    """Return `estimate_mean` of scores in [0, 1], with bounds in [0, 1]; Wilson's interval if no question differs."""
    found = estimate_mean(values, shared, confidence)
    if found.error > 0:
        return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))
    low, high = wilson(found.value, len(values[0]), confidence)
    return replace(found, low=low, high=high)


def _standard_error(values: Values, means: Sequence[float], shared: bool) -> tuple[float, float]:
    """Return the standard error of the mean and its degrees of freedom."""
    repetitions, questions = len(values), len(values[0])
    size = repetitions * questions
    by_question = [fmean(column) for column in zip(*values, strict=True)]
    between = repetitions * variance(by_question)
    if repetitions == 1 or not shared:
        return (between / size) ** 0.5, questions - 1.0
    shifted, mean = questions * variance(means), fmean(means)
    rest = [value - by_question[q] - means[r] + mean for r, row in enumerate(values) for q, value in enumerate(row)]
    freedom = (repetitions - 1) * (questions - 1)
    noise = sum(one**2 for one in rest) / freedom
    if shifted <= noise:
        return (between / size) ** 0.5, questions - 1.0
    total = between + shifted - noise
    parts = between**2 / (questions - 1) + shifted**2 / (repetitions - 1) + noise**2 / freedom
    return (total / size) ** 0.5, total**2 / parts
