"""Rules that count answers: majority, supermajority, unanimity, confidence-weighted."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from society.components.decisions.base import DecisionRule, tally, vote_of
from society.components.facts import DecisionFacts, Reasons
from society.core.types import Ballot, Decision, Vote

Share = Annotated[float, Field(ge=0, le=1)]


class Majority(DecisionRule):
    """The answer of most voters; a plurality is enough."""

    counts_answers: ClassVar[bool] = True
    kind: Literal["majority"] = "majority"
    over: Literal["last", "all"] = "last"
    """Turns of each voter that are votes: the last one, or all of a debate. Support is then a share of these turns."""

    @property
    def counts_turns(self) -> bool:
        return self.over == "all"

    def settle(self, ballot: Ballot) -> list[Vote]:
        return super().settle(self._every_turn(ballot))

    def replies(self, ballot: Ballot) -> int:
        if self.over == "last":
            return super().replies(ballot)
        return sum(not vote.failed for vote in self._every_turn(ballot).votes)

    def _every_turn(self, ballot: Ballot) -> Ballot:
        """Return the ballot with a vote for each turn of the voters, or as it is for `over: last`."""
        if self.over == "last":
            return ballot
        votes = [vote_of(vote.agent, turn) for vote in ballot.votes for turn in ballot.history.get(vote.agent, ())]
        return replace(ballot, votes=votes or ballot.votes)

    def count(self, ballot: Ballot) -> Decision:
        return self.winner(tally(ballot), len(ballot.votes), ballot.seed)

    def origin(self, decision: Decision, voters: str) -> str:
        return super().origin(decision, f"the turns of {voters}" if self.over == "all" else voters)

    def idle(self, facts: DecisionFacts) -> Reasons:
        if self.over == "all" and all(turns == 1 for turns in facts.turns.values()):
            return self.given({"over": "has no effect: every voter speaks once; remove it"})
        if self.over == "all" and self.unparsed == "earlier":
            return self.given({"unparsed": "has no effect: with `over: all`, earlier answers count anyway; remove it"})
        return {}


class Supermajority(DecisionRule):
    """The answer of at least the share `share` of all voters; otherwise no decision."""

    counts_answers: ClassVar[bool] = True
    kind: Literal["supermajority"] = "supermajority"
    share: float = Field(2 / 3, gt=0.5, le=1)
    """Minimum share of all voters, including those without an answer."""

    def count(self, ballot: Ballot) -> Decision:
        decision = self.winner(tally(ballot), len(ballot.votes), ballot.seed)
        if decision.answer is None or decision.support >= self.share - 1e-9:
            return decision
        return Decision(None, decision.support, f"no answer has {self.share:.0%} of the voters")

    def idle(self, facts: DecisionFacts) -> Reasons:
        why = "has no effect: of two answers with as many voters none has more than half; remove it"
        return self.given({"ties": why})


class Unanimity(DecisionRule):
    """The answer of every voter; otherwise no decision."""

    counts_answers: ClassVar[bool] = True
    kind: Literal["unanimity"] = "unanimity"

    def count(self, ballot: Ballot) -> Decision:
        tallies = tally(ballot)
        support = max(item.voters for item in tallies) / len(ballot.votes)
        if support < 1:
            return Decision(None, support, "not unanimous")
        return Decision(tallies[0].answer, 1.0)

    def idle(self, facts: DecisionFacts) -> Reasons:
        return self.given({"ties": "has no effect: where all agree there is no tie; remove it"})


class Weighted(DecisionRule):
    """The answer with the largest sum of its voters' confidences (ReConcile), or of the weights of their edges."""

    counts_answers: ClassVar[bool] = True
    reads_confidence: ClassVar[bool] = True
    kind: Literal["weighted"] = "weighted"
    by: Literal["confidence", "edges"] = "confidence"
    """Weight of a vote: the voter's confidence, or the sum of the weights of edges. These are the edges along which
    others read the voter in the last round with edges; before it, all votes weigh the same."""
    missing: float = Field(0.5, ge=0, le=1)
    """Confidence of a voter that states none."""
    floor: float = Field(0.0, ge=0, le=1)
    """Minimum confidence: lower ones are raised to it."""
    steps: tuple[tuple[Share, Share], ...] = ()
    """Recalibration: pairs of a confidence and the weight from that confidence on. Below all pairs, the weight is 0."""

    @property
    def reads_weights(self) -> bool:
        return self.by == "edges"

    def count(self, ballot: Ballot) -> Decision:
        if self.by == "edges":
            # Before anybody was read, as in a vote on first answers, all votes weigh the same.
            read = [ballot.weights.get(vote.agent, 0.0) if ballot.weights else 1.0 for vote in ballot.votes]
            return self.winner(tally(ballot, read), len(ballot.votes), ballot.seed)
        stated = [self.missing if vote.confidence is None else vote.confidence for vote in ballot.votes]
        weights = [self._weight(max(confidence, self.floor)) for confidence in stated]
        return self.winner(tally(ballot, weights), len(ballot.votes), ballot.seed)

    def undecided(self, facts: DecisionFacts) -> Reasons:
        if self.by == "confidence" or facts.read:
            return {}
        return {"by": "no agent reads a voter, so all votes weigh 0; set a `topology`, or use `by: confidence`"}

    def idle(self, facts: DecisionFacts) -> Reasons:
        if self.by == "edges":
            why = "has no effect: votes weigh as much as their edges; remove it"
            return self.given(dict.fromkeys(("missing", "floor", "steps"), why))
        if facts.confident:
            return self.given(self._below_floor())
        why = "no voter has a confidence, so all votes weigh the same"
        return {"": f"{why}; set `confidence: stated` in the voters' role, or use `majority`"}

    def _below_floor(self) -> Reasons:
        """Return why steps below the floor are never reached."""
        reached = max((least for least, _ in self.steps if least <= self.floor), default=0.0)
        lost = [least for least, _ in self.steps if least < reached]
        return {"floor": f"leaves the step of {lost[0]:g} out of reach; lower it, or remove the step"} if lost else {}

    def _weight(self, confidence: float) -> float:
        if not self.steps:
            return confidence
        return max((step for step in self.steps if step[0] <= confidence), default=(0.0, 0.0))[1]
