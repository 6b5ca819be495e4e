"""Evaluation of the conditions of a scenario: `stop`, `when` and `until`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from society.components.faults import faults_of
from society.components.stops import StopRule
from society.core.types import RoundState
from society.scenario.models.phases import Conditions

Scope = Literal["", "phase", "block", "debate"]
"""The part of a debate that has ended; "" for nothing."""
SCOPES: tuple[Scope, ...] = ("", "phase", "block", "debate")


def holds(conditions: Conditions, state: RoundState, place: str = "") -> bool:
    """Return whether any of the conditions holds; of a list inside the list, all must hold."""
    return any(_reached(conditions, state, place))


def find_end(conditions: Conditions, state: RoundState, place: str = "") -> Scope:
    """Return the largest part of the debate that one of these stop rules ends."""
    ended = [scope for scope in _reached(conditions, state, place) if scope]
    return max(ended, key=SCOPES.index, default="")


def _reached(conditions: Conditions, state: RoundState, place: str) -> Iterator[Scope]:
    """Yield what each entry ends; "" for an entry that does not hold."""
    for entry in conditions:
        parts = entry if isinstance(entry, tuple) else (entry,)
        reached = all(_holds(rule, state, place) for rule in parts)
        yield max((rule.ends for rule in parts), key=SCOPES.index) if reached and parts else ""


def _holds(rule: StopRule, state: RoundState, place: str) -> bool:
    with faults_of(rule, "reached", place):
        return bool(rule.reached(state))
