"""Estimates without true answers, computed by hand, and the alarms of the guard."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from society.components.decisions.base import vote_of
from society.components.decisions.counting import Majority
from society.components.labels.base import Evidence, LabelRule
from society.components.labels.votes import ConsensusLabel
from society.core.types import Ballot, Decision
from society.runs.records import DebateRecord
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.scenario.models.training import GuardSpec
from society.training.labels import Labels, find_evidence
from society.training.signals import find_alarm, measure_signals
from tests.training.test_selection import record


@pytest.fixture(scope="module")
def three() -> Society:
    """Return a society of the agents a, b and c, who vote after two turns."""
    return expand(
        Scenario(
            version=1,
            name="three",
            task={"kind": "arithmetic", "limit": 1},
            backends={"one": {"kind": "scripted", "rules": [{"say": "4"}]}},
            roles={"solver": {"prompt": "{{ question }}"}},
            agents={name: {"role": "solver"} for name in "abc"},
            phases=[{"name": "propose"}, {"name": "debate"}],
        )
    )


def labels() -> Labels:
    def evidence(debate: DebateRecord, _: LabelRule) -> Evidence:
        history = {name: debate.of(name) for name in "abc"}
        votes = [vote_of(name, turns[-1]) for name, turns in history.items()]
        return find_evidence(Majority(), Ballot(votes, history, (), str.__eq__, 0), debate)

    return Labels(ConsensusLabel(), str.__eq__, evidence)


def later(debate: DebateRecord) -> DebateRecord:
    """Return the same debate in iteration 1."""
    return replace(debate, result=replace(debate.result, iteration=1))


def signals(society: Society, debate: DebateRecord, base: DebateRecord) -> dict[str, float | None]:
    found = measure_signals(society, labels(), [debate], [base])
    return {name: values.get("q") for name, values in found.items()}


def test_signals_are_those_computed_by_hand(three: Society) -> None:
    base = record({"a": ("4", "4"), "b": ("4", "4"), "c": ("5", "5")}, Decision("4", 2 / 3))
    now = later(record({"a": ("5", "6"), "b": ("6", "6"), "c": (None, "4")}, Decision("6", 2 / 3)))
    assert signals(three, base, base) == {
        "agreement": pytest.approx(2 / 3),
        "corrected": 0,
        "margin": pytest.approx(1 / 3),
        "base": None,  # nothing is compared with itself
        "drift": None,
    }
    assert {name: value for name, value in signals(three, later(base), base).items() if value != 0} == {
        "agreement": pytest.approx(2 / 3),
        "margin": pytest.approx(1 / 3),
        "base": 1,
    }
    assert signals(three, now, base) == {
        "agreement": pytest.approx(1 / 3),
        "corrected": pytest.approx(1 / 3),
        "margin": pytest.approx(1 / 3),
        "base": 0,  # three sixes of six, against four fours
        "drift": pytest.approx(2 / 3),  # first answers 5, 6 and none, against 4, 4 and 5
    }


SPLIT = record({"a": ("4", "4"), "b": ("5", "5"), "c": ("6", "6")}, Decision(None, 1 / 3, "tie"))


def test_a_debate_without_a_label_has_no_agreement(three: Society) -> None:
    found = signals(three, later(SPLIT), SPLIT)
    assert (found["agreement"], found["corrected"], found["margin"], found["drift"]) == (None, None, 0, 0)


def test_a_tie_is_not_the_vote_of_iteration_0(three: Society) -> None:
    agreed = record(dict.fromkeys("abc", ("4", "4")), Decision("4", 1))
    silent = record(dict.fromkeys("abc", (None, None)), Decision(None, 0, "no votes"))
    kinds = [agreed, SPLIT, silent]
    found = [signals(three, later(now), base)["base"] for now in kinds for base in kinds]
    assert found == [1, 0, 0, 0, 0, 0, 0, 0, 0]  # every question counts


def test_an_unreadable_first_answer_is_no_other_answer(three: Society) -> None:
    """It is neither a correction for a critic."""
    debate = record({"a": ("4", "4"), "b": ("4", "4"), "c": (None, "4")}, Decision("4", 1))
    assert signals(three, debate, debate)["corrected"] == 0
    other = record({"a": ("4", "4"), "b": ("5", "4"), "c": (None, "4")}, Decision("4", 1))
    assert signals(three, other, other)["corrected"] == pytest.approx(1 / 3)


def values(shares: list[float], questions: int = 200, seed: int = 0) -> list[dict[str, float]]:
    """Return by iteration a signal that is, for each question, the share of three agents that agree by chance."""
    draw = random.Random(seed)
    return [{str(i): sum(draw.random() < share for _ in range(3)) / 3 for i in range(questions)} for share in shares]


def test_the_guard_finds_a_fall_and_the_best_iteration() -> None:
    alarm = find_alarm(GuardSpec(), values([0.5, 0.6, 0.8, 0.75, 0.6, 0.5, 0.4]))
    assert alarm is not None
    assert (alarm.best, alarm.iteration) == (2, 5)
    assert alarm.lost < -0.1
    assert find_alarm(GuardSpec(patience=4), values([0.5, 0.8, 0.6, 0.6])) is None


def test_a_signal_that_is_better_low_turns_when_it_rises() -> None:
    shares = [0.4, 0.2, 0.1, 0.2, 0.3, 0.3]
    alarm = find_alarm(GuardSpec(signal="corrected"), values(shares))
    assert alarm is not None
    assert alarm.best == 2
    assert find_alarm(GuardSpec(signal="corrected"), values(shares[:3])) is None


@pytest.mark.parametrize("shares", [[0.7] * 20, [0.4 + 0.02 * i for i in range(20)]])
def test_false_alarms_without_a_fall_are_rare(shares: list[float]) -> None:
    """Twenty iterations at the same level, or rising. The best of twenty is best partly by chance."""
    alarms = sum(find_alarm(GuardSpec(), values(shares, seed=seed)) is not None for seed in range(30))
    assert alarms <= 3


def test_a_fall_by_ten_points_is_not_missed() -> None:
    shares = [0.5, 0.6, 0.7, 0.7, 0.6, 0.6, 0.6]
    found = [find_alarm(GuardSpec(), values(shares, 300, seed)) for seed in range(20)]
    assert sum(alarm is not None for alarm in found) >= 17


def test_the_first_iteration_with_a_value_is_the_first_that_is_compared() -> None:
    """Iteration 0 has no vote of an earlier iteration 0, and votes that change by chance alone are no fall."""
    still = [{}, *values([0.6] * 5)]
    assert find_alarm(GuardSpec(signal="base"), still) is None
    alarm = find_alarm(GuardSpec(signal="base"), [{}, *values([0.8, 0.5, 0.5])])
    assert alarm is not None
    assert (alarm.best, alarm.iteration) == (1, 3)
    assert find_alarm(GuardSpec(), [{}, {}]) is None


def test_questions_that_only_one_iteration_has_are_not_compared() -> None:
    one = {str(i): 1.0 for i in range(50)}
    other = {str(i): 0.0 for i in range(49, 100)}
    assert find_alarm(GuardSpec(patience=1), [one, other]) is None
    assert find_alarm(GuardSpec(patience=1), [one, dict.fromkeys(one, 0.0)]) is not None  # no spread: all are worse
