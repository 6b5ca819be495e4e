"""Kinds of answers: comparison by words, verdicts of a judge, and the contract of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest

from society.answers.code_blocks import find_code
from society.answers.format import AnswerFormat
from society.core.errors import InputError
from society.core.types import Item, Judgement, Turn, TurnId
from society.scoring.base import AnswerRule, Compare
from society.scoring.by_words import F1, Aliases, Includes, split_words, word_f1
from society.scoring.code import UnitTests
from society.scoring.contract import AnswerContract, PlainCourt
from society.scoring.judge import DISAGREE, UNREADABLE, Judged

FORM = AnswerFormat()
IGNORED = frozenset(("a", "an", "the"))
RULES = [
    Compare(),
    Includes(),
    Aliases(field="more"),
    F1(threshold=0.8),
    Judged(agent="grader"),
    Judged(agent="grader", pairwise=True),
    UnitTests(tests="code"),
]


class TestEachKind(AnswerContract):
    @pytest.fixture(params=RULES, ids=lambda rule: f"{rule.kind}{'-pairwise' * getattr(rule, 'pairwise', False)}")
    def rule(self, request: pytest.FixtureRequest) -> AnswerRule:
        rule: AnswerRule = request.param
        return rule

    def make_item(self) -> Item:
        return Item("id", "question", "true answer", fields={"more": ["other answer"], "code": "assert True"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Eiffel Tower!", ["eiffel", "tower"]),
        ("U.S. Army", ["us", "army"]),
        ("1.5 kg, not 15", ["1.5", "kg", "not", "15"]),
        ("-3 and (3)", ["-3", "and", "3"]),
        ("1,000 or 10:30", ["1,000", "or", "10:30"]),
        ("\uff26ull width", ["full", "width"]),
        ("Straße", ["strasse"]),
        ("北京市", ["北", "京", "市"]),
        ("東京です。", ["東", "京", "で", "す"]),
        ("это ответ", ["это", "ответ"]),
        ("well-known", ["wellknown"]),
        ("", []),
    ],
)
def test_words_have_one_normal_form_in_every_script(text: str, words: list[str]) -> None:
    assert list(split_words(text, IGNORED)) == words


@pytest.mark.parametrize(("text", "words"), [("A", ["a"]), ("The The", ["the", "the"]), ("\N{MINUS SIGN}5", ["-5"])])
def test_true_answers_of_ignored_words_or_signs_can_be_given(text: str, words: list[str]) -> None:
    assert list(split_words(text, IGNORED)) == words
    assert Aliases().correct(text, Item("id", "?", " ".join(words), fields={"aliases": []}), FORM)


SPELLED = ["8", "eight", "The 8", "8.", "\N{MINUS SIGN}8", "-8", "the", "A", "", "it is 8"]


@pytest.mark.parametrize("rule", [Includes(), Aliases(), F1(threshold=0.6)], ids=lambda rule: rule.kind)
def test_answers_that_are_one_for_votes_have_one_verdict(rule: AnswerRule) -> None:
    item = Item("id", "?", "8", fields={"aliases": ["-8"]})
    for a, b in product(SPELLED, SPELLED):
        if rule.same(a, b, FORM):
            assert rule.correct(a, item, FORM) == rule.correct(b, item, FORM), (a, b)
    assert rule.same("8", "The 8", FORM)
    assert not rule.same("8", "eight", FORM)


def test_code_is_equal_as_text_alone() -> None:
    rule = UnitTests()
    assert rule.same("s += 1", "s += 1", FORM)
    assert not any(rule.same("return x", other, FORM) for other in ("return X", "    return x", "return  x"))


@pytest.mark.parametrize("rule", [Includes(equal="words"), UnitTests(equal="words")], ids=lambda rule: rule.kind)
def test_another_comparison_has_no_effect_on_kinds_with_their_own(rule: AnswerRule) -> None:
    assert list(rule.idle()) == ["equal"]
    assert rule.kind in rule.idle()["equal"]  # type: ignore[attr-defined]
    assert Compare(equal="words").idle() == Judged(agent="grader", equal="words").idle() == {}


def test_f1_is_that_of_squad() -> None:
    """The harmonic mean of 2 of 3 and 2 of 4 words is 4/7; words count as often as both have them."""
    assert word_f1(["a", "b", "c"], ["a", "b", "d", "e"]) == pytest.approx(4 / 7)
    assert word_f1(["a", "a"], ["a"]) == pytest.approx(2 / 3)
    assert word_f1([], []) == 1
    assert word_f1([], ["a"]) == 0


def test_f1_scores_and_passes_a_threshold() -> None:
    rule, item = F1(threshold=0.6), Item("id", "?", "in the Louvre", aliases=("Paris",))
    judged = asyncio.run(
        rule.judge(["in the Louvre museum", "Rome", "paris"], item, lambda _: False, PlainCourt("", rule))
    )
    assert [(given.right, given.score) for given in judged.values()] == [(True, 0.8), (False, 0), (True, 1)]


def test_other_languages_name_their_own_articles() -> None:
    item = Item("id", "?", "der Rhein")
    assert not Aliases(field="x").passes(F1().best("Rhein", item))
    assert F1(ignore=("der", "die", "das")).best("Rhein", item) == 1


@pytest.mark.parametrize(
    ("answer", "right"),
    [("It was Marie Curie, I think.", True), ("marie  curie", True), ("Curie Marie", False), ("Marie Curies", False)],
)
def test_includes_wants_consecutive_words(answer: str, right: bool) -> None:
    assert Includes().correct(answer, Item("id", "?", "Marie Curie"), FORM) is right


def test_aliases_come_from_a_nested_field() -> None:
    item = Item("id", "?", "", fields={"answer": {"aliases": ["JFK", "John F. Kennedy"]}})
    rule = Aliases(field="answer.aliases")
    assert rule.scores(item)
    assert rule.correct("john f kennedy", item, FORM)
    assert not rule.correct("Kennedy", item, FORM)
    with pytest.raises(InputError, match="no field 'alias'; it has answer"):
        Aliases(field="alias").check(item)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("It fits.\nVerdict: RIGHT", "right"),
        ("**Verdict:** wrong.", "wrong"),
        ("Verdict: RIGHT ... on second thought, verdict: WRONG", "wrong"),
        ("RIGHT", "right"),
        (" *Wrong*. ", "wrong"),
        ("Verdict: not right", None),
        ("Verdict: right or wrong? My verdict is open.", None),
        ("The answer is right.", None),
        ("verdict: righteous", None),
        ("Verdict: RIGHT. That is my final verdict.", "right"),
        ("Verdict: RIGHT\nMy verdict: open", None),
        ("Verdict: RIGHT or WRONG", None),
        ("Verdict: RIGHT/WRONG -> WRONG", None),
        ("right or wrong", None),
        ("Verdict: RIGHT. Wrong units do not matter.", "right"),
        (r"\boxed{RIGHT}", "right"),
        (r"Verdict: $\boxed{\text{WRONG}}$", "wrong"),
        ("", None),
    ],
)
def test_a_verdict_is_read_only_where_one_is_given(text: str, verdict: str | None) -> None:
    assert Judged(agent="grader").read(text) == verdict


class Orders(PlainCourt):
    """A judge with a reply for each order of a pair."""

    def __init__(self, replies: Mapping[str, str], rule: AnswerRule) -> None:
        super().__init__("", rule)
        self.replies, self.seen = replies, dict[str, Mapping[str, Any]]()

    async def ask(self, agent: str, about: str, judged: Mapping[str, Any]) -> Turn:
        self.seen[about] = judged
        text = self.replies[about.rpartition("-")[2]]
        return Turn(TurnId(0, "id", "phase", 1, f"{agent}/{about}"), "key", (), text, self.rule.read(text))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("Verdict: FIRST", "Verdict: SECOND", Judgement(True, 1.0)),
        ("Verdict: SECOND", "Verdict: FIRST", Judgement(False, 0.0)),
        ("Verdict: TIE", "Verdict: TIE", Judgement(False, 0.5)),
        ("Verdict: FIRST", "Verdict: FIRST", Judgement(False, 0.5, note=DISAGREE)),
        ("Verdict: FIRST", "Verdict: TIE", Judgement(False, 0.5, note=DISAGREE)),
        ("Verdict: FIRST", "Hm.", Judgement(False, None, undecided=True, note=UNREADABLE)),
    ],
)
def test_a_pair_is_judged_in_both_orders(first: str, second: str, expected: Judgement) -> None:
    rule = Judged(agent="grader", pairwise=True, against="rival")
    court = Orders({"first": first, "second": second}, rule)
    item = Item("id", "?", "", fields={"rival": "theirs"})
    rule.check(item)
    assert asyncio.run(rule.judge(["mine"], item, lambda _: True, court)) == {"mine": expected}
    assert (court.seen["answer-1-first"]["first"], court.seen["answer-1-second"]["first"]) == ("mine", "theirs")


def test_a_judge_is_compared_with_the_true_answer_where_there_is_one() -> None:
    rule = Judged(agent="grader")
    for gold, exact in (("4", True), ("", None)):
        item = Item("id", "?", gold)
        judged = asyncio.run(rule.judge(["4"], item, lambda _: True, PlainCourt("Verdict: WRONG", rule)))
        assert judged == {"4": Judgement(False, exact=exact)}


def test_pairs_need_another_answer() -> None:
    with pytest.raises(InputError, match="no true answer, so the judge has nothing to compare"):
        Judged(agent="grader", pairwise=True).check(Item("id", "?", ""))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Here:\n```python\ndef f():\n    return 1\n```\nUse it:\n```\nf()\n```", "def f():\n    return 1"),
        ("```py\ndef f(): 1\n```\nbetter:\n```py\ndef f(): 2\n```", "def f(): 2"),
        ("- so:\n  ```python\n  def f():\n      return 3\n  ```", "def f():\n    return 3"),
        ("~~~\nx = 1\n~~~", "x = 1"),
        ("````md\n```\ninner\n```\n````", "```\ninner\n```"),
        ("```python\ndef f():\n    return", "def f():\n    return"),
        ("def f(): return 1", None),
        ("```\n```", None),
    ],
)
def test_code_is_the_last_block_with_a_definition(text: str, code: str | None) -> None:
    assert find_code(text) == code
