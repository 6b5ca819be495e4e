"""Rules in which the last answer of one agent decides: a judge, an aggregator."""

from __future__ import annotations

from typing import Literal

from society.components.decisions.base import DecisionRule
from society.components.facts import DecisionFacts, Reasons
from society.core.component import AgentName
from society.core.types import Ballot, Decision


class _OneAgent(DecisionRule):
    """A rule in which one agent decides."""

    agent: AgentName
    """The agent whose last turn decides. If the turn has no readable answer, `unparsed` or `failed` applies; by default
    the society does not decide."""

    def electorate(self) -> tuple[str, ...]:
        return (self.agent,)

    def count(self, ballot: Ballot) -> Decision:
        final = next(vote for vote in ballot.votes if vote.answer is not None)
        return Decision(final.answer, 1.0)

    def idle(self, facts: DecisionFacts) -> Reasons:
        why = "has no effect: one agent decides"
        return self.given({"voters": f"{why}; remove it, or take `majority`", "ties": f"{why}; leave it out"})


class Judge(_OneAgent):
    """The answer of a judge."""

    kind: Literal["judge"] = "judge"


class Aggregator(_OneAgent):
    """The answer that an aggregator writes from the other agents' answers (mixture of agents)."""

    kind: Literal["aggregator"] = "aggregator"
