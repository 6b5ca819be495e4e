"""Rules that count answers: majority, supermajority, unanimity, confidence-weighted."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from society.components.decisions.base import DecisionRule, tally
from society.components.facts import DecisionFacts, Reasons
from society.core.types import Ballot, Decision

Share = Annotated[float, Field(ge=0, le=1)]


class Majority(DecisionRule):
    """The answer that most voters give (a plurality is enough)."""

    kind: Literal["majority"] = "majority"

    def count(self, ballot: Ballot) -> Decision:
        return self.winner(tally(ballot), len(ballot.votes), ballot.seed)


class Supermajority(DecisionRule):
    """The answer that at least `share` of all voters give, or none."""

    kind: Literal["supermajority"] = "supermajority"
    share: float = Field(2 / 3, gt=0.5, le=1)
    """Share of all voters, those without an answer included."""

    def count(self, ballot: Ballot) -> Decision:
        decision = self.winner(tally(ballot), len(ballot.votes), ballot.seed)
        if decision.answer is None or decision.support >= self.share - 1e-9:
            return decision
        return Decision(None, decision.support, f"no answer has {self.share:.0%} of the voters")

    def idle(self, facts: DecisionFacts) -> Reasons:
        why = "has no effect: of two answers with as many voters none has more than half; remove it"
        return self.given({"ties": why})


class Unanimity(DecisionRule):
    """The answer that every voter gives, or none."""

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
    """The answer with the most confidence behind it: the sum of its voters' confidences (ReConcile)."""

    reads_confidence: ClassVar[bool] = True
    kind: Literal["weighted"] = "weighted"
    missing: float = Field(0.5, ge=0, le=1)
    """The confidence of a voter that states none."""
    floor: float = Field(0.0, ge=0, le=1)
    """Confidences below this count as this."""
    steps: tuple[tuple[Share, Share], ...] = ()
    """Recalibration: pairs of a least confidence and the weight from there on; below all of them the weight is 0."""

    def count(self, ballot: Ballot) -> Decision:
        stated = [self.missing if vote.confidence is None else vote.confidence for vote in ballot.votes]
        weights = [self._weight(max(confidence, self.floor)) for confidence in stated]
        return self.winner(tally(ballot, weights), len(ballot.votes), ballot.seed)

    def idle(self, facts: DecisionFacts) -> Reasons:
        if facts.confident:
            return self.given(self._below_floor())
        why = "no voter has a confidence, so all votes weigh the same"
        return {"": f"{why}; set `confidence: stated` in the voters' role, or take `majority`"}

    def _below_floor(self) -> Reasons:
        """Steps that no confidence reaches, as it counts as the floor at least."""
        reached = max((least for least, _ in self.steps if least <= self.floor), default=0.0)
        lost = [least for least, _ in self.steps if least < reached]
        return {"floor": f"leaves the step of {lost[0]:g} out of reach; lower it, or take the step out"} if lost else {}

    def _weight(self, confidence: float) -> float:
        if not self.steps:
            return confidence
        return max((step for step in self.steps if step[0] <= confidence), default=(0.0, 0.0))[1]
