"""pass@k, maj@k and best-of-k, against the mean over all draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.components.contracts import make_question
from society.components.metrics.base import Debate, Metric, MetricFacts, Question
from society.components.metrics.samples import (
    BestOfK,
    MajorityAtK,
    PassAtK,
    best_of_k,
    list_sizes,
    majority_at_k,
    pass_at_k,
)
from society.core.types import Decision

Samples = list[tuple[int | None, bool, float]]
CLASSES = {0: True, 1: False, 2: True, 3: False}
samples = st.lists(
    st.tuples(st.sampled_from([None, *CLASSES]), st.sampled_from([0.0, 0.5, 1.0])).map(
        lambda pair: (pair[0], pair[0] is not None and CLASSES[pair[0]], pair[1])
    ),
    min_size=1,
    max_size=7,
)


def mean_over_draws(
    found: Samples, k: int, judge: Callable[[Sequence[tuple[int | None, bool, float]]], float]
) -> float:
    return fmean(judge(draw) for draw in combinations(found, k))


def majority(draw: Sequence[tuple[int | None, bool, float]]) -> float:
    votes = Counter(number for number, _, _ in draw if number is not None).most_common()
    tied = len(votes) > 1 and votes[0][1] == votes[1][1]
    return float(bool(votes) and not tied and CLASSES[votes[0][0]])


def best(draw: Sequence[tuple[int | None, bool, float]]) -> float:
    top = max(value for _, _, value in draw)
    return fmean(good for _, good, value in draw if value == top)


@given(samples, st.integers(1, 7))
def test_each_estimate_is_the_mean_over_all_draws(found: Samples, k: int) -> None:
    k = min(k, len(found))
    classes, right, values = ([sample[i] for sample in found] for i in range(3))
    assert pass_at_k(right, k) == pytest.approx(
        mean_over_draws(found, k, lambda draw: any(good for _, good, _ in draw))
    )  # type: ignore[arg-type]
    assert majority_at_k(classes, right, k) == pytest.approx(mean_over_draws(found, k, majority))  # type: ignore[arg-type]
    assert best_of_k(values, right, k) == pytest.approx(mean_over_draws(found, k, best))  # type: ignore[arg-type]


def test_pass_at_k_of_the_paper() -> None:
    """The formula of Chen et al.: 1 - prod(1 - k / i) for i from n - c + 1 to n."""
    for n, c, k in product((5, 20), (0, 1, 3), (1, 2, 5)):
        expected = 1.0
        for i in range(n - c + 1, n + 1):
            expected *= 1 - k / i
        assert pass_at_k([i < c for i in range(n)], k) == pytest.approx(1 - expected)


def test_a_class_of_right_and_wrong_samples_is_right_by_their_share() -> None:
    """One sample is its own majority, so maj@1 is pass@1."""
    right = [True, False, False, False]
    assert majority_at_k([0, 0, 0, 1], right, 1) == pass_at_k(right, 1) == 0.25
    assert majority_at_k([0, 0, 0, 1], right, 3) == pytest.approx(1 / 3)
    assert majority_at_k([0] * 2000, [True, False] * 1000, 1000) == 0.5


def ask(*decisions: tuple[str | None, float], exact: bool = True) -> Question:
    """Return a question whose debates ended with these decisions and shares of support; "x" is right."""
    made = make_question([["x", "y"]])
    known = {answer: answer == "x" for answer, _ in decisions if answer is not None}
    verdicts = {**known, "y": True}  # a judge takes y for right, too
    debates = [
        Debate([], [], {}, Decision(answer, support), verdicts, scored=True, voters=2, exact=known if exact else {})
        for answer, support in decisions
    ]
    return replace(made, debates=debates)


def shares(metric: Metric, question: Question) -> dict[str, float | None]:
    return {number.name: number.value for number in metric.numbers(metric.count(question), [])}


def test_the_numbers_of_a_run() -> None:
    """One of four debates has no decision: it is wrong, has no vote, and is never the best."""
    question = ask(("x", 1.0), ("z", 0.5), ("x", 0.5), (None, 0.0))
    assert shares(PassAtK(), question) == {"pass@1": 0.5, "pass@2": pytest.approx(5 / 6), "pass@4": 1}
    assert shares(MajorityAtK(k=(1, 3)), question) == {"maj@1": 0.5, "maj@3": 0.5}
    assert shares(BestOfK(k=(1, 4)), question) == {"best@1": 0.5, "best@4": 1}
    assert "pass@2 is 83%" in PassAtK().describe(list(PassAtK().numbers(PassAtK().count(question), [])))[1]


def test_a_judge_chooses_and_the_true_answers_measure() -> None:
    question = ask(("x", 0.1), ("y", 1.0), ("z", 1.0))
    assert shares(BestOfK(by="verdict", k=(1, 3)), question) == {"best@1": pytest.approx(1 / 3), "best@3": 0.5}
    assert shares(BestOfK(by="verdict"), ask(("x", 1.0), (None, 0.0), exact=False)) == {}
    silent = ask((None, 0.0), (None, 0.0))
    assert shares(BestOfK(by="verdict"), silent) == {"best@1": 0, "best@2": 0}
    unknown = replace(silent, debates=[replace(debate, known=False) for debate in silent.debates])
    assert shares(BestOfK(by="verdict"), unknown) == {}


def test_they_are_reported_where_a_question_has_several_samples() -> None:
    several, one = MetricFacts(scored=True, samples=4, voters=3), MetricFacts(scored=True, samples=1, voters=3)
    unknown, alone = MetricFacts(scored=False, samples=4, voters=3), MetricFacts(scored=True, samples=4, voters=1)
    assert [cls.suits(several) for cls in (PassAtK, MajorityAtK, BestOfK)] == [True, True, True]
    assert not any(cls.suits(facts) for cls in (PassAtK, MajorityAtK, BestOfK) for facts in (one, unknown))
    assert [cls.suits(alone) for cls in (PassAtK, MajorityAtK, BestOfK)] == [True, True, False]
    assert [list_sizes(n) for n in (0, 1, 4, 6)] == [[], [1], [1, 2, 4], [1, 2, 4, 6]]
