"""Labels by verdicts: true answers, and answers that a judge, unit tests or a tool accept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from society.components.facts import LabelFacts, Reasons
from society.components.labels.base import NO_GOLD, Evidence, Label, LabelRule, count_turns
from society.core.types import Turn


class Gold(LabelRule):
    """The true answer: rows are turns with a right answer."""

    needs_truth: ClassVar[bool] = True
    kind: Literal["gold"] = "gold"

    def find(self, evidence: Evidence, agent: str) -> Label:
        return Label(None) if evidence.right is not None else Label(None, NO_GOLD)

    def agrees(self, answer: str, label: Label, evidence: Evidence) -> bool:
        return evidence.right is not None and evidence.right(answer) is True


class JudgedLabel(Gold):
    """The verdict of the training task's judge or unit tests: rows are turns with an answer that they accept."""

    kind: Literal["judged"] = "judged"  # type: ignore[assignment]

    def idle(self, facts: LabelFacts) -> Reasons:
        if facts.judged:
            return {}
        return {
            "": "is the same as `gold`: the task has neither a judge nor unit tests; set `task.answer`, or use `gold`"
        }


class ToolLabel(LabelRule):
    """The most frequent answer among those that a tool computed: the result of a call in the same turn is the answer.

    A tie is no label. Votes are all turns of the voters with such an answer, so one that nothing checked has no vote.
    """

    kind: Literal["tool"] = "tool"
    tools: tuple[str, ...] = ()
    """Names of the tools whose results count. By default all."""

    def find(self, evidence: Evidence, agent: str) -> Label:
        spoken = [turn for turns in evidence.turns.values() for turn in turns]
        checked = [turn for turn in (*spoken, *evidence.drawn) if self._is_checked(turn, evidence)]
        return count_turns(checked, evidence.same) if checked else Label(None, NO_CHECK)

    def most_votes(self, turns: Mapping[str, int], agents: int) -> int | None:
        return sum(turns.values())

    def idle(self, facts: LabelFacts) -> Reasons:
        return (
            {} if facts.calls else {"": "finds no label: no voter's role has `tools`; set them, or use another label"}
        )

    def _is_checked(self, turn: Turn, evidence: Evidence) -> bool:
        """Return whether a call of the turn gave its answer."""
        results = [
            call.result for call in turn.calls if call.status == "ok" and call.tool in (self.tools or (call.tool,))
        ]
        answer = turn.answer
        return answer is not None and any(evidence.same(result.strip(), answer) for result in results)


NO_CHECK = "no answer that a tool gave"
"""Reason why a debate has no label."""
