"""The conclusion of a comparison: a winner only where the paired differences show one, and short labels of runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from society.core.types import Usage
from society.metrics.comparison import Comparison, Pair, RunScore
from society.metrics.compute import Compute
from society.metrics.proportion import proportion
from society.metrics.run_labels import label_runs
from society.metrics.statistics import compare_outcomes, describe_chance
from society.metrics.winner import find_winner


def make_comparison(**right: list[int]) -> Comparison:
    """Return the comparison of runs with these right answers, 1 or 0 for each question."""
    usage = Usage(prompt_tokens=10, generated_tokens=100)
    compute = Compute(0, 0, 0.0, 0, Usage(), usage)
    scores = {
        name: RunScore(
            name, name, 0, proportion(sum(found), len(found)), 10, 10, len(found), 0, 0, 0, 10, usage, 1.0, compute
        )
        for name, found in right.items()
    }
    names = list(right)
    outcomes = {name: {i: [float(value)] for i, value in enumerate(found)} for name, found in right.items()}
    pairs = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            difference = compare_outcomes(outcomes[first], outcomes[second])
            pairs.append(Pair(first, second, difference, min(1.0, 3 * difference.p), 100, "Enough."))
    return Comparison(tuple(scores.values()), tuple(pairs), (), {})


ALL, HALF, NONE = [1] * 40, [1, 0] * 20, [0] * 40


@pytest.mark.parametrize("order", [("low", "high"), ("high", "low")])
def test_a_winner_is_better_in_every_order_of_the_runs(order: tuple[str, str]) -> None:
    runs = {"high": ALL, "low": HALF}
    found = find_winner(make_comparison(**{name: runs[name] for name in order}))
    assert (found.name, found.answer) == ("high", "high is better than low")
    assert found.detail.startswith("high is right on 100.0%, low on 50.0%: +50.0 points (95% interval +")
    assert "chance alone gives such a difference in less than 0.1% of cases (exact McNemar)" in found.detail
    assert found.detail.endswith("It generated 1 times as many tokens a question.")


def test_equal_runs_have_no_winner() -> None:
    found = find_winner(make_comparison(a=HALF, b=HALF))
    assert (found.name, found.answer) == ("", "No difference can be shown")


def test_a_run_that_is_better_than_some_only_leads() -> None:
    close = [1] * 39 + [0]
    found = find_winner(make_comparison(first=ALL, second=close, third=HALF))
    assert (found.name, found.answer) == ("", "first leads, and no winner can be shown")
    assert found.detail.startswith("It is better than third, but not shown to be better than second.")
    assert "adjusted for 3 comparisons" in found.detail


def test_a_winner_of_several_is_better_than_each() -> None:
    found = find_winner(make_comparison(first=NONE, second=HALF, third=ALL))
    assert found.answer == "third is better than every other run"


def test_a_small_p_alone_is_not_enough() -> None:
    comparison = make_comparison(a=ALL, b=HALF)
    [pair] = comparison.pairs
    wide = replace(pair, difference=replace(pair.difference, high=0.01))
    assert find_winner(replace(comparison, pairs=(wide,))).name == ""


def test_a_difference_has_its_mirror_image() -> None:
    difference = compare_outcomes({1: [1.0], 2: [1.0], 3: [0.0]}, {1: [0.0], 2: [1.0], 4: [1.0]})
    assert difference.reversed().reversed() == difference
    assert (difference.reversed().value, difference.reversed().low) == (-difference.value, -difference.high)


@pytest.mark.parametrize(("p", "text"), [(0.0001, "less than 0.1%"), (0.012, "1.2%"), (0.5, "50%"), (1.0, "100%")])
def test_p_values_have_words(p: float, text: str) -> None:
    assert describe_chance(p) == f"chance alone gives such a difference in {text} of cases"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["debate"], ["debate"]),
        (["a", "b"], ["a", "b"]),
        (["debate-ring-seed-0", "debate-star-seed-0"], ["ring", "star"]),
        (["a-1", "a-2"], ["a-1", "a-2"]),
        (["long-a-1", "long-a-2"], ["a-1", "a-2"]),
        (["x/run", "y/run"], ["x", "y"]),
        (["debate", "debate-2"], ["debate", "debate-2"]),
        (["topology=ring-1a2b3c", "topology=star-aabbcc"], ["topology=ring", "topology=star"]),
        (["t=ring-1a2b3c", "t=ring-aabbcc"], ["t=ring-1a2b3c", "t=ring-aabbcc"]),
        (["a-b-c", "a-c"], ["b-c", "c"]),
    ],
)
def test_labels_leave_out_what_all_names_have_in_common(names: list[str], labels: list[str]) -> None:
    assert label_runs(names) == labels
