"""Facts about a scenario that are known before it runs. From them, a component finds fields that change nothing.

PhaseFacts      a phase, for its stop rules and controllers
ConditionFacts  the answers so far, for a rule as a condition
LeaveFacts      the speakers of a phase, for its leave rules
GateFacts       the edges that have a gate, for the gate
DecisionFacts   the voters, for the decision
LabelFacts      the voters and iterations, for the label of a training
TaskFacts       the prompts, for the task

A component answers with reasons, each with a remedy: `{"": reason}` for the whole component, `{"patience": reason}` for
a field. An empty mapping means that the component may have an effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Reasons = Mapping[str, str]
"""Reasons why a component ("") or one of its fields changes nothing."""


class Remark(str):
    """A likely mistake in the questions, in words. `below`: keys that lead to its place below the component."""

    below: tuple[str | int, ...]

    def __new__(cls, text: str, below: tuple[str | int, ...] = ()) -> Remark:
        made = super().__new__(cls, text)
        made.below = below
        return made


@dataclass(frozen=True, slots=True)
class PhaseFacts:
    """A phase."""

    rounds: int
    speakers: tuple[str, ...]
    spoken_before: frozenset[str]
    """Speakers that speak in an earlier phase, too."""
    moderated: bool
    least_turns: int
    """Minimum number of turns of a debate when the first round of the phase ends."""
    most_turns: int
    """Maximum number of turns of a debate when the last round of the phase begins."""
    most_tokens: int
    """Maximum number of generated tokens when the last round of the phase begins."""
    only_here: frozenset[str] = frozenset()
    """Voters that speak in no other phase."""
    random: bool = True
    """Whether another draw may give another graph."""
    changed: bool = False
    """For a controller: whether a controller before it may change the graph."""
    redrawn: bool = False
    """For a controller: whether a controller after it draws the graph again."""
    confident: frozenset[str] = frozenset()
    """Speakers whose turns have a confidence."""
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Agents of each group, by its name."""
    linked: bool = True
    """Whether the graph may have an edge among the speakers."""
    weighed: bool = True
    """Whether a prompt of the phase, or the vote, uses the weights of edges."""
    decides: bool = True
    """Whether the society's decision is a single answer."""

    def keeps_edges(self) -> Reasons:
        """Return why a controller that changes or leaves out edges has no effect."""
        if self.redrawn:
            return {"": "has no effect: a controller after it draws the graph anew; put this one last"}
        if not self.linked:
            return {"": "has no effect: the graph has no edge among the speakers; set `topology`, or remove it"}
        return {}


@dataclass(frozen=True, slots=True)
class ConditionFacts:
    """The answers that a condition is evaluated on."""

    agents: tuple[str, ...]
    """Agents that may have answered by then."""
    states: int
    """Maximum number of states that the condition sees: one before a phase or turn, one after each repetition."""
    most_turns: int
    """Maximum number of turns of the debate by then."""
    most_tokens: int
    """Maximum number of generated tokens by then."""
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Agents of each group, by its name."""
    confident: frozenset[str] = frozenset()
    """Agents whose turns have a confidence."""
    turn: bool = False
    """Whether it decides on the turns of an agent."""


@dataclass(frozen=True, slots=True)
class LeaveFacts:
    """The speakers of a phase."""

    turns: int
    """Maximum number of turns of a speaker before the last round of the debate in which it may leave."""
    confident: frozenset[str]
    """Speakers whose turns have a confidence."""


@dataclass(frozen=True, slots=True)
class GateFacts:
    """The edges that have a gate."""

    senders: frozenset[str]
    confident: frozenset[str]
    """Senders whose turns have a confidence."""
    readers_spoke: bool
    """Whether any reader may have spoken before it reads along such an edge."""
    window: int = 1
    """Maximum number of turns that such an edge shows."""


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """The voters."""

    turns: Mapping[str, int]
    """Maximum number of turns of each voter."""
    confident: frozenset[str]
    """Voters whose turns have a confidence."""
    last: frozenset[str]
    """Voters that speak in the last phase."""
    candidates: bool
    """Whether anybody speaks before the last phase."""
    numeric: bool = True
    """Whether answers may be compared as numbers."""
    read: frozenset[str] = frozenset()
    """Voters that other agents may read."""


@dataclass(frozen=True, slots=True)
class LabelFacts:
    """The votes of a training debate."""

    turns: Mapping[str, int]
    """Maximum number of turns of each voter that speaks."""
    iterations: int
    judged: bool = False
    """Whether a judge or unit tests judge the answers of the training."""
    calls: bool = False
    """Whether a voter may call tools."""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """The prompts. `choices_shown`: a prompt of some agent uses the variable `choices`."""

    choices_shown: bool


def listing(names: Iterable[str], most: int = 4) -> str:
    """Return names for a message: at most `most` of them, quoted."""
    known = [repr(name) for name in names]
    rest = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + rest
