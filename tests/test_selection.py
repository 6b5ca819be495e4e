"""What an agent learns from, worked by hand."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.metrics.records import DebateRecord
from society.scenario.training import LearnerSpec
from society.selectors import Agrees, All, Case, Critic, Selector, Success
from society.store.rows import ResultRow
from society.training.selection import label_of, select_examples
from society.types import ChatMessage, Decision, Turn, TurnId


def turn(agent: str, phase: str, number: int, answer: str | None, **more: object) -> Turn:
    chat = (ChatMessage("user", f"{agent} {phase} {number}?"),)
    return Turn(TurnId(0, "q", phase, number, agent), "key", chat, f"I say {answer}.", answer, **more)  # type: ignore[arg-type]


def record(answers: dict[str, tuple[str | None, str | None]], decision: Decision, gold: str = "4") -> DebateRecord:
    """A debate of two rounds: what each agent said first and last."""
    turns = [turn(agent, "propose", 1, first) for agent, (first, _) in answers.items()]
    turns += [turn(agent, "debate", 1, last) for agent, (_, last) in answers.items()]
    given = {t.answer for t in turns if t.answer is not None}
    result = ResultRow(
        0, "q", 0, "training", "2+2?", gold, decision, decision.answer == gold, {a: a == gold for a in given}
    )
    return DebateRecord(result, tuple(turns))


GENERATOR = LearnerSpec(phases=("propose",), turn="first")
CRITIC = LearnerSpec(phases=("debate",), select=Critic())
MIXED = {"a": ("4", "4"), "b": ("5", "4"), "c": ("6", "6")}


def chosen(learner: LearnerSpec, agent: str, *records: DebateRecord, label: str = "consensus") -> list[tuple[str, str]]:
    found = select_examples(learner, (agent,), records, label, str.__eq__, 0)  # type: ignore[arg-type]
    return [(example.messages[-1].content, example.rule) for example in found.examples]


def test_generators_learn_first_answers_that_are_the_consensus() -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    assert chosen(GENERATOR, "a", debate) == [("I say 4.", "agrees")]
    assert chosen(GENERATOR, "b", debate) == []
    assert chosen(GENERATOR, "c", debate) == []


def test_critics_learn_final_answers_and_which_rule_took_them() -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    assert chosen(CRITIC, "a", debate) == [("I say 4.", "stayed right")]
    assert chosen(CRITIC, "b", debate) == [("I say 4.", "corrected")]
    assert chosen(CRITIC, "c", debate) == []


@pytest.mark.parametrize(
    "decision", [Decision(None, 1 / 3, "tie", ("4", "5", "6")), Decision("4", 1 / 3, "tie broken", ("4", "5"))]
)
def test_a_split_is_no_label_even_if_the_tie_was_broken(decision: Decision) -> None:
    debate = record({"a": ("4", "4"), "b": ("5", "5"), "c": ("6", "6")}, decision)
    assert label_of(debate, "consensus") is None
    found = select_examples(GENERATOR, ("a", "b", "c"), [debate], "consensus", str.__eq__, 0)
    assert found.examples == []
    assert found.left_out["no consensus"] == 3


def test_gold_labels_are_for_star() -> None:
    wrong_consensus = record({"a": ("4", "4"), "b": ("5", "5"), "c": ("5", "5")}, Decision("5", 2 / 3))
    assert chosen(GENERATOR, "a", wrong_consensus, label="gold") == [("I say 4.", "agrees")]
    assert chosen(GENERATOR, "b", wrong_consensus, label="gold") == []


def test_the_context_of_a_row_is_what_the_model_saw() -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    [example] = select_examples(CRITIC, ("b",), [debate], "consensus", str.__eq__, 0).examples
    assert example.messages[:-1] == debate.turns[4].messages
    assert example.source == debate.turns[4].id


def test_what_is_left_out_is_counted_by_reason() -> None:
    debate = record(MIXED, Decision("4", 2 / 3))
    spoiled = [
        turn("a", "propose", 1, "4", status="failed"),
        turn("b", "propose", 1, "4", finish_reason="length"),
        turn("c", "propose", 1, "6"),
    ]
    found = select_examples(
        GENERATOR, ("a", "b", "c"), [DebateRecord(debate.result, tuple(spoiled))], "consensus", str.__eq__, 0
    )
    assert found.left_out == {"failed": 1, "cut off at max_tokens": 1, "not selected": 1}


@given(
    corrected=st.integers(0, 60),
    stayed=st.integers(0, 60),
    w=st.sampled_from([0.0, 0.25, 0.5, 0.8, 1.0]),
    seed=st.integers(0, 9),
)
def test_the_critics_mix_has_the_shares_that_w_says(corrected: int, stayed: int, w: float, seed: int) -> None:
    cases = [Case(turn("a", "debate", i + 1, "4"), True, i >= corrected, True) for i in range(corrected + stayed)]
    rules = Counter(rule for _, rule in Critic(w=w).choose(cases, seed))
    if not corrected or not stayed:
        assert sum(rules.values()) == len(cases)  # nothing to mix: all of what there is
        return
    total = sum(rules.values())
    assert abs(rules["corrected"] - w * total) <= 1
    assert rules["corrected"] in (corrected, corrected - 1) or rules["stayed right"] in (stayed, stayed - 1)


@pytest.mark.parametrize(("selector", "count"), [(Agrees(), 1), (Success(), 2), (All(), 3)])
def test_other_rules(selector: Selector, count: int) -> None:
    cases = [
        Case(turn("a", "debate", 1, "4"), True, True, True),
        Case(turn("b", "debate", 1, "5"), False, False, True),
        Case(turn("c", "debate", 1, "5"), False, False, False),
    ]
    assert len(selector.choose(cases, 0)) == count
