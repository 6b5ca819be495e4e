"""What a decision rule is, and the policies that every rule shares: ties, and voters without an answer."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from society.answers import group
from society.components.facts import DecisionFacts, Reasons
from society.core.component import AgentNames, Component
from society.core.types import Ballot, Decision, Turn, Vote


@dataclass(frozen=True, slots=True)
class Tally:
    """One answer, its weight, and how many voters gave it."""

    answer: str
    weight: float
    voters: int


Missing = Literal["abstain", "earlier", "veto", "exclude"]
"""What becomes of a voter without an answer."""


class DecisionRule(Component, ABC):
    """The `decision:` of a scenario."""

    reads_confidence: ClassVar[bool] = False
    """Whether the rule uses the confidences of turns or votes."""

    ballots_count_as: ClassVar[str] = ""

    voters: AgentNames = ()
    """Agents or groups whose answers count; by default whoever spoke in the last phase."""
    ties: Literal["abstain", "first", "random"] = "abstain"
    """Between equally supported answers: no decision, the one first given in agent order, or a seeded draw."""
    unparsed: Missing = "abstain"
    """A voter without a readable answer: casts no vote (but counts in the support's denominator), counts with
    its last readable answer, makes the society abstain, or is no voter at all."""
    failed: Missing | None = None
    """The same of a voter whose last turn failed, the backend having given no reply; by default as `unparsed`."""
    quorum: int = Field(1, ge=1)
    """Smallest number of voters that must stand behind the answer. With fewer the society does not decide. By default
    one vote among abstentions decides, and the results count such decisions."""

    def read_answer(self, turn: Turn, candidates: Sequence[str], decided: str | None) -> str | None:
        """Return the answer that a voter's turn of the last phase stands for, in a debate with this decision."""
        return turn.answer

    def electorate(self) -> tuple[str, ...]:
        """The agents or groups whose answers count; empty: whoever spoke in the last phase."""
        return self.voters

    def decide(self, ballot: Ballot) -> Decision:
        """Return the society's answer. No vote is dropped: a missing one follows the policy `unparsed`."""
        votes = self.settle(ballot)
        missing = [vote for vote in votes if vote.answer is None]
        if any(self.policy(vote) == "veto" for vote in missing):
            return Decision(None, reason=f"{len(missing)} of {len(votes)} voters without an answer")
        if len(missing) == len(votes):
            return Decision(None, reason="no voter gave a readable answer")
        settled = replace(ballot, votes=votes)
        decision = self.count(settled)
        return self.require_quorum(decision, self.backers(decision, ballot), len(votes))

    def settle(self, ballot: Ballot) -> list[Vote]:
        """Return the votes that are counted, after the policies on missing answers."""
        return [self._settle(vote, ballot) for vote in self.present(ballot)]

    def backers(self, decision: Decision, ballot: Ballot) -> int:
        """Return how many voters of this ballot gave the answer that was decided; 0 without one."""
        if decision.answer is None:
            return 0
        given = (vote.answer for vote in self.settle(ballot))
        return sum(answer is not None and ballot.same(answer, decision.answer) for answer in given)

    def require_quorum(self, decision: Decision, backers: int, voters: int) -> Decision:
        """Return the decision, or none where fewer voters than the quorum stand behind it."""
        if decision.answer is None or self.quorum == 1 or backers >= self.quorum:
            return decision
        reason = f"{backers} of {voters} voters agree, fewer than the quorum of {self.quorum}"
        return Decision(None, decision.support, reason, decision.tied)

    def policy(self, vote: Vote) -> Missing:
        """What becomes of this vote if it has no answer."""
        return self.failed if vote.failed and self.failed is not None else self.unparsed

    def present(self, ballot: Ballot) -> list[Vote]:
        """The votes without those that are excluded for want of an answer."""
        return [vote for vote in ballot.votes if vote.answer is not None or self.policy(vote) != "exclude"]

    def _settle(self, vote: Vote, ballot: Ballot) -> Vote:
        if vote.answer is not None or self.policy(vote) != "earlier":
            return vote
        earlier = [turn.answer for turn in ballot.history.get(vote.agent, ()) if turn.answer is not None]
        return replace(vote, answer=earlier[-1]) if earlier else vote

    @abstractmethod
    def count(self, ballot: Ballot) -> Decision:
        """Decide among votes that already follow the policy on missing answers; at least one has an answer."""

    def idle(self, facts: DecisionFacts) -> Reasons:
        """Why the rule, or one of its fields, can change nothing for these voters."""
        return {}

    def given(self, reasons: Reasons) -> Reasons:
        """The reasons for those fields that the scenario gives."""
        return {field: why for field, why in reasons.items() if field in self.model_fields_set}

    def undecided(self, facts: DecisionFacts) -> Reasons:
        """Why the rule can never decide anything for these voters."""
        return {}

    def winner(self, tallies: Sequence[Tally], voters: int, seed: int) -> Decision:
        """The tally with the most weight, ties by policy. Tallies are in the order first given."""
        best = max(tally.weight for tally in tallies)
        leading = [tally for tally in tallies if abs(tally.weight - best) < 1e-9]
        tied = tuple(tally.answer for tally in leading) if len(leading) > 1 else ()
        if tied and self.ties == "abstain":
            return Decision(None, leading[0].voters / voters, "tie", tied)
        chosen = random.Random(seed).choice(leading) if self.ties == "random" else leading[0]
        return Decision(chosen.answer, chosen.voters / voters, "tie broken" if tied else "", tied)


def tally(ballot: Ballot, weights: Sequence[float] | None = None) -> list[Tally]:
    """Votes counted per distinct answer, in the order first given; `weights` is one number per vote (default 1)."""
    cast = [(vote.answer, 1.0 if weights is None else weights[i])
            for i, vote in enumerate(ballot.votes) if vote.answer is not None]  # fmt: skip
    answers = [answer for answer, _ in cast]
    return [
        Tally(answers[members[0]], sum(cast[i][1] for i in members), len(members))
        for members in group(answers, ballot.same)
    ]


def vote_of(agent: str, turn: Turn | None) -> Vote:
    """Return what an agent's last turn counts as."""
    if turn is None or turn.status == "failed":
        return Vote(agent, None, failed=True)
    return Vote(agent, turn.answer, turn.confidence)
