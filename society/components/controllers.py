"""How a phase's graph changes from round to round: resampled, thinned at random, pruned by a ranker."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from society.answers.message_numbers import read_numbers
from society.components.facts import PhaseFacts, Reasons
from society.core.component import AgentName, Component
from society.core.types import RoundState, Turn

if TYPE_CHECKING:
    import networkx as nx

CONTROLLERS = {
    "resample": "society.components.controllers:Resample",
    "drop": "society.components.controllers:Drop",
    "prune": "society.components.controllers:Prune",
}
"""The built-in graph controllers by kind."""


@dataclass(frozen=True, slots=True)
class ControlContext:
    """What a controller has to work with before a round: the rounds so far (None before the first), the round
    about to start, the phase's graph as it was last drawn (`declared`: without what controllers left out), a seed of
    its own, a function that draws the phase's topology anew with a seed, and one that asks an agent for a turn about
    the latest messages (`ask`)."""

    state: RoundState | None
    round: int
    declared: nx.DiGraph[str]
    seed: int
    redraw: Callable[[int], nx.DiGraph[str]]
    ask: Callable[[str], Awaitable[Turn]]


class Controller(Component, ABC):
    """An entry of a phase's `controllers:`; each is applied in turn before every round."""

    reads_confidence: ClassVar[bool] = False
    """Whether the rule uses the confidences of turns or votes."""

    redraws: ClassVar[bool] = False
    """Whether the returned graph ignores the edges of the given graph and keeps only its nodes."""
    only_removes: ClassVar[bool] = False
    """Whether every edge of the returned graph is an edge of the phase's own graph."""

    @abstractmethod
    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        """The graph of the round about to start, from the one so far. A node left out no longer speaks."""

    def helpers(self) -> dict[str, str]:
        """Return the agents that `next_graph` asks for turns, by the field that names each.

        A helper speaks only when it is asked. By default, every field of type `AgentName` names a helper.
        """
        return {found.field: found.names[0] for found in self.agent_fields() if found.single}

    def idle(self, facts: PhaseFacts) -> Reasons:
        """Return why the controller can change nothing in this phase."""
        return {}


class Resample(Controller):
    """Draws the phase's random topology anew for every round; agents that were pruned stay silent."""

    redraws: ClassVar[bool] = True
    kind: Literal["resample"] = "resample"

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        drawn = context.redraw(context.seed)
        drawn.remove_nodes_from([name for name in drawn if name not in graph])
        return drawn

    def idle(self, facts: PhaseFacts) -> Reasons:
        if facts.random or facts.changed:
            return {}
        return {"": "has no effect: every draw of this topology is the same graph; take a random one, or remove it"}


class Drop(Controller):
    """Leaves out each edge of the phase's graph with probability `p`, anew for every round."""

    only_removes: ClassVar[bool] = True
    kind: Literal["drop"] = "drop"
    p: float = Field(ge=0, le=1)
    """Probability that an edge is left out of a round."""

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        draw = random.Random(context.seed)
        thinned = graph.copy()
        thinned.add_edges_from(e for e in context.declared.edges(data=True) if e[0] in graph and e[1] in graph)
        thinned.remove_edges_from([edge for edge in list(thinned.edges) if draw.random() < self.p])
        return thinned

    def idle(self, facts: PhaseFacts) -> Reasons:
        if self.p == 0:
            return {"p": "0 leaves out nothing; raise it, or take the controller out"}
        if facts.redrawn:
            return {"": "has no effect: a controller after it draws the graph anew; put this one last"}
        return {}


class Prune(Controller):
    """After round `after`, a ranker reads the round and names the messages to keep; the other agents fall silent.

    The ranker is shown the round's messages numbered from 1 and answers with numbers, best first (DyLAN). Where
    its answer names too few, agents are kept in declared order; where it names none, nobody is pruned.
    """

    only_removes: ClassVar[bool] = True
    kind: Literal["prune"] = "prune"
    ranker: AgentName
    """The agent that ranks; it does not speak otherwise."""
    keep: int = Field(ge=1)
    """How many speakers go on."""
    after: int = Field(1, ge=1)
    """The round after which to rank."""

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        if context.state is None or context.round != self.after + 1:
            return graph
        speakers = list(context.state.latest)
        shown = [name for name in speakers if context.state.latest[name].status == "ok"]
        turn = await context.ask(self.ranker)
        ranked = [shown[i] for i in read_numbers(turn.text, len(shown))]
        if not ranked:
            return graph
        kept = set([*ranked, *(s for s in speakers if s not in ranked)][: self.keep])
        pruned = graph.copy()
        pruned.remove_nodes_from([speaker for speaker in speakers if speaker not in kept])
        return pruned

    def idle(self, facts: PhaseFacts) -> Reasons:
        if self.after >= facts.rounds:
            why = f"there is no round after round {self.after} in a phase of {facts.rounds}"
            return {"after": f"nobody is pruned: {why}; lower it, or raise `rounds`"}
        if self.keep >= len(facts.speakers):
            return {"keep": f"nobody is pruned: {len(facts.speakers)} speak in this phase; lower it"}
        return {}
