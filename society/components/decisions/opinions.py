"""Decisions about opinions: the mean or the median of numbers, the distribution of answers, or no decision."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import ClassVar, Literal

from society.answers.quantities import read_number, write_number
from society.components.decisions.base import DecisionRule, tally
from society.components.facts import DecisionFacts, Reasons
from society.core.plain import shorten
from society.core.types import Ballot, Decision, Turn, Vote

MOST_ANSWERS = 5
"""Maximum number of answers that a distribution names."""


class _OfNumbers(DecisionRule):
    """A rule that computes a number from the voters' numbers. An answer without a number counts as unreadable."""

    def settle(self, ballot: Ballot) -> list[Vote]:
        return super().settle(_only_numbers(ballot))

    def backers(self, decision: Decision, ballot: Ballot) -> int:
        """Return the number of voters whose numbers count; 0 without a decision."""
        return 0 if decision.answer is None else sum(vote.answer is not None for vote in self.settle(ballot))

    def count(self, ballot: Ballot) -> Decision:
        numbers = [value for vote in ballot.votes if vote.answer and (value := read_number(vote.answer)) is not None]
        left_out = len(ballot.votes) - len(numbers)
        reason = f"{left_out} of {len(ballot.votes)} voters gave no number" if left_out else ""
        answer = write_number(self.combine(numbers))
        agree = sum(vote.answer is not None and ballot.same(vote.answer, answer) for vote in ballot.votes)
        return Decision(answer, agree / len(ballot.votes), reason)

    def origin(self, decision: Decision, voters: str) -> str:
        """Return the computation: no voter needs to have given the number that comes out."""
        return f"{getattr(self, 'kind', 'number')} of {voters}"

    @abstractmethod
    def combine(self, numbers: Sequence[float]) -> float:
        """Return the society's number. There is at least one number."""

    def idle(self, facts: DecisionFacts) -> Reasons:
        if not facts.numeric:
            why = "reads numbers, but answers are not compared as numbers"
            return {"": f"{why}; set `equal: numeric` in `task.answer`, or use `majority` or `distribution`"}
        return self.given({"ties": "has no effect: numbers have no ties; remove it"})


class Mean(_OfNumbers):
    """The mean of the voters' numbers. Voters without a number are counted, and do not enter the mean."""

    kind: Literal["mean"] = "mean"

    def combine(self, numbers: Sequence[float]) -> float:
        return fmean(numbers)


class Median(_OfNumbers):
    """The median of the voters' numbers; of an even number, the mean of the middle two."""

    kind: Literal["median"] = "median"

    def combine(self, numbers: Sequence[float]) -> float:
        return median(numbers)


class _Open(DecisionRule):
    """A rule that gives no single answer by design. Accuracy is then that of single agents alone."""

    decides: ClassVar[bool] = False

    def decide(self, ballot: Ballot) -> Decision:
        return replace(super().decide(ballot), single=False)

    def idle(self, facts: DecisionFacts) -> Reasons:
        why = "has no effect: the rule gives no single answer; remove it"
        return self.given({"ties": why, "quorum": why})


class Distribution(_Open):
    """The shares of all answers. There is no single answer of the society."""

    kind: Literal["distribution"] = "distribution"

    def count(self, ballot: Ballot) -> Decision:
        found = sorted(tally(ballot), key=lambda one: -one.voters)
        shares = [f"{shorten(one.answer, 40)} ({one.voters / len(ballot.votes):.0%})" for one in found[:MOST_ANSWERS]]
        if rest := sum(one.voters for one in found[MOST_ANSWERS:]):
            shares.append(f"other answers ({rest / len(ballot.votes):.0%})")
        if missing := sum(vote.answer is None for vote in ballot.votes):
            shares.append(f"no readable answer ({missing / len(ballot.votes):.0%})")
        return Decision(None, found[0].voters / len(ballot.votes), ", ".join(shares))


class Undecided(_Open):
    """No decision: only the opinions of single agents count."""

    kind: Literal["none"] = "none"

    def decide(self, ballot: Ballot) -> Decision:
        return Decision(None, reason="no decision is asked for", single=False)

    def count(self, ballot: Ballot) -> Decision:
        return self.decide(ballot)

    def idle(self, facts: DecisionFacts) -> Reasons:
        why = "has no effect: there is no decision; remove it"
        return self.given(dict.fromkeys(("ties", "quorum", "unparsed", "failed"), why))


def _only_numbers(ballot: Ballot) -> Ballot:
    """Return the ballot without answers that are no numbers."""
    votes = [vote if _is_number(vote.answer) else replace(vote, answer=None) for vote in ballot.votes]
    history = {agent: [_only_number(turn) for turn in turns] for agent, turns in ballot.history.items()}
    return replace(ballot, votes=votes, history=history)


def _only_number(turn: Turn) -> Turn:
    return turn if _is_number(turn.answer) else replace(turn, answer=None)


def _is_number(answer: str | None) -> bool:
    return answer is not None and read_number(answer) is not None
