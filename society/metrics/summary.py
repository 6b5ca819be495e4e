"""What happened in a run, in the few numbers that a person asks for first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from society.decisions.counting import Majority
from society.metrics.proportion import Proportion, proportion
from society.metrics.records import DebateRecord, total_usage
from society.scenario.expand import Society
from society.types import Ballot, Turn, Usage, Vote


@dataclass(frozen=True, slots=True)
class Flips:
    """How answers moved between an agent's first and last turn; `unread` has at least one that was not readable."""

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
    them; `after` that of the society's decisions. `undecided` debates count as wrong."""

    debates: int
    alone: Proportion
    before: Proportion
    after: Proportion
    undecided: int
    unparsed: int
    failed: int
    turns: int
    flips: Flips
    usage: Usage


def summarize(society: Society, records: Sequence[DebateRecord]) -> Summary:
    """The summary of these debates."""
    firsts = [record.first(society.voters) for record in records]
    single = [record.right(turn) for record, turns in zip(records, firsts, strict=True) for turn in turns]
    turns = [turn for record in records for turn in record.turns]
    before = [_vote_is_right(society, record, turns) for record, turns in zip(records, firsts, strict=True)]
    return Summary(
        debates=len(records),
        alone=proportion(sum(single), len(single)),
        before=proportion(sum(before), len(before)),
        after=proportion(sum(record.result.correct for record in records), len(records)),
        undecided=sum(record.result.decision.answer is None for record in records),
        unparsed=sum(t.answer is None and t.status == "ok" and t.id.agent in society.voters for t in turns),
        failed=sum(turn.status == "failed" for turn in turns),
        turns=len(turns),
        flips=count_flips(society, records),
        usage=total_usage(records),
    )


def count_flips(society: Society, records: Sequence[DebateRecord]) -> Flips:
    """How each voter's answer moved from its first to its last turn in each debate."""
    kinds: Counter[str] = Counter()
    for record in records:
        for agent in society.voters:
            spoken = record.of(agent)
            if len(spoken) > 1:
                kinds[flip(record, spoken[0], spoken[-1], society)] += 1
    return Flips(**kinds)


def flip(record: DebateRecord, before: Turn, after: Turn, society: Society) -> str:
    """Which field of `Flips` two turns of an agent belong to."""
    if before.answer is None or after.answer is None:
        return "unread"
    was, now = record.right(before), record.right(after)
    if was and now:
        return "kept_right"
    if was != now:
        return "wrong_to_right" if now else "right_to_wrong"
    same = society.scenario.task.same(before.answer, after.answer)
    return "kept_wrong" if same else "wrong_to_wrong"


def _vote_is_right(society: Society, record: DebateRecord, turns: Sequence[Turn]) -> bool:
    """Whether a majority vote over these turns would have been right; ties and silence are not."""
    votes = [Vote(turn.id.agent, turn.answer, failed=turn.status == "failed") for turn in turns]
    rule = Majority(ties=society.scenario.decision.ties)
    ballot = Ballot(votes, {}, (), society.scenario.task.same, seed=0)
    answer = rule.decide(ballot).answer if votes else None
    return answer is not None and record.result.verdicts.get(answer, False)
