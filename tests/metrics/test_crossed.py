"""Means over questions crossed with repetitions, compared with scipy, statsmodels and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_1samp

from society.metrics.crossed import Estimate, estimate_mean, estimate_share
from society.metrics.proportion import proportion
from society.metrics.student import t_quantile, t_tail


def estimate(values: np.ndarray, shared: bool) -> Estimate:
    return estimate_mean(values.tolist(), shared)


def share(values: np.ndarray, shared: bool) -> Estimate:
    return estimate_share(values.tolist(), shared)


def draw(seed: int, repetitions: int, questions: int, shift: float = 0.0) -> np.ndarray:
    """Return right (1) and wrong (0) answers: questions differ, and repetitions by a shift of their chances."""
    random = np.random.default_rng(seed)
    chances = random.beta(2, 1, questions) + random.normal(0, shift, (repetitions, 1))
    return (random.random((repetitions, questions)) < chances).astype(float)


@settings(max_examples=15)
@given(st.integers(0, 999), st.integers(3, 40))
def test_one_repetition_is_the_t_test_of_scipy(seed: int, questions: int) -> None:
    values = np.random.default_rng(seed).normal(0.1, 1, (1, questions))
    found, expected = estimate(values, shared=True), ttest_1samp(values[0], 0)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(expected.pvalue)
    assert math.isnan(found.deviation)


def test_without_shared_draws_questions_are_the_unit() -> None:
    values = draw(1, 3, 30)
    expected = ttest_1samp(values.mean(axis=0), 0).confidence_interval(0.95)
    found = estimate(values, shared=False)
    assert (found.low, found.high, found.freedom) == pytest.approx((expected.low, expected.high, 29))
    assert found.deviation == pytest.approx(values.mean(axis=1).std(ddof=1))


def test_mean_squares_are_those_of_statsmodels() -> None:
    """The variance is (MS of questions + MS of repetitions - MS of the rest) / n, with Satterthwaite's freedom."""
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    values = draw(4, 4, 25, shift=0.3)
    long = pd.DataFrame([(r, q, values[r, q]) for r in range(4) for q in range(25)], columns=["r", "q", "y"])
    table = anova_lm(ols("y ~ C(r) + C(q)", long).fit())
    repetition, question, rest = (
        table.loc[name, "sum_sq"] / table.loc[name, "df"] for name in ("C(r)", "C(q)", "Residual")
    )
    assert repetition > rest, "the case has a shift"
    total = question + repetition - rest
    freedom = total**2 / (question**2 / 24 + repetition**2 / 3 + rest**2 / 72)
    reach = t.isf(0.025, freedom) * (total / 100) ** 0.5
    found = estimate(values, shared=True)
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach))
    assert found.freedom == pytest.approx(freedom)
    assert found.p == pytest.approx(2 * t.sf(values.mean() / (total / 100) ** 0.5, freedom))


def test_a_case_worked_by_hand() -> None:
    """Means of questions 1, 0.5, 0: their mean square is 2 * 0.25; repetitions do not differ, so they add nothing."""
    values = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert estimate(values, shared=False).error == pytest.approx((0.5 / 6) ** 0.5)
    # Repetitions: means 2/3 and 1/3, mean square 3 * (1/18) = 1/6. Rest: 1/6. The component is 0.
    assert estimate(values, shared=True).error == pytest.approx((0.5 / 6) ** 0.5)


def test_equal_questions_have_the_interval_of_wilson() -> None:
    right = share(np.ones((3, 20)), shared=True)
    assert (right.value, right.low, right.high) == (1.0, proportion(20, 20).low, 1.0)
    assert estimate(np.zeros((3, 20)), shared=True).p == 1.0


@pytest.mark.parametrize(("shift", "shared"), [(0.0, False), (0.0, True), (0.1, True)])
def test_intervals_cover_the_mean(shift: float, shared: bool) -> None:
    """About 95 % of 400 intervals of three repetitions contain the mean over all questions and repetitions."""
    truth = float(np.mean([draw(10_000 + i, 1, 400, shift).mean() for i in range(400)]))
    held = 0
    for seed in range(400):
        found = share(draw(seed, 3, 40, shift), shared)
        held += found.low <= truth <= found.high
    assert binomtest(held, 400, 0.95).proportion_ci(0.999).high > 0.93
    assert held / 400 > 0.92


def test_ignoring_a_shared_shift_would_cover_too_little() -> None:
    """Otherwise the model with crossed effects would be there for no reason."""
    truth = 2 / 3
    held = sum(
        found.low <= truth <= found.high
        for found in (share(draw(seed, 3, 200, 0.1), shared=False) for seed in range(200))
    )
    assert held / 200 < 0.85


@settings(max_examples=60)
@given(st.floats(0, 60), st.floats(0.6, 400))
def test_student_is_that_of_scipy(value: float, freedom: float) -> None:
    assert t_tail(value, freedom) == pytest.approx(float(t.sf(value, freedom)), rel=1e-9, abs=1e-300)
    tail = 0.5 * (1 + value) ** -1.5
    assert t_quantile(tail, freedom) == pytest.approx(float(t.isf(tail, freedom)), rel=1e-8, abs=1e-9)
