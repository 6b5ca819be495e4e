"""Leave rules decide after a round whether an agent leaves the debate, by its own turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field

from society.components.facts import LeaveFacts, Reasons
from society.components.stops import matches
from society.core.component import Component
from society.core.templating.patterns import Pattern
from society.core.types import RoundState, Turn

LEAVE_RULES = {
    "stable": "society.components.leaving:StableAnswer",
    "confident": "society.components.leaving:ConfidentAnswer",
    "says": "society.components.leaving:SaysPattern",
}
"""The built-in leave rules by kind."""


class LeaveRule(Component, ABC):
    """An entry of a phase's `leave:`."""

    @abstractmethod
    def leaves(self, turns: Sequence[Turn], state: RoundState) -> bool:
        """Return whether an agent with these turns as a speaker, the oldest first, leaves after this round."""

    def idle(self, facts: LeaveFacts) -> Reasons:
        """Return why no agent can leave by this rule before the phase ends."""
        return {}


class StableAnswer(LeaveRule):
    """The agent has given the same readable answer in `turns` consecutive turns."""

    kind: Literal["stable"] = "stable"
    turns: int = Field(2, ge=2)
    """Number of consecutive turns with the same answer."""

    def leaves(self, turns: Sequence[Turn], state: RoundState) -> bool:
        answers = [turn.answer for turn in turns[-self.turns :]]
        return len(answers) == self.turns and all(
            before is not None and after is not None and state.same(before, after)
            for before, after in pairwise(answers)
        )

    def idle(self, facts: LeaveFacts) -> Reasons:
        if facts.turns < self.turns:
            return {"turns": f"nobody leaves: an agent has at most {facts.turns} turns by then; lower it"}
        return {}


class ConfidentAnswer(LeaveRule):
    """The confidence of the agent's last turn is at least `least`."""

    reads_confidence: ClassVar[bool] = True
    kind: Literal["confident"] = "confident"
    least: float = Field(0.9, ge=0, le=1)
    """Minimum confidence, in [0, 1]. A turn without a confidence does not count."""

    def leaves(self, turns: Sequence[Turn], state: RoundState) -> bool:
        confidence = turns[-1].confidence
        return confidence is not None and confidence >= self.least

    def idle(self, facts: LeaveFacts) -> Reasons:
        if facts.confident:
            return {}
        return {"": "nobody leaves: no speaker has a confidence; set `confidence: stated` in the speakers' role"}


class SaysPattern(LeaveRule):
    """The text of the agent's last turn contains a pattern."""

    kind: Literal["says"] = "says"
    pattern: Pattern
    """A regular expression, case ignored. If the search in a text takes too long, the agent stays, and the run reports
    this."""

    def leaves(self, turns: Sequence[Turn], state: RoundState) -> bool:
        return matches(turns[-1], self.pattern, state, "pattern")
