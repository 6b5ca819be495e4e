"""Facts that are known of a scenario before it runs, for rules that say when they can change nothing.

PhaseFacts      of a phase: given to its stop rules and controllers
GateFacts       of the edges that have a gate
DecisionFacts   of the voters: given to the decision
TaskFacts       of the prompts: given to the task

A rule answers with reasons, each with its remedy: `{"": why}` about the rule, `{"patience": why}` where a field is to
blame. An empty mapping means that the rule may matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Reasons = Mapping[str, str]
"""Why a rule, or one of its fields, changes nothing."""


@dataclass(frozen=True, slots=True)
class PhaseFacts:
    """A phase. `spoken_before` are those of its speakers that speak in an earlier phase. `least_turns` is the smallest
    number of turns that a debate has when the first round of the phase ends; `most_turns` and `most_tokens` are the
    largest numbers of turns and generated tokens when its last round begins. `random`: its graph may be drawn anew.
    `changed` and `redrawn` are of a controller: one before it may change the graph, one after it draws it anew."""

    rounds: int
    speakers: tuple[str, ...]
    spoken_before: frozenset[str]
    moderated: bool
    least_turns: int
    most_turns: int
    most_tokens: int
    random: bool = True
    changed: bool = False
    redrawn: bool = False


@dataclass(frozen=True, slots=True)
class GateFacts:
    """The edges that have a gate: their senders, those of them that have a confidence, and whether any reader may have
    said something before it reads along such an edge."""

    senders: frozenset[str]
    confident: frozenset[str]
    readers_spoke: bool


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """The voters, with the largest number of turns that each may have; those that have a confidence; those that speak
    in the last phase, and those of them whose prompt shows `candidates`. `candidates`: somebody speaks before it."""

    turns: Mapping[str, int]
    confident: frozenset[str]
    last: frozenset[str]
    shown_candidates: frozenset[str]
    candidates: bool


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """The prompts. `choices_shown`: a prompt of some agent uses the variable `choices`."""

    choices_shown: bool


def listing(names: Iterable[str], most: int = 4) -> str:
    """Write names for a message: at most `most` of them, quoted."""
    known = [repr(name) for name in names]
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")
