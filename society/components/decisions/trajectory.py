"""Decide by whole trajectories: how answers were held, dropped and taken up over the rounds (Free-MAD)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from society.components.decisions.base import DecisionRule, Tally
from society.components.facts import DecisionFacts, Reasons
from society.core.types import Ballot, Decision


class Trajectory(DecisionRule):
    """Every answer an agent gives, keeps, drops or takes up moves that answer's score; later moves count less.

    In round r (from 0) a move counts with the factor 1 / (r + 1). Source: Free-MAD (arXiv 2509.11035), section 3:
    a first answer adds `first`, one kept adds `kept`, one taken up adds `changed`, the one dropped loses `dropped`.
    """

    kind: Literal["trajectory"] = "trajectory"
    first: float = Field(20.0, ge=0)
    """Points of an agent's first answer."""
    kept: float = Field(20.0, ge=0)
    """Points of an answer that is kept, in each later round."""
    changed: float = Field(30.0, ge=0)
    """Points of an answer that is taken up."""
    dropped: float = Field(25.0, ge=0)
    """Points that the answer loses that is given up for it."""

    def count(self, ballot: Ballot) -> Decision:
        scores: list[Tally] = []
        for vote in ballot.votes:
            given = [turn.answer for turn in ballot.history.get(vote.agent, ()) if turn.answer is not None]
            for r, answer in enumerate(given):
                factor = 1 / (r + 1)
                held = r > 0 and ballot.same(answer, given[r - 1])
                gain = self.first if r == 0 else self.kept if held else self.changed
                scores = _add(scores, answer, gain * factor, ballot)
                if r > 0 and not held:
                    scores = _add(scores, given[r - 1], -self.dropped * factor, ballot)
        support = {t.answer: _voters(t.answer, ballot) for t in scores}
        return self.winner([Tally(t.answer, t.weight, support[t.answer]) for t in scores],
                           len(ballot.votes), ballot.seed)  # fmt: skip

    def idle(self, facts: DecisionFacts) -> Reasons:
        if any(turns > 1 for turns in facts.turns.values()):
            return {}
        why = "every voter speaks once, so there is no move to score"
        return {"": f"{why}: it decides as `majority`; give the debate a second round or phase"}


def _add(scores: list[Tally], answer: str, amount: float, ballot: Ballot) -> list[Tally]:
    for i, item in enumerate(scores):
        if ballot.same(item.answer, answer):
            return [*scores[:i], Tally(item.answer, item.weight + amount, 0), *scores[i + 1 :]]
    return [*scores, Tally(answer, amount, 0)]


def _voters(answer: str, ballot: Ballot) -> int:
    return sum(vote.answer is not None and ballot.same(vote.answer, answer) for vote in ballot.votes)
