"""The votes behind a decision: the number of voters for it, and whether a single vote decided.

A store has the decision of a debate. Its votes are read again from its turns, by the scenario's own decision rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from society.answers import group
from society.components.decisions.base import DecisionRule, vote_of
from society.core.identity import derive_decision_seed
from society.core.types import Ballot, Same, Turn

if TYPE_CHECKING:
    from society.runs.records import DebateRecord
    from society.scenario.expand import Society

Step = tuple[int, int, int]
"""Place of a phase in the order of a debate: block, repetition, phase of the block."""


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

    A ballot such as "B > C" thus counts as the answer that it puts first, in all figures about single answers. In a
    phase that is repeated, each repetition has the candidates that stood before it.
    """
    rule, last = society.scenario.decision, society.last_phase(_took_place(record))
    if type(rule).read_answer is DecisionRule.read_answer:
        return record
    voting, decided = frozenset(record.voters(society)) & frozenset(last.speakers), record.result.decision.answer
    ballots = [turn for turn in record.turns if turn.id.phase == last.name and turn.id.agent in voting]
    steps = {turn.id: _step(society, turn) for turn in ballots}
    candidates = {step: _candidates(society, record, same, step) for step in set(steps.values())}
    read = {turn.id: rule.read_answer(turn, candidates[steps[turn.id]], decided) for turn in ballots}
    turns = tuple(replace(turn, answer=read[turn.id]) if turn.id in read else turn for turn in record.turns)
    return replace(record, turns=turns, stored=record.as_stored.turns)


def rebuild_ballot(society: Society, record: DebateRecord, same: Same) -> Ballot:
    """Return the ballot on which this debate was decided, without the weights of edges."""
    voters, seed = record.voters(society), seed_decision(society, record)
    last = society.last_phase(_took_place(record)).name
    step = max((_step(society, turn) for turn in record.turns if turn.id.phase == last), default=None)
    candidates = _candidates(society, record, same, step)
    blank = Ballot([], dict.fromkeys(voters, ()), candidates, same, seed, phase=last)
    return fill_ballot(blank, record.as_stored)


def seed_decision(society: Society, record: DebateRecord) -> int:
    """Return the seed with which this debate's decision draws among tied answers."""
    result = record.result
    place = (result.iteration, result.item, society.phases[-1].name, result.sample)
    return derive_decision_seed(society.scenario.seed, *place)


def fill_ballot(ballot: Ballot, record: DebateRecord) -> Ballot:
    """Return a ballot of the same voters, with their turns and votes as this record has them."""
    history = {name: record.of(name) for name in ballot.history}
    votes = [vote_of(name, turns[-1] if turns else None) for name, turns in history.items()]
    return replace(ballot, votes=votes, history=history)


def _step(society: Society, turn: Turn) -> Step:
    """Return the place of the phase of a turn."""
    return society.place(turn.id.phase, turn.id.round)[:3]


def _candidates(society: Society, record: DebateRecord, same: Same, step: Step | None) -> tuple[str, ...]:
    """Return the distinct answers that stood before this step, or at the end, in the order first given.

    Ballots are no answers.
    """
    ballots = society.ballot_phase
    turns = [turn for turn in record.as_stored.turns if not record.helps(turn) and turn.id.phase != ballots]
    before = {turn.id.agent: turn for turn in turns if step is None or _step(society, turn) < step}
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
