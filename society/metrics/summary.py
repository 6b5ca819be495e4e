"""The summary of a run in its most important numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from society.answers import group
from society.answers.agent_names import TOO_MANY, UNCLEAR, UNCLEAR_CHOICE
from society.answers.ratings import UNRATED
from society.core.hidden_chars import reveal
from society.core.plain import shorten
from society.core.types import Same, Turn, Usage
from society.metrics.accuracy import accuracy, share_right, share_true
from society.metrics.early_ends import count_ends, find_remedies
from society.metrics.flips import Flips, count_names, name_flip
from society.metrics.lost import Lost, count_lost
from society.metrics.matching import match_records
from society.metrics.proportion import Proportion
from society.metrics.verdicts import Verdicts, count_verdicts
from society.runs.records import DebateRecord, sameness, total_usage, vote_is_right, vote_on, with_truth
from society.runs.votes import count_support, is_lone
from society.scenario.expand import Society

GAVE_UP = ("could be looked for:", "takes too much work to decide")
"""Parts of the notes on searches and comparisons that took too long."""
MAX_ERROR = 300
"""Maximum number of characters of an error in the summary."""
_NUMBER = re.compile(r"[\w.-]*\d[\w.-]*")
"""A number, or an identifier with one."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in short. Intervals take answers to one question as belonging together.

    `scored` debates are on questions with a true answer; all that is right or wrong is counted over these. `decided`
    debates end with a single answer.

    `alone` is the accuracy of the answers before debating (see `DebateRecord.opening`), `last` that of the voters' last
    ones; `before` that of a majority vote over the answers before debating, `after` that of the society's decisions.
    `flips` counts how voters' answers moved from first to last, `moved` how votes moved from before to after (no
    answer: undecided).

    `undecided`, `unparsed`, `failed`, `cut_off` and `tied` are of all debates; `wrong` has those on questions with a
    true answer, which count as wrong, and `unscored` those on the others. Debates whose rule gives no single answer are
    not `undecided`; `tied` undecided ones ended in a tie, and `ties_broken` decisions broke one. `lone` decisions rest
    on the vote of one of several voters, `lone_right` of them are right; `lone_before` and `lone_right_before` say the
    same of the votes before debating. `unparsed` counts the voters' unreadable turns, `failed` all failed turns,
    `cut_off` replies that ended at the token limit; in `given_up` turns a pattern of the scenario took too long.
    `unclear` turns choose agents and name none, or too many. `unrated` turns rate a memory without a number.
    `ended_early` counts replies without a text, or ended for a reason that the scenario did not set; its keys are their
    notes. `end_remedies` are sentences on what to do about
    them. `unmatched` says so where most replies cannot be matched with a true answer, with an example and the remedy.
    `error` is the most frequent error of failed turns with its count; "" where none failed. `ballots` says as which
    answer a ballot on candidates counts in `last` and `flips`; "" where there is none.

    In `split_right` debates, voters' last answers are right and yet different votes, as one contains the other.

    `last_vote` is the accuracy of a majority vote over last answers, where the decision counts every turn.

    `verdicts` counts what a judge or tests said of the answers, where they decide. `people` counts the turns of people.
    """

    debates: int
    scored: int
    alone: Proportion
    before: Proportion
    after: Proportion
    undecided: int
    unparsed: int
    failed: int
    given_up: int
    unclear: int
    unrated: int
    turns: int
    flips: Flips
    usage: Usage
    last: Proportion
    moved: Flips
    tied: int = 0
    ties_broken: int = 0
    cut_off: int = 0
    lone: int = 0
    lone_right: int = 0
    lone_before: int = 0
    lone_right_before: int = 0
    split_right: int = 0
    unmatched: str = ""
    ballots: str = ""
    error: str = ""
    ended_early: Mapping[str, int] = field(default_factory=dict)
    end_remedies: tuple[str, ...] = ()
    decided: int = 0
    wrong: Lost = field(default_factory=Lost)
    unscored: Lost = field(default_factory=Lost)
    verdicts: Verdicts = field(default_factory=Verdicts)
    people: int = 0
    last_vote: Proportion | None = None


def describe_ends(summary: Summary) -> str:
    """Return in words the replies that ended early, by reason, with the remedies."""
    reasons = "; ".join(f"{note[:1].lower()}{note[1:-1]} ({number:,})" for note, number in summary.ended_early.items())
    return " ".join([f"{reasons}.", *summary.end_remedies])


def describe_lone(summary: Summary) -> str:
    """Return in words the number of decisions by one vote among several voters, and of right ones among them."""
    now = f"{summary.lone:,} of {summary.decided:,} decisions"
    if not summary.after.n:
        return now
    now += f", {summary.lone_right:,} of {summary.after.successes:,} right ones"
    if not summary.flips.total:
        return now
    return f"{now}; before debating {summary.lone_right_before:,} of {summary.before.successes:,} right ones"


def summarize(society: Society, records: Sequence[DebateRecord]) -> Summary:
    """Return the summary of these debates."""
    same = sameness(society)
    matching, lost = match_records(society, records), count_lost(society, records)
    turns = [turn for record in records for turn in record.turns]
    decisions = [record.result.decision for record in records]
    rested = [record for record in records if count_support(society, record, same).lone]
    scored = with_truth(records)
    opening = [_open(society, record, same) for record in scored]
    lone_before = [vote for vote in opening if is_lone(vote.record.opening(society), vote.answer, same)]
    return Summary(
        debates=len(records),
        scored=len(scored),
        alone=share_right(records, lambda r: [r.right(turn) for turn in r.opening(society)]),
        before=share_true((vote.record.question, [vote.right]) for vote in opening),
        after=accuracy(records),
        undecided=lost.undecided,
        unparsed=lost.unreadable,
        failed=lost.failed,
        given_up=sum(map(is_given_up, turns)),
        unclear=sum(map(is_unclear, turns)),
        unrated=sum(turn.status == "ok" and turn.error.startswith(UNRATED) for turn in turns),
        turns=len(turns),
        flips=count_flips(society, records),
        usage=total_usage(records),
        last=share_right(records, lambda r: [r.right(turn) for turn in r.last(r.voters(society))]),
        moved=count_names(vote.flip(same) for vote in opening),
        tied=lost.tied,
        ties_broken=sum(decision.answer is not None and bool(decision.tied) for decision in decisions),
        cut_off=lost.cut_off,
        lone=len(rested),
        lone_right=sum(record.result.correct for record in rested),
        lone_before=len(lone_before),
        lone_right_before=sum(vote.right for vote in lone_before),
        split_right=sum(_splits_right(society, record, same) for record in scored),
        unmatched=matching.describe() if matching.most else "",
        ballots=society.scenario.decision.ballots_count_as,
        error=_describe_errors([turn.error for turn in turns if turn.status == "failed"]),
        ended_early=count_ends(turns),
        end_remedies=find_remedies(society, turns),
        decided=sum(decision.answer is not None for decision in decisions),
        wrong=count_lost(society, scored),
        unscored=count_lost(society, [record for record in records if not record.scored]),
        verdicts=count_verdicts(society, records),
        people=sum(turn.usage.person_seconds > 0 for turn in turns),
        last_vote=_last_vote(society, records, same) if society.scenario.decision.counts_turns else None,
    )


def _last_vote(society: Society, records: Sequence[DebateRecord], same: Same) -> Proportion:
    return share_right(records, lambda r: [vote_is_right(society, r, r.last(r.voters(society)), same)])


def _splits_right(society: Society, record: DebateRecord, same: Same) -> bool:
    """Return whether voters' last answers in a debate are right, but not one answer for a vote."""
    given = [turn for turn in record.last(record.voters(society)) if turn.answer is not None]
    votes = group([turn.answer for turn in given if turn.answer is not None], same)
    return sum(any(record.right(given[index]) for index in indices) for indices in votes) > 1


def _describe_errors(errors: Sequence[str]) -> str:
    """Return the first of the most frequent errors on one line, with its count if there are others.

    Errors that differ only in numbers, such as lengths and the identifiers of requests, are the same error.
    """
    kinds = [_NUMBER.sub("0", error) for error in errors]
    [(kind, times)] = Counter(kinds).most_common(1) or [("", 0)]
    count = "" if times == len(errors) else f" ({times:,} of {len(errors):,} failed turns)"
    return shorten(reveal(errors[kinds.index(kind)]), MAX_ERROR) + count if errors else ""


def count_flips(society: Society, records: Sequence[DebateRecord]) -> Flips:
    """Count the changes from the first to the last answer of each voter with two turns in a debate.

    Debates on questions without a true answer are left out.
    """
    same = sameness(society)
    spoken = [(record, record.of(agent)) for record in with_truth(records) for agent in record.candidates(society)]
    return count_names(flip(record, turns[0], turns[-1], same) for record, turns in spoken if len(turns) > 1)


def count_agent_flips(society: Society, records: Sequence[DebateRecord]) -> dict[str, Flips]:
    """Count the changes from the first to the last answer of each speaker with two turns, where answers are scored."""
    same, records = sameness(society), with_truth(records)
    speakers = dict.fromkeys(name for phase in society.phases for name in phase.speakers)
    spoken = {agent: [(record, record.of(agent)) for record in records] for agent in speakers}
    return {
        agent: count_names(flip(record, turns[0], turns[-1], same) for record, turns in found if len(turns) > 1)
        for agent, found in spoken.items()
    }


def flip(record: DebateRecord, before: Turn, after: Turn, same: Same) -> str:
    """Return the field of `Flips` for two turns of an agent."""
    return name_flip(before.answer, after.answer, (record.right(before), record.right(after)), same)


def is_unclear(turn: Turn) -> bool:
    """Return whether this is a choice of agents, such as a moderator's, that names none or too many."""
    return turn.status == "ok" and turn.error.startswith((TOO_MANY, UNCLEAR, UNCLEAR_CHOICE))


def is_given_up(turn: Turn) -> bool:
    """Return whether the search for an answer, or a comparison of answers, took too long in this turn."""
    return turn.status == "ok" and any(part in turn.error for part in GAVE_UP)


@dataclass(frozen=True, slots=True)
class _Opening:
    """The vote over the first answers of a debate, and whether it is right."""

    record: DebateRecord
    answer: str | None
    right: bool

    def flip(self, same: Same) -> str:
        """Return the field of `Flips` for this vote and the debate's decision."""
        result = self.record.result
        return name_flip(self.answer, result.decision.answer, (self.right, result.correct), same)


def _open(society: Society, record: DebateRecord, same: Same) -> _Opening:
    answer = vote_on(society, record, record.opening(society), same).answer
    return _Opening(record, answer, answer is not None and record.result.verdicts.get(answer, False))
