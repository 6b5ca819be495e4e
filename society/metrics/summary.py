"""What happened in a run, in the few numbers that a person asks for first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from society.metrics.proportion import Proportion
from society.metrics.records import DebateRecord, accuracy, sameness, share_right, total_usage, vote_is_right
from society.scenario.expand import Society
from society.simulation.names import UNCLEAR
from society.types import Same, Turn, Usage


@dataclass(frozen=True, slots=True)
class Flips:
    """How answers moved between two turns of an agent; `unread` has at least one that was not readable."""

    kept_right: int = 0
    kept_wrong: int = 0
    right_to_wrong: int = 0
    wrong_to_right: int = 0
    wrong_to_wrong: int = 0
    unread: int = 0

    @property
    def changed(self) -> int:
        """Answers that changed, whatever the direction."""
        return self.right_to_wrong + self.wrong_to_right + self.wrong_to_wrong


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in short. `alone` is the accuracy of single first answers; `before` that of a majority vote over
    them; `after` that of the society's decisions. `undecided` debates count as wrong; in `given_up`
    turns a pattern of the scenario took too long; `unclear` turns of a moderator do not name one speaker.
    Intervals take answers to one question as belonging together."""

    debates: int
    alone: Proportion
    before: Proportion
    after: Proportion
    undecided: int
    unparsed: int
    failed: int
    given_up: int
    unclear: int
    turns: int
    flips: Flips
    usage: Usage


def summarize(society: Society, records: Sequence[DebateRecord]) -> Summary:
    """The summary of these debates."""
    same, voters = sameness(society), society.voters
    turns = [turn for record in records for turn in record.turns]
    return Summary(
        debates=len(records),
        alone=share_right(records, lambda r: [r.right(turn) for turn in r.first(voters)]),
        before=share_right(records, lambda r: [vote_is_right(society, r, r.first(voters), same)]),
        after=accuracy(records),
        undecided=sum(record.result.decision.answer is None for record in records),
        unparsed=sum(t.answer is None and t.status == "ok" and t.id.agent in voters for t in turns),
        failed=sum(turn.status == "failed" for turn in turns),
        given_up=sum(bool(turn.error) and not is_unclear(turn) for turn in turns if turn.status == "ok"),
        unclear=sum(map(is_unclear, turns)),
        turns=len(turns),
        flips=count_flips(society, records),
        usage=total_usage(records),
    )


def count_flips(society: Society, records: Sequence[DebateRecord]) -> Flips:
    """How each voter's answer moved from its first to its last turn in each debate."""
    same = sameness(society)
    kinds: Counter[str] = Counter()
    for record in records:
        for agent in society.voters:
            spoken = record.of(agent)
            if len(spoken) > 1:
                kinds[flip(record, spoken[0], spoken[-1], same)] += 1
    return Flips(**kinds)


def flip(record: DebateRecord, before: Turn, after: Turn, same: Same) -> str:
    """Which field of `Flips` two turns of an agent belong to."""
    if before.answer is None or after.answer is None:
        return "unread"
    was, now = record.right(before), record.right(after)
    if was and now:
        return "kept_right"
    if was != now:
        return "wrong_to_right" if now else "right_to_wrong"
    return "kept_wrong" if same(before.answer, after.answer) else "wrong_to_wrong"


def is_unclear(turn: Turn) -> bool:
    """Whether this is a moderator's turn that names no speaker, or several."""
    return turn.status == "ok" and turn.error.startswith(UNCLEAR)
