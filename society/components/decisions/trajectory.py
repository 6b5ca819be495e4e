"""A decision by whole trajectories: how agents kept and changed their answers over the rounds (Free-MAD)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from society.answers import choose_spelling, group
from society.components.decisions.base import DecisionRule, Tally
from society.components.facts import DecisionFacts, Reasons
from society.core.types import Ballot, Decision, Vote


class Trajectory(DecisionRule):
    """The answer with the highest score. Each answer that an agent gives, keeps or changes moves scores.

    A first answer adds `first` to its score, and a kept answer adds `kept`. A change adds `changed` to the new answer
    and subtracts `dropped` from the old one. In round r (from 0) points count with the factor 1 / (r + 1).
    Source: Free-MAD (arXiv 2509.11035), section 3.
    """

    counts_answers: ClassVar[bool] = True
    kind: Literal["trajectory"] = "trajectory"
    first: float = Field(20.0, ge=0)
    """Points for an agent's first answer."""
    kept: float = Field(20.0, ge=0)
    """Points for an answer that is kept, in each later round."""
    changed: float = Field(30.0, ge=0)
    """Points for the new answer when an agent changes its answer."""
    dropped: float = Field(25.0, ge=0)
    """Points that the old answer loses when an agent changes its answer."""

    def count(self, ballot: Ballot) -> Decision:
        every = [_given(vote, ballot) for vote in ballot.votes]
        answers = [answer for given in every for answer in given]
        classes = [[answers[i] for i in members] for members in group(answers, ballot.same)]
        spelling = {answer: choose_spelling(members) for members in classes for answer in members}
        scores = dict.fromkeys(spelling.values(), 0.0)
        for given in every:
            for r, answer in enumerate(given):
                factor, now, before = 1 / (r + 1), spelling[answer], spelling[given[r - 1]]
                if r == 0:
                    scores[now] += self.first
                elif now == before:
                    scores[now] += self.kept * factor
                else:
                    scores[now] += self.changed * factor
                    scores[before] -= self.dropped * factor
        tallies = [Tally(answer, score, _voters(answer, ballot)) for answer, score in scores.items()]
        return self.winner(tallies, len(ballot.votes), ballot.seed)

    def idle(self, facts: DecisionFacts) -> Reasons:
        if any(turns > 1 for turns in facts.turns.values()):
            return {}
        why = "every voter speaks once, so there is no move to score"
        return {"": f"{why}: the rule decides as `majority`; give the debate a second round or phase"}


def _given(vote: Vote, ballot: Ballot) -> list[str]:
    return [turn.answer for turn in ballot.history.get(vote.agent, ()) if turn.answer is not None]


def _voters(answer: str, ballot: Ballot) -> int:
    return sum(vote.answer is not None and ballot.same(vote.answer, answer) for vote in ballot.votes)
