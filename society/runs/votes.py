"""The votes behind a decision: the number of voters for it, and whether a single vote decided.

A store has the decision of a debate. Its votes are read again from its turns, by the scenario's own decision rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from society.answers import group
from society.components.decisions.base import DecisionRule, vote_of
from society.core.types import Ballot, Same, Turn

if TYPE_CHECKING:
    from society.runs.records import DebateRecord
    from society.scenario.expand import Society


@dataclass(frozen=True, slots=True)
class Support:
    """The voters of one debate: `backers` voted for its decision, `spoke` gave a reply or an answer that counts.

    Where every turn is a vote, these two count turns. `supporters` are the different voters among the backers.
    """

    backers: int
    spoke: int
    voters: int
    supporters: int

    @property
    def lone(self) -> bool:
        """Return whether one of several voters alone stands behind the decision."""
        return self.supporters == 1 < self.voters


def count_support(society: Society, record: DebateRecord, same: Same) -> Support:
    """Count the votes behind the decision of this debate, as the scenario's decision rule counts them."""
    return count_votes(society.scenario.decision, rebuild_ballot(society, record, same), record)


def count_votes(rule: DecisionRule, ballot: Ballot, record: DebateRecord) -> Support:
    """Count the votes behind the decision of this record on its ballot."""
    decision = record.result.decision
    backers, supporters = rule.backers(decision, ballot), rule.supporters(decision, ballot)
    return Support(backers, rule.replies(ballot), len(ballot.votes), supporters)


def read_ballots(society: Society, record: DebateRecord, same: Same) -> DebateRecord:
    """Return the record with each voter's turn of the last phase read as the decision rule reads it.

    A ballot such as "B > C" thus counts as the answer that it puts first, in all figures about single answers.
    """
    rule, last = society.scenario.decision, society.last_phase(_took_place(record))
    if type(rule).read_answer is DecisionRule.read_answer:
        return record
    candidates, decided = _candidates(society, record, same), record.result.decision.answer
    voting = frozenset(record.voters(society)) & frozenset(last.speakers)
    turns = tuple(
        replace(turn, answer=rule.read_answer(turn, candidates, decided))
        if turn.id.phase == last.name and turn.id.agent in voting
        else turn
        for turn in record.turns
    )
    return replace(record, turns=turns, stored=record.as_stored.turns)


def rebuild_ballot(society: Society, record: DebateRecord, same: Same) -> Ballot:
    """Return the ballot on which this debate was decided, without the weights of edges."""
    voters, result = record.voters(society), record.result
    seed = society.decision_seed(result.iteration, result.item, result.sample)
    blank = Ballot([], dict.fromkeys(voters, ()), _candidates(society, record, same), same, seed)
    return fill_ballot(blank, record.as_stored)


def fill_ballot(ballot: Ballot, record: DebateRecord) -> Ballot:
    """Return a ballot of the same voters, with their turns and votes as this record has them."""
    history = {name: record.of(name) for name in ballot.history}
    votes = [vote_of(name, turns[-1] if turns else None) for name, turns in history.items()]
    return replace(ballot, votes=votes, history=history)


def _candidates(society: Society, record: DebateRecord, same: Same) -> tuple[str, ...]:
    """Return the distinct answers that stood before the last phase, in the order first given."""
    last = society.last_phase(_took_place(record))
    speakers = {name for phase in society.phases[: last.index] for name in phase.speakers}
    before = {turn.id.agent: turn for name in speakers for turn in record.of(name) if turn.id.phase != last.name}
    latest = [before[name] for name in society.agents if name in before]
    answers = [turn.answer for turn in latest if turn.answer is not None]
    return tuple(answers[members[0]] for members in group(answers, same))


def _took_place(record: DebateRecord) -> frozenset[str]:
    """Return the names of the phases in which an agent had a turn."""
    return frozenset(turn.id.phase for turn in record.turns)


def is_lone(turns: Sequence[Turn], answer: str | None, same: Same) -> bool:
    """Return whether exactly one of several turns gives this answer."""
    given = [turn for turn in turns if answer is not None and turn.answer is not None and same(turn.answer, answer)]
    return len(given) == 1 < len(turns)
