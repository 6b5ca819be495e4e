"""Statistics against the libraries' results on known data, and against cases worked by hand."""

from __future__ import annotations

import math
import warnings
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import DegenerateDataWarning, binom, binomtest, bootstrap, permutation_test
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from society.core.errors import InputError
from society.metrics import resampling
from society.metrics.binomial import binomial_cdf, mcnemar, mcnemar_power, most_unseen
from society.metrics.proportion import clustered, proportion
from society.metrics.resampling import draw_rows, draw_signs, draw_words, ratio_interval, sign_flip_p
from society.metrics.statistics import bootstrap_mean, compare_outcomes, holm, mean_interval, questions_needed


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_statsmodels_wilson(case: tuple[int, int]) -> None:
    successes, n = case
    found = proportion(successes, n)
    low, high = proportion_confint(successes, n, method="wilson")
    assert (found.low, found.high) == pytest.approx((max(low, 0), min(high, 1)), abs=1e-9)


def test_of_nothing_nothing_is_known() -> None:
    assert all(math.isnan(x) for x in (proportion(0, 0).share, proportion(0, 0).low, clustered([]).high))


def test_one_trial_a_question_is_the_plain_interval() -> None:
    assert clustered([(1, 1)] * 30 + [(0, 1)] * 10) == proportion(30, 40)


def test_answers_to_one_question_do_not_count_as_independent() -> None:
    """40 questions of 5 answers that are always all alike are worth 40 answers, not 200."""
    found = clustered([(5, 5)] * 20 + [(0, 5)] * 20)
    honest, naive = proportion(20, 40), proportion(100, 200)
    assert found.share == 0.5
    assert found.high - found.low > 1.8 * (naive.high - naive.low)
    assert (found.low, found.high) == pytest.approx((honest.low, honest.high), abs=0.03)


def test_alike_questions_are_as_many_trials_as_questions() -> None:
    assert (clustered([(3, 3)] * 8).low, clustered([(3, 3)] * 8).high) == (proportion(8, 8).low, 1.0)
    uncertain = clustered([(1, 2)] * 7)  # no count is half of 7
    assert (uncertain.low, uncertain.high) == (proportion(3, 7).low, proportion(4, 7).high)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_statsmodels_mcnemar(gained: int, lost: int) -> None:
    if gained + lost:
        expected = statsmodels_mcnemar([[10, gained], [lost, 10]], exact=True).pvalue
        assert mcnemar(gained, lost) == pytest.approx(expected)
    else:
        assert mcnemar(gained, lost) == 1.0


def test_a_difference_worked_by_hand() -> None:
    """The second run gains 6 of 10 questions and loses 1: 5/10, p = 2 (1 + 7) / 2^7."""
    first = {i: [i in (6, 7)] for i in range(10)}
    second = {i: [i < 7] for i in range(10)}
    found = compare_outcomes(first, second)
    assert (found.value, found.gained, found.lost, found.discordance) == (0.5, 6, 1, 0.7)
    assert found.p == pytest.approx(16 / 128)
    assert found.test == "exact McNemar"
    assert found.low < 0.5 < found.high
    turned = compare_outcomes(second, first)
    assert (turned.value, turned.gained, turned.lost, turned.p) == (-0.5, 1, 6, found.p)


def test_questions_of_one_run_alone_are_counted() -> None:
    found = compare_outcomes({"a": [1], "b": [0], "c": [1]}, {"b": [1], "c": [1], "d": [0], "e": [0]})
    assert (found.questions, found.only_first, found.only_second, found.value) == (2, 1, 2, 0.5)


def test_no_common_question_is_an_error() -> None:
    with pytest.raises(InputError, match="no question in common"):
        compare_outcomes({"a": [1]}, {"b": [1]})


def test_many_debates_of_a_question_are_one_observation() -> None:
    """Ten copies of each debate add nothing: the difference is as uncertain as with one."""
    first = {i: [float(i % 3 == 0)] for i in range(60)}
    second = {i: [float(i % 2 == 0)] for i in range(60)}
    once = compare_outcomes(first, second)
    often = compare_outcomes({i: v * 10 for i, v in first.items()}, {i: v * 10 for i, v in second.items()})
    assert (often.low, often.high, often.discordance) == (once.low, once.high, once.discordance)
    assert often.test == "sign permutation"
    assert often.p == pytest.approx(once.p, abs=0.02)


def test_the_permutation_of_few_questions_is_exact() -> None:
    """Differences 1/2, 1/2, 1/2: of 8 sign patterns, 2 are as extreme."""
    found = compare_outcomes(dict.fromkeys("abc", (0.0, 0.0)), dict.fromkeys("abc", (1.0, 0.0)))
    assert found.p == pytest.approx(2 / 8)


def test_equal_runs_may_still_differ_unseen() -> None:
    few = compare_outcomes(dict.fromkeys(range(5), (1,)), dict.fromkeys(range(5), (1,)))
    many = compare_outcomes(dict.fromkeys(range(500), (1,)), dict.fromkeys(range(500), (1,)))
    unseen = binomtest(0, 5).proportion_ci(method="exact").high
    assert (few.value, few.p) == (0, 1)
    assert (few.low, few.high) == pytest.approx((-unseen, unseen), abs=1e-12)
    assert most_unseen(5) == few.high
    assert many.high < 0.01 < few.high


def test_rounding_errors_are_no_differences() -> None:
    """An interval around them would have no width: a difference of 1e-16 would be shown for sure."""
    almost = compare_outcomes({i: [1 - i % 2 * 1e-16] for i in range(20)}, dict.fromkeys(range(20), (1.0,)))
    assert (almost.value, almost.gained, almost.p) == (0, 0, 1)
    assert (almost.low, almost.high) == (-most_unseen(20), most_unseen(20))
    ones = {0: (1, 0, 0), 1: (0, 0, 0), 2: (1, 1, 0)}
    third = compare_outcomes(ones, {0: (1, 1, 0), 1: (1, 0, 0), 2: (1, 1, 1)})
    assert third.value == pytest.approx(1 / 3)
    assert third.low < 0 < third.high == 1


def test_equal_means_of_questions_have_an_interval() -> None:
    """Each question is right in half of its samples: there are as many trials as questions, as in `clustered`."""
    assert mean_interval([0.5] * 7) == (clustered([(1, 2)] * 7).low, clustered([(1, 2)] * 7).high)


@pytest.mark.slow
def test_the_bootstrap_covers_what_it_should() -> None:
    """About 95 % of the intervals of 100 samples contain their true mean of 0.3."""
    random = np.random.default_rng(5)
    bounds = [mean_interval(list(random.binomial(4, 0.3, 40) / 4)) for _ in range(100)]
    held = sum(low <= 0.3 <= high for low, high in bounds)
    assert binomtest(held, 100, 0.95).pvalue > 0.001
    assert bootstrap_mean([0.4, 0.4]) == (0.4, 0.4)
    assert mean_interval([1, 0, 1, 1]) == (proportion(3, 4).low, proportion(3, 4).high)


@pytest.mark.parametrize("n", [5, 20, 1000])
def test_the_bootstrap_of_almost_equal_values_is_an_interval(n: int) -> None:
    """One value in the last bit off the others: BCa is not defined, and its warning would be an error here."""
    values = [0.1] * n + [float(np.nextafter(0.1, 1))]
    low, high = bootstrap_mean(values)
    assert low <= high
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.1))


@pytest.mark.slow
@settings(max_examples=10)  # the library takes its time
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels_holm(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(list(multipletests(ps, method="holm")[1]))


def test_power_is_what_simulation_finds() -> None:
    random = np.random.default_rng(3)
    n, difference, discordance = 120, 0.12, 0.25
    pairs = random.binomial(n, discordance, 2000)
    gains = random.binomial(pairs, (1 + difference / discordance) / 2)
    found = sum(mcnemar(int(g), int(d - g)) <= 0.05 for g, d in zip(gains, pairs, strict=True))
    interval = binomtest(found, 2000).proportion_ci(0.999)
    assert interval.low < mcnemar_power(n, difference, discordance) < interval.high


def test_power_worked_by_hand() -> None:
    """Every question is discordant and gained: 6 are the fewest with 2 / 2^6 <= 0.05."""
    assert mcnemar_power(5, 1.0, 1.0) == 0.0
    assert mcnemar_power(6, 1.0, 1.0) == pytest.approx(1.0)
    assert questions_needed(1.0, 1.0) == 6


@settings(max_examples=20)
@given(st.floats(0.02, 0.4), st.floats(0.02, 0.9))
def test_questions_needed_reach_the_power_wanted(difference: float, discordance: float) -> None:
    needed = questions_needed(difference, discordance)
    assert needed is not None
    assert mcnemar_power(needed, difference, discordance) >= 0.8
    assert mcnemar_power(int(needed * 0.8), difference, discordance) < 0.8


def test_what_no_number_of_questions_shows() -> None:
    assert questions_needed(1e-5, 0.5) is None
    with pytest.raises(InputError, match="cannot be looked for"):
        questions_needed(0.0, 0.5)


SAMPLES = {
    "whole numbers": [0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1],
    "quarters": [0.25 * (i % 5) for i in range(37)],
    "uneven": [math.sin(i) ** 2 for i in range(80)],
    "two": [0.0, 1.0],
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("with_numpy", [True, False])
def test_the_bootstrap_is_that_of_scipy(name: str, with_numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_numpy:
        monkeypatch.setattr(resampling, "_numpy_generator", lambda draws: None)
    values = SAMPLES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        options = {"n_resamples": 2000, "vectorized": True, "rng": np.random.default_rng(0)}
        found = bootstrap((values,), np.mean, method="BCa" if name != "two" else "percentile", **options)
    interval = found.confidence_interval
    assert ratio_interval(values, [1] * len(values), 2000, 0.95) == pytest.approx(
        (interval.low, interval.high), abs=1e-9
    )


def test_the_bootstrap_of_clusters_is_that_of_scipy() -> None:
    clusters = [(i * i % 4, 3 + i % 2) for i in range(40)]
    found = bootstrap(
        tuple(np.array(clusters, float).T),
        lambda s, t, axis: s.sum(axis) / t.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    ours = clustered(clusters)
    assert (ours.low, ours.high) == pytest.approx((found.low, found.high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 9, 13, 14, 40])
@pytest.mark.parametrize("with_numpy", [True, False])
def test_the_permutation_test_is_that_of_scipy(n: int, with_numpy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_numpy:
        monkeypatch.setattr(resampling, "_numpy_generator", lambda draws: None)
    values = [0.25 * (1 + i % 3) * (-1) ** (i % 5 == 0) for i in range(n)]
    ours = sign_flip_p(values, 9999)
    if n == 1:
        assert ours == 1.0
        return
    theirs = permutation_test(
        (np.array(values),),
        lambda d, axis: d.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    assert ours == pytest.approx(theirs.pvalue, abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 7, 100, 2**31 + 11])
def test_random_numbers_are_those_of_numpy(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = min(n, 60)
    expected = np.random.default_rng(0).integers(0, n, columns * 50).tolist()
    assert list(islice(resampling._draw_below(n), columns * 50)) == expected
    assert list(islice(draw_words(), 9)) == np.random.default_rng(0).integers(0, 2**32, 9, np.uint32).tolist()
    monkeypatch.setattr(resampling, "_BATCH", 7 * columns)  # the last batch is not full
    drawn = [list(draw_rows(columns, 50)), list(draw_signs(columns, 50))]
    monkeypatch.setattr(resampling, "_numpy_generator", lambda draws: None)
    assert [list(draw_rows(columns, 50)), list(draw_signs(columns, 50))] == drawn


@given(st.integers(0, 3000), st.integers(0, 3000), st.floats(0.01, 0.99))
def test_the_binomial_distribution_is_that_of_scipy(k: int, n: int, p: float) -> None:
    assert binomial_cdf(k, n, p) == pytest.approx(float(binom.cdf(k, n, p)), abs=1e-10)


@pytest.mark.parametrize(
    ("n", "difference", "discordance"), [(1, 0.3, 0.5), (12, 0.9, 0.1), (300, 0.07, 0.3), (5000, 0.02, 0.2), (40, 1, 1)]
)
def test_power_is_the_sum_over_all_numbers_of_pairs(n: int, difference: float, discordance: float) -> None:
    spread = max(difference, discordance)
    pairs = np.arange(n + 1)
    limit = binom.ppf(0.025, pairs, 0.5)
    limit = np.where(binom.cdf(limit, pairs, 0.5) > 0.025, limit - 1, limit)
    gain = (1 + difference / spread) / 2
    found = binom.cdf(limit, pairs, gain) + binom.sf(pairs - limit - 1, pairs, gain)
    expected = float(binom.pmf(pairs, n, spread) @ found)
    assert mcnemar_power(n, difference, discordance) == pytest.approx(expected, abs=1e-9)
