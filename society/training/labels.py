"""Labels of training debates: the society's own decision (a pseudo-label), or the true answer.

A decision is a label only if no tie was broken and enough voters agree (see `Labels`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from society.core.types import Same
from society.runs.records import DebateRecord, training_sameness
from society.runs.votes import Support, count_support
from society.scenario.expand import Society
from society.scenario.models.training import TrainSpec

NO_CONSENSUS, NO_QUORUM, NO_GOLD = "no consensus", "no quorum", "no true answer"
"""Reasons why a debate has no label."""


@dataclass(frozen=True)
class Labels:
    """The labels of one training. `count` counts the votes for a debate's decision; `same` compares answers.

    With `kind: consensus`, a decision is a label if at least `quorum` voters support it, and more than the share
    `majority` of the voters that gave any reply.
    """

    kind: Literal["consensus", "gold"]
    same: Same
    count: Callable[[DebateRecord], Support]
    quorum: int = 2
    majority: float = 0.5

    def find(self, record: DebateRecord) -> str | None:
        """Return the label of this debate, or None."""
        if self.explain(record):
            return None
        return record.result.gold if self.kind == "gold" else record.result.decision.answer

    def explain(self, record: DebateRecord) -> str:
        """Return why this debate has no label, or ""."""
        decision = record.result.decision
        if self.kind == "gold":
            return "" if record.scored else NO_GOLD
        if decision.answer is None or decision.tied:
            return NO_CONSENSUS
        support = self.count(record)
        enough = support.backers >= self.quorum and support.backers > self.majority * support.spoke + 1e-9
        return "" if enough else NO_QUORUM

    def is_right(self, record: DebateRecord) -> bool:
        """Return whether the label of this debate is the true answer. Raises `ValueError` if there is no label."""
        if self.find(record) is None:
            raise ValueError(f"The debate on {record.result.item!r} has no label.")
        return self.kind == "gold" or record.result.correct


def open_labels(society: Society, spec: TrainSpec) -> Labels:
    """Return the labels as a scenario's `train:` block defines them."""
    same = training_sameness(society)
    return replace(consensus_labels(society, same), kind=spec.label, quorum=spec.quorum, majority=spec.majority)


def consensus_labels(society: Society, same: Same) -> Labels:
    """Return labels from the decisions of this society with the default quorum. One voter is its own consensus."""

    def count(record: DebateRecord) -> Support:
        return count_support(society, record, same)

    return Labels("consensus", same, count, quorum=min(2, len(society.voters)))
