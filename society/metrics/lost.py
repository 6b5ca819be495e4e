"""Debates and turns without an answer, which count as wrong where answers are right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from society.core.types import Turn
from society.runs.records import DebateRecord
from society.scenario.expand import Society


@dataclass(frozen=True, slots=True)
class Lost:
    """Numbers of debates and turns without an answer. `unknown` debates are on questions without a true answer.

    `undecided` debates have no decision although their rule gives single answers. `unreadable` turns are the voters'.
    `cut_off` replies ended at the token limit.
    """

    debates: int = 0
    undecided: int = 0
    unreadable: int = 0
    failed: int = 0
    cut_off: int = 0
    unknown: int = 0


def count_lost(society: Society, records: Sequence[DebateRecord]) -> Lost:
    """Count the debates and turns without an answer."""
    turns, voters = [turn for record in records for turn in record.turns], set(society.voters)
    decisions = [record.result.decision for record in records]
    return Lost(
        debates=len(records),
        undecided=sum(decision.answer is None and decision.single for decision in decisions),
        unreadable=sum(t.answer is None and t.status == "ok" and t.id.agent in voters for t in turns),
        failed=sum(turn.status == "failed" for turn in turns),
        cut_off=sum(map(is_cut_off, turns)),
        unknown=sum(not record.scored for record in records),
    )


def is_cut_off(turn: Turn) -> bool:
    """Return whether a reply ended at the token limit."""
    return turn.status == "ok" and turn.finish_reason == "length"
