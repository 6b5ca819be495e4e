"""The contract tests of kinds of answers. To test a kind, derive a test class:

class TestMine(AnswerContract):
    @pytest.fixture
    def rule(self):
        return Mine()

A kind that needs fields of a row overrides `make_item`, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from society.answers.format import AnswerFormat
from society.core.types import Item, Judgement, Turn, TurnId
from society.sandbox import Limits, Outcome
from society.scoring.base import AnswerRule

ANSWERS = ("true answer", "another", "")


class PlainCourt:
    """A court whose agents say `text`, and whose programs print it."""

    def __init__(self, text: str, rule: AnswerRule) -> None:
        self.text, self.rule = text, rule

    async def ask(self, agent: str, about: str, judged: Mapping[str, Any]) -> Turn:
        """Return a turn with the verdict that the rule reads in the text."""
        return Turn(TurnId(0, "id", "phase", 1, f"{agent}/{about}"), "key", (), self.text, self.rule.read(self.text))

    async def run(self, files: Mapping[str, str], limits: Limits, stdin: str) -> Outcome:
        """Return a program that ended well."""
        return Outcome(self.text, 0)


class AnswerContract:
    """Tests with a fixture `rule`."""

    def make_item(self) -> Item:
        """Return a question of which "true answer" is the true answer."""
        return Item("id", "question", "true answer")

    def test_every_answer_gets_one_judgement(self, rule: AnswerRule) -> None:
        """A reply without a verdict makes no answer right, and the same court gives the same judgements."""
        item = self.make_item()
        rule.check(item)
        judged = [_judge(rule, item, "no verdict") for _ in range(2)]
        assert judged[0] == judged[1]
        assert list(judged[0]) == list(ANSWERS)
        assert all(isinstance(given, Judgement) for given in judged[0].values())
        assert not judged[0][""].right
        assert not (rule.deferred and any(given.right for given in judged[0].values()))

    def test_what_is_judged_at_once_is_judged_alike_later(self, rule: AnswerRule) -> None:
        """`correct` and `judge` agree, unless answers are judged after the debate alone."""
        item = self.make_item()
        if not rule.deferred:
            form = AnswerFormat()
            judged = _judge(rule, item, "")
            assert {answer: rule.correct(answer, item, form) for answer in ANSWERS} == {
                answer: given.right for answer, given in judged.items()
            }
            assert judged["true answer"].right

    def test_it_is_plain_data(self, rule: AnswerRule) -> None:
        """A run stores its scenario, so a component that is written must be read back equal."""
        assert type(rule).model_validate_json(rule.model_dump_json(exclude_unset=True)) == rule


def _judge(rule: AnswerRule, item: Item, text: str) -> dict[str, Judgement]:
    form = AnswerFormat()
    court = PlainCourt(text, rule)
    return asyncio.run(rule.judge(ANSWERS, item, lambda answer: rule.correct(answer, item, form), court))
