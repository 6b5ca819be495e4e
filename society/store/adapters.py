"""What a store keeps of training: one row per adapter, and where each of its training rows comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from society.core.types import TurnId

SHARED = "*"
"""In place of an agent's name: the adapter is every agent's."""


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """One adapter, trained after the debates of `iteration`. `hash` is None if there was nothing to learn from;
    `path` is within the run's folder; `losses` has one value per optimiser step; `trained_on` is a hash of everything
    that shaped the adapter: rows, settings, seed, model and the adapter that it started from."""

    iteration: int
    learner: str
    agent: str
    hash: str | None
    path: str
    base: str
    examples: int
    left_out: Mapping[str, int]
    losses: Sequence[float]
    tokens: int
    seconds: float
    trained_on: str


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """Where one training row comes from: the turn whose text is learned, and the rule that took it."""

    iteration: int
    learner: str
    agent: str
    number: int
    source: TurnId
    rule: str


def adapter_values(row: AdapterRow) -> tuple[Any, ...]:
    """The values of the table `adapters`, in its order."""
    return (
        row.iteration, row.learner, row.agent, row.hash, row.path, row.base, row.examples,
        json.dumps(dict(row.left_out)), json.dumps(list(row.losses)), row.tokens, row.seconds, row.trained_on,
    )  # fmt: skip


def read_adapter(row: Mapping[str, Any]) -> AdapterRow:
    """The adapter of a row."""
    return AdapterRow(**{**row, "left_out": json.loads(row["left_out"]), "losses": json.loads(row["losses"])})


def example_values(row: ExampleRow) -> tuple[Any, ...]:
    """The values of the table `examples`, in its order."""
    s = row.source
    return (row.iteration, row.learner, row.agent, row.number, s.item, s.sample, s.phase, s.round, s.agent, row.rule)


def read_example(row: Mapping[str, Any]) -> ExampleRow:
    """The training row's origin."""
    source = TurnId(row["iteration"], row["item"], row["phase"], row["round"], row["speaker"], row["sample"])
    return ExampleRow(row["iteration"], row["learner"], row["agent"], row["number"], source, row["rule"])
