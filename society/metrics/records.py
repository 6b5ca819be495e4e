"""A run's debates as records: each result with its turns, and whether each turn is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from society.store.rows import ResultRow
from society.types import Turn, Usage

if TYPE_CHECKING:
    from society.session import Run


@dataclass(frozen=True)
class DebateRecord:
    """One finished debate: how it ended and every turn in it, in the order of phase, round and agent."""

    result: ResultRow
    turns: tuple[Turn, ...]

    def right(self, turn: Turn) -> bool:
        """Whether the turn's answer is right; one that failed or could not be read is not."""
        return turn.answer is not None and self.result.verdicts.get(turn.answer, False)

    def of(self, agent: str) -> list[Turn]:
        """An agent's turns, in order."""
        return [turn for turn in self.turns if turn.id.agent == agent]

    def first(self, agents: Iterable[str]) -> list[Turn]:
        """The first turn of each of these agents that spoke."""
        return [turns[0] for agent in agents if (turns := self.of(agent))]

    @property
    def usage(self) -> Usage:
        """What the debate cost."""
        return sum((turn.usage for turn in self.turns), Usage())


def load_records(run: Run) -> list[DebateRecord]:
    """Every finished debate of a run, in the order of iteration, item and sample."""
    turns = {key: tuple(group) for key, group in groupby(run.turns(), key=_debate)}
    return [DebateRecord(r, turns.get((r.iteration, r.item, r.sample), ())) for r in run.results()]


def _debate(turn: Turn) -> tuple[int, str, int]:
    return (turn.id.iteration, turn.id.item, turn.id.sample)


def total_usage(records: Sequence[DebateRecord]) -> Usage:
    """What all these debates cost together; seconds are summed over turns, which overlap."""
    return sum((record.usage for record in records), Usage())
