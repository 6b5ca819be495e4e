"""Metrics of opinions against published examples, other libraries, and examples that can be counted by hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from society.components.contracts import make_question, make_turn
from society.components.decisions.base import DecisionRule
from society.components.decisions.counting import Majority
from society.components.decisions.opinions import Distribution, Mean, Median, Undecided
from society.components.facts import DecisionFacts
from society.components.metrics.agreement import Agreement, coincide, krippendorff
from society.components.metrics.base import Level, Metric, Number, Question
from society.components.metrics.drift import Drift
from society.components.metrics.opinions import Opinions
from society.components.metrics.persuasion import Persuasion
from society.components.metrics.polarization import Polarization
from society.core.types import Ballot, Decision, Vote

N = None
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
"""The example of Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability": four observers, twelve units."""
DRAWN = [
    [1, 0, N, 1, 7, 0, 0, 7, 7],
    [N, 10, 0, 3, N, 7, 1, 7, N],
    [10, N, 10, N, N, 7, N, 10, 1],
    [3, 1, 10, 0, 7, 1, 1, 0, N],
    [1, N, 0, 0, 7, 1, 1, 7, 0],
]
"""Numbers drawn at random, with gaps."""


@pytest.mark.parametrize(
    ("data", "level", "value"),
    [
        (PUBLISHED, "nominal", 0.743421),  # published: .743, .815, .849
        (PUBLISHED, "ordinal", 0.815388),
        (PUBLISHED, "interval", 0.849107),
        (DRAWN, "nominal", 0.096003),  # computed by the package krippendorff 0.9.0
        (DRAWN, "ordinal", -0.03409),
        (DRAWN, "interval", 0.057524),
    ],
)
def test_krippendorffs_alpha_is_that_of_others(data: list[list[int | None]], level: Level, value: float) -> None:
    found: Counter[tuple[str | float, str | float]] = Counter()
    for unit in zip(*data, strict=True):
        found.update(coincide([float(one) for one in unit if one is not None]))
    assert krippendorff(found, level) == pytest.approx(value, abs=1e-6)


def measure(metric: Metric, *questions: Question) -> dict[tuple[str, str, str], Number]:
    """Return the numbers of a metric by name, stage and group."""
    totals: Counter[tuple[str | float, ...]] = Counter()
    for question in questions:
        totals.update(metric.count(question))  # type: ignore[arg-type]
    return {(n.name, n.stage, n.group): n for n in metric.numbers(totals, questions[0].stages)}


def value(found: dict[tuple[str, str, str], Number], name: str, stage: str = "", group: str = "") -> float | None:
    return found[name, stage, group].value


def ask(*rounds: Sequence[str | None], numeric: bool = False, item: str = "item") -> Question:
    return make_question(rounds, item, numeric)


def test_kappa_and_alpha_of_a_metric_are_those_of_others() -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    draw = random.Random(3)
    ratings = [[draw.choice("aabc") for _ in range(5)] for _ in range(12)]
    found = measure(Agreement(), *(ask(unit, item=f"q{i}") for i, unit in enumerate(ratings)))
    table = [[unit.count(category) for category in "abc"] for unit in ratings]
    assert value(found, "Fleiss' kappa", "debate 1") == pytest.approx(inter_rater.fleiss_kappa(table))
    equal = [sum(n * (n - 1) for n in row) / 20 for row in table]
    assert value(found, "equal pairs", "debate 1") == pytest.approx(sum(equal) / 12)
    units = [[None if one is None else str(one) for one in unit] for unit in zip(*PUBLISHED, strict=True)]
    for level, alpha in (("nominal", 0.743421), ("ordinal", 0.815388), ("interval", 0.849107)):
        metric = Agreement(level=level)  # type: ignore[arg-type]
        found = measure(metric, *(ask(unit, numeric=True, item=f"q{i}") for i, unit in enumerate(units)))
        assert value(found, f"Krippendorff's alpha ({level})", "debate 1") == pytest.approx(alpha, abs=1e-6)


def test_agreement_beyond_chance_is_undefined_for_one_question_and_for_equal_answers() -> None:
    one = measure(Agreement(), ask(["x", "x", "y"]))
    assert value(one, "equal pairs", "debate 1") == pytest.approx(1 / 3)
    assert value(one, "Fleiss' kappa", "debate 1") is None
    assert value(one, "Krippendorff's alpha (nominal)", "debate 1") is None
    alike = measure(Agreement(), ask(["x", "x"]), ask(["x", "x"], item="other"))
    assert value(alike, "Krippendorff's alpha (nominal)", "debate 1") is None
    assert value(alike, "equal pairs", "debate 1") == 1


def test_agreement_beyond_chance_needs_two_questions_with_answers() -> None:
    """The second question has no readable answers, so that all answers of one question are mixed."""
    found = measure(Agreement(), ask(["3", "9", "4"], numeric=True), ask([None, None, "1"], numeric=True, item="q2"))
    for name in ("Fleiss' kappa", "Krippendorff's alpha (interval)"):
        assert value(found, name, "debate 1") is None
    two = [ask(["3", "9"], numeric=True), ask(["3", "3"], numeric=True, item="q2")]
    assert value(measure(Agreement(), *two), "Krippendorff's alpha (interval)", "debate 1") == 0
    assert value(measure(Agreement(), two[0], two[0]), "Krippendorff's alpha (interval)", "debate 1") is None


def test_agreement_is_put_into_words_without_ranges() -> None:
    rounds = [["a", "b", "a"], ["a", "a", "a"]]
    found = measure(
        Agreement(), ask(*rounds), ask(["b", "b", None], ["b", "b", None], item="q2"), ask(*rounds, item="q3")
    )
    told = Agreement().describe(list(found.values()))[1]
    assert "Krippendorff's alpha (nominal) is 1.00 after debate 2, 0.12 after debate 1" in told
    assert "kappa is -0.50 after debate 1 (2 debates in which every voter has a readable answer)" in told


def test_numbers_outside_the_scale_are_counted() -> None:
    question = ask(["3", "9", "-4", None], ["3", "9", "5", "5"], numeric=True)
    found = measure(Polarization(scale=(1, 5)), question)
    assert value(found, "outside the scale", "debate 1") == pytest.approx(2 / 3)
    assert found["outside the scale", "debate 2", ""].n == 4
    told = Polarization(scale=(1, 5)).describe(list(found.values()))[1]
    assert "of 4 numbers are outside the scale at the end, and count as its nearest end." in told
    for other in (Polarization(scale=(-4, 9)), Polarization()):
        assert not any(name == "outside the scale" for name, *_ in measure(other, question))


def test_opinions_count_every_voter_unreadable_ones_too() -> None:
    found = measure(Opinions(), ask(["2", "4", "4", None], ["4", "4", "4", "4"], numeric=True))
    shares = [value(found, name, "debate 1", "item") for name in ("2", "4", "unreadable")]
    assert shares == [0.25, 0.5, 0.25]
    assert value(found, "mean", "debate 1", "item") == pytest.approx(10 / 3)
    assert value(found, "standard deviation", "debate 1", "item") == pytest.approx((8 / 9) ** 0.5)
    assert value(found, "4", "debate 2", "item") == 1


def test_an_answer_named_mean_is_no_mean() -> None:
    found = measure(Opinions(), ask(["mean", "median", "median"], ["mean", "mean", "median"]))
    assert Opinions().describe(list(found.values()))[1] == "at the end mean (67%), median (33%)."


def test_drift_is_counted_by_hand() -> None:
    """Four voters: 1 stays, 1 moves up by 3, 1 becomes unreadable; 1 was unreadable and is readable later."""
    found = measure(Drift(), ask(["1", "2", "3", None], ["1", "5", None, "4"], ["1", "1", "3", "4"], numeric=True))
    assert (value(found, "changed", "debate 2"), found["changed", "debate 2", ""].n) == (0.5, 2)
    assert (value(found, "mean shift", "debate 2"), value(found, "mean move", "debate 2")) == (1.5, 1.5)
    assert value(found, "became unreadable", "debate 2") == value(found, "became readable", "debate 2") == 1
    assert (value(found, "changed"), found["changed", "", ""].n) == (pytest.approx(1 / 3), 3)
    assert value(found, "mean shift") == pytest.approx(-1 / 3)
    assert value(found, "mean move") == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("answers", "numeric", "scale", "expected"),
    [
        (["0", "10", "0", "10"], True, (0, 10), 1.0),
        (["5", "5", "5"], True, (0, 10), 0.0),
        (["4", "6"], True, (0, 10), 0.04),  # variance 1, largest 25
        (["4", "6"], True, None, 1.0),  # the scale is that of the answers
        (["-5", "99"], True, (0, 10), 1.0),  # outside the scale: its nearest end
        (["x", "x", "y", "y"], False, None, 1.0),
        (["x", "y", "z", "w"], False, None, 0.75),  # 4 * 4 * 1/16 * 3/4
        (["x", "x", "x"], False, None, 0.0),
    ],
)
def test_polarization_is_counted_by_hand(
    answers: list[str], numeric: bool, scale: tuple[float, float] | None, expected: float
) -> None:
    found = measure(Polarization(scale=scale), ask(answers, numeric=numeric))
    assert value(found, "polarization", "debate 1") == pytest.approx(expected)


def test_persuasion_is_counted_by_hand() -> None:
    """Each reads all others. Round 2: agent-2 takes x, which 1 and 3 had. Round 3: agent-2 returns to y, agent-3 takes
    w, which nobody had; agent-1 keeps x."""
    found = measure(Persuasion(), ask(["x", "y", "x"], ["x", "x", "x"], ["x", "y", "w"]))
    assert [value(found, name) for name in ("persuaded", "returned", "own")] == [pytest.approx(1 / 3)] * 3
    assert found["persuaded", "", ""].n == 3
    assert value(found, "changes won", group="agent-1") == value(found, "changes won", group="agent-3") == 0.5
    assert value(found, "changes won", group="agent-2") == 0
    assert value(found, "changes won", group="agent-1 → agent-2") == 0.5
    assert found["changes won", "", "agent-2"].n == 2  # agents 1 and 3 read its y in round 2
    assert found["changes won", "", "agent-1 → agent-2"].n == 1  # agent 2 read its other answer in round 2
    told = Persuasion().describe(list(found.values()))[1]
    assert told.count("33") == 3  # the three shares are all of the changes
    assert "back to an earlier one of its own" in told


def test_a_change_after_an_unreadable_turn_is_counted() -> None:
    """Agent-1 goes from x to y, with an unreadable turn between; agent-2 keeps y, which agent-1 read twice."""
    found = measure(Persuasion(), ask(["x", "y"], [None, "y"], ["y", "y"]))
    assert (value(found, "persuaded"), found["persuaded", "", ""].n) == (1, 1)
    assert found["changes won", "", "agent-2 → agent-1"].n == 2


def test_persuasion_of_numbers_has_the_direction() -> None:
    found = measure(Persuasion(), ask(["0", "10", "10"], ["4", "10", "11"], numeric=True))
    assert value(found, "towards") == 0.5  # 0 to 4 goes towards 10; 10 to 11 goes away from 5
    assert value(found, "own") == 1


def vote(rule: DecisionRule, *answers: str | None) -> Decision:
    turns = {f"a{i}": make_turn(f"a{i}", answer) for i, answer in enumerate(answers)}
    votes = [Vote(name, turn.answer) for name, turn in turns.items()]
    return rule.decide(Ballot(votes, {n: [turn] for n, turn in turns.items()}, (), str.__eq__, seed=0))


def test_the_support_of_a_number_is_the_share_that_gave_it_and_its_origin_is_named() -> None:
    median, mean = vote(Median(), "4", "4.0", "1", "5", "5"), vote(Mean(), "1", "2", "many")
    assert (median.answer, median.support) == ("4", 0.2)
    assert Median().describe_support(median, 5) == "median of 5 voters"
    assert (mean.answer, mean.support) == ("1.5", 0)
    assert Mean().describe_support(mean, 3) == "mean of 3 voters, 1 of 3 voters gave no number"
    most = vote(Majority(), "a", "a", "b")
    assert Majority().describe_support(most, 3) == "67% of 3 voters"


def test_decisions_about_numbers() -> None:
    assert vote(Mean(), "1", "2", "6").answer == "3"
    assert vote(Median(), "1", "2", "60", "4").answer == "3"
    found = vote(Mean(), "1", "2 km", "many", None)
    assert (found.answer, found.support, found.reason) == ("1.5", 0, "2 of 4 voters gave no number")
    assert vote(Mean(), "some", None).answer is None
    assert vote(Mean(quorum=3), "1", "2", "many").answer is None
    assert vote(Median(unparsed="exclude"), "3", "3", "many").support == 1
    assert vote(Mean(unparsed="veto"), "1", "3", "many").answer is None


def test_a_decided_number_keeps_its_digits() -> None:
    assert vote(Median(), "1234567", "1234567", "8") == Decision("1234567", 2 / 3)
    assert vote(Median(), "0.123456789", "0.123456789", "1").answer == "0.123456789"
    assert vote(Mean(), "1234567890123", "1234567890125").answer == "1234567890124"
    third = vote(Mean(), "1", "2", "2").answer
    assert third is not None
    assert float(third) == pytest.approx(5 / 3, rel=1e-9)
    assert vote(Mean(), "0.1", "0.2").answer == "0.15"


def test_a_mean_of_words_is_a_warning() -> None:
    facts = DecisionFacts({"a": 1}, frozenset(), frozenset(), candidates=False, numeric=False)
    assert "set `equal: numeric`" in Mean().idle(facts)[""]
    assert Mean().idle(replace(facts, numeric=True)) == {}
    assert "ties" in Median(ties="first").idle(replace(facts, numeric=True))


def test_pairs_of_a_single_voter_are_a_warning() -> None:
    for metric in (Agreement(), Polarization()):
        assert "a single agent has a vote" in metric.idle(numeric=True, voters=1)[""]
        assert metric.idle(numeric=True, voters=2) == {}
    assert "scale" in Polarization(scale=(1, 5)).idle(numeric=False, voters=2)


def test_a_distribution_has_no_single_answer() -> None:
    found = vote(Distribution(), "x", "y", "x", None)
    assert (found.answer, found.single, found.support) == (None, False, 0.5)
    assert found.reason == "x (50%), y (25%), no readable answer (25%)"
    assert vote(Undecided(), "x") == Decision(None, reason="no decision is asked for", single=False)
