"""The base of decision rules, with the policies that all rules share: ties, and voters without an answer."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from society.answers import choose_spelling, group
from society.components.facts import DecisionFacts, Reasons
from society.core.component import AgentNames, Component
from society.core.plain import count
from society.core.results import require_decision
from society.core.types import Ballot, Decision, Turn, Vote


@dataclass(frozen=True, slots=True)
class Tally:
    """One answer, its weight, and the number of voters that gave it."""

    answer: str
    weight: float
    voters: int


Missing = Literal["abstain", "earlier", "veto", "exclude"]
"""Policy for a voter without an answer."""


class DecisionRule(Component, ABC):
    """The `decision:` of a scenario."""

    ballots_count_as: ClassVar[str] = ""
    decides: ClassVar[bool] = True
    """Whether the rule can give a single answer."""
    counts_answers: ClassVar[bool] = False
    """Whether the rule counts the voters that give equal answers."""

    voters: AgentNames = ()
    """Agents or groups whose answers count; by default the speakers of the last phase."""
    ties: Literal["abstain", "first", "random"] = "abstain"
    """Choice among equally supported answers: no decision, the answer of the first agent, or a seeded draw."""
    unparsed: Missing = "abstain"
    """Policy for a voter without a readable answer. `abstain`: no vote, but the voter counts in the denominator of the
    support. `earlier`: the last readable answer counts. `veto`: the society abstains. `exclude`: not a voter."""
    failed: Missing | None = None
    """Policy for a voter whose last turn failed, so that there is no reply; by default as `unparsed`."""
    quorum: int = Field(1, ge=1)
    """Minimum number of voters that must support the answer. With fewer, the society does not decide. By default, one
    vote among abstentions decides, and the results count such decisions."""

    @property
    def reads_weights(self) -> bool:
        """Return whether the rule uses the weights of the edges along which voters are read."""
        return False

    @property
    def counts_turns(self) -> bool:
        """True if every turn of a voter is a vote, and not only its last one."""
        return False

    def read_answer(self, turn: Turn, candidates: Sequence[str], decided: str | None) -> str | None:
        """Return the answer of a voter's turn in the last phase. `decided` is the decision of the debate."""
        return turn.answer

    def electorate(self) -> tuple[str, ...]:
        """Return the agents or groups whose answers count; empty for the speakers of the last phase."""
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
        decision = require_decision(self.count(settled))
        return self.require_quorum(decision, self.supporters(decision, ballot), len({vote.agent for vote in votes}))

    def settle(self, ballot: Ballot) -> list[Vote]:
        """Return the votes that are counted, after the policies for missing answers."""
        return [self._settle(vote, ballot) for vote in self.present(ballot)]

    def replies(self, ballot: Ballot) -> int:
        """Return the number of voters of this ballot that replied, or that have an answer which counts."""
        answered = {vote.agent for vote in self.settle(ballot) if vote.answer is not None}
        return len(answered | {vote.agent for vote in ballot.votes if not vote.failed})

    def backers(self, decision: Decision, ballot: Ballot) -> int:
        """Return the number of voters of this ballot that gave the decided answer; 0 without a decision."""
        if decision.answer is None:
            return 0
        given = (vote.answer for vote in self.settle(ballot))
        return sum(answer is not None and ballot.same(answer, decision.answer) for answer in given)

    def supporters(self, decision: Decision, ballot: Ballot) -> int:
        """Return the number of different voters behind the decided answer. Where every turn is a vote, `backers` counts
        turns, of which a voter has several."""
        answer = decision.answer
        if answer is None or not self.counts_turns:
            return self.backers(decision, ballot)
        votes = [vote for vote in self.settle(ballot) if vote.answer is not None]
        return len({vote.agent for vote in votes if ballot.same(vote.answer or "", answer)})

    def describe_support(self, decision: Decision, voters: int) -> str:
        """Return in words how the votes of `voters` agents led to the decided answer, such as "80% of 5 voters"."""
        return ", ".join(part for part in (self.origin(decision, count(voters, "voter")), decision.reason) if part)

    def origin(self, decision: Decision, voters: str) -> str:
        """Return in words what the decided answer is of the voters; `voters` is their number with the noun."""
        return f"{decision.support:.0%} of {voters}"

    def require_quorum(self, decision: Decision, backers: int, voters: int) -> Decision:
        """Return the decision, or no decision if fewer voters than the quorum support it."""
        if decision.answer is None or self.quorum == 1 or backers >= self.quorum:
            return decision
        reason = f"{backers} of {voters} voters agree, fewer than the quorum of {self.quorum}"
        return Decision(None, decision.support, reason, decision.tied)

    def policy(self, vote: Vote) -> Missing:
        """Return the policy for this vote if it has no answer."""
        return self.failed if vote.failed and self.failed is not None else self.unparsed

    def present(self, ballot: Ballot) -> list[Vote]:
        """Return the votes, except those that are excluded because they have no answer."""
        return [vote for vote in ballot.votes if vote.answer is not None or self.policy(vote) != "exclude"]

    def _settle(self, vote: Vote, ballot: Ballot) -> Vote:
        if vote.answer is not None or self.policy(vote) != "earlier":
            return vote
        earlier = [turn.answer for turn in ballot.history.get(vote.agent, ()) if turn.answer is not None]
        return replace(vote, answer=earlier[-1]) if earlier else vote

    @abstractmethod
    def count(self, ballot: Ballot) -> Decision:
        """Return the decision among votes after the policies for missing answers; at least one has an answer."""

    def idle(self, facts: DecisionFacts) -> Reasons:
        """Return why the rule, or one of its fields, changes nothing for these voters."""
        return {}

    def given(self, reasons: Reasons) -> Reasons:
        """Return the reasons for the fields that the scenario gives."""
        return {field: why for field, why in reasons.items() if field in self.model_fields_set}

    def undecided(self, facts: DecisionFacts) -> Reasons:
        """Return why the rule can never decide for these voters."""
        return {}

    def winner(self, tallies: Sequence[Tally], voters: int, seed: int) -> Decision:
        """Return the decision for the tally with the most weight. Ties follow the policy `ties`."""
        best = max(tally.weight for tally in tallies)
        leading = [tally for tally in tallies if abs(tally.weight - best) < 1e-9]
        tied = tuple(tally.answer for tally in leading) if len(leading) > 1 else ()
        if tied and self.ties == "abstain":
            return Decision(None, leading[0].voters / voters, "tie", tied)
        chosen = random.Random(seed).choice(leading) if self.ties == "random" else leading[0]
        return Decision(chosen.answer, chosen.voters / voters, "tie broken" if tied else "", tied)


def tally(ballot: Ballot, weights: Sequence[float] | None = None) -> list[Tally]:
    """Return the votes per distinct answer, in the order first given. `weights`: a number for each vote (default 1)."""
    every = [1.0] * len(ballot.votes) if weights is None else weights
    cast = [(vote.answer, weight) for vote, weight in zip(ballot.votes, every, strict=True) if vote.answer is not None]
    answers = [answer for answer, _ in cast]
    return [_sum_up([cast[i] for i in members]) for members in group(answers, ballot.same)]


def _sum_up(cast: Sequence[tuple[str, float]]) -> Tally:
    """Return the tally of a class of answers, given with their weights."""
    return Tally(choose_spelling([answer for answer, _ in cast]), sum(weight for _, weight in cast), len(cast))


def vote_of(agent: str, turn: Turn | None) -> Vote:
    """Return the vote of an agent whose last turn is `turn`."""
    if turn is None or turn.status == "failed":
        return Vote(agent, None, failed=True)
    return Vote(agent, turn.answer, turn.confidence)
