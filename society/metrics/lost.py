"""Debates and turns without an answer, which count as wrong where answers are right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from society.core.plain import count
from society.core.types import Turn
from society.runs.records import DebateRecord
from society.scenario.expand import Society, is_memory


@dataclass(frozen=True, slots=True)
class Lost:
    """Numbers of debates and turns without an answer. `unknown` debates are on questions without a true answer.

    `undecided` debates have no decision although their rule gives single answers; `tied` of them ended in a tie.
    `unreadable` turns are of agents that had a vote at some time. `cut_off` replies ended at the token limit.
    """

    debates: int = 0
    undecided: int = 0
    tied: int = 0
    unreadable: int = 0
    failed: int = 0
    cut_off: int = 0
    unknown: int = 0
    failed_memories: int = 0
    """Number of failed turns that should have written or rated a memory. `failed` includes them."""


def count_lost(society: Society, records: Sequence[DebateRecord]) -> Lost:
    """Count the debates and turns without an answer."""
    turns = [turn for record in records for turn in record.turns]
    decisions = [record.result.decision for record in records]
    return Lost(
        debates=len(records),
        undecided=sum(decision.answer is None and decision.single for decision in decisions),
        tied=sum(decision.answer is None and bool(decision.tied) for decision in decisions),
        unreadable=sum(_count_unreadable(record, record.candidates(society)) for record in records),
        failed=sum(turn.status == "failed" for turn in turns),
        cut_off=sum(map(is_cut_off, turns)),
        unknown=sum(not record.scored for record in records),
        failed_memories=sum(turn.status == "failed" and is_memory(turn.id.agent) for turn in turns),
    )


def describe_lost(lost: Lost) -> str:
    """Return the missing answers in words: undecided, unreadable, failed and cut off."""
    ties = f" ({lost.tied:,} by a tie)" if lost.tied else ""
    cut = f", {count(lost.cut_off, 'reply')} cut off at max_tokens" if lost.cut_off else ""
    unread = f"{count(lost.unreadable, 'unreadable answer')}, {count(lost.failed, 'failed turn')}"
    notes = f" ({lost.failed_memories:,} by notes or ratings of memories)" if lost.failed_memories else ""
    return f"{lost.undecided:,} undecided{ties}, {unread}{notes}{cut}"


def _count_unreadable(record: DebateRecord, voters: Sequence[str]) -> int:
    turns = (turn for turn in record.turns if turn.id.agent in voters and not record.helps(turn))
    return sum(turn.answer is None and turn.status == "ok" for turn in turns)


def is_cut_off(turn: Turn) -> bool:
    """Return whether a reply ended at the token limit."""
    return turn.status == "ok" and turn.finish_reason == "length"
