"""The part of a large society whose prompts a check renders: some agents of each kind, and those that they read.

An agent's kind in a phase is what its prompt may depend on: its group, role, form of persona and values, the number of
agents that it reads, and whether it is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from society.scenario.binding import AgentPlan
from society.scenario.expand import PhasePlan, Society

if TYPE_CHECKING:
    import networkx as nx

LARGEST = 100
"""Maximum number of agents of a society that is checked as a whole."""
KINDS = 100
"""Maximum number of kinds of agents in a phase."""
SENDERS = 50
"""Maximum number of agents that an agent of the part reads."""
FIRST = 8
"""Number of first speakers of a phase that are part of it in any case: controllers pair agents, and answers differ."""
EXACT = 8
"""Number of senders below which another number makes another kind. Above it, each power of two does."""


def part_of(society: Society, question: str) -> Society:
    """Return the society of some agents of each kind and of those that they read; a small society as it is.

    Only the former have their prompts. The others may lack senders, so they show the question alone and read nobody.
    `question` is the id of the question that is debated.
    """
    if len(society.agents) <= LARGEST:
        return society
    graphs = [phase.graph(question=question) for phase in society.phases]
    shown = dict.fromkeys(
        name for phase, graph in zip(society.phases, graphs, strict=True) for name in _one_of_each(phase, graph)
    )
    kept = set(shown).union(*(phase.speakers[:FIRST] for phase in society.phases))
    kept.update(sender for graph in graphs for name in shown if name in graph for sender in _senders(graph, name))
    phases = tuple(_restrict(*pair, shown, kept) for pair in zip(society.phases, graphs, strict=True))
    voters = tuple(name for name in society.voters if name in kept) or phases[-1].speakers
    return replace(society, phases=phases, voters=voters)


def _one_of_each(phase: PhasePlan, graph: nx.DiGraph[str]) -> Iterable[str]:
    """Return the first speaker of each kind in a phase."""
    first: dict[tuple[Any, ...], str] = {}
    for name in phase.speakers:
        first.setdefault(_kind(phase.agents[name], len(graph.pred[name]), len(graph.succ[name])), name)
        if len(first) == KINDS:
            break
    return first.values()


def _kind(plan: AgentPlan, senders: int, readers: int) -> tuple[Any, ...]:
    """Return what tells apart the prompts of agents in a phase."""
    degree = senders if senders < EXACT else EXACT + senders.bit_length()
    persona = _forms(plan.persona) if isinstance(plan.persona, dict) else bool(plan.persona)
    return plan.group, plan.role_name, plan.backend, persona, _forms(plan.vars), degree, readers > 0


def _forms(values: Any) -> tuple[tuple[str, str, bool], ...]:
    """Return the name and the type of each value, and whether it is empty."""
    return tuple((name, type(value).__name__, value in (None, "", ())) for name, value in values.items())


def _senders(graph: nx.DiGraph[str], reader: str) -> list[str]:
    """Return the first senders of a reader, in the order of the graph's edges."""
    return list(graph.pred[reader])[:SENDERS]


@dataclass(frozen=True)
class _PartPlan(PhasePlan):
    """A phase of the part, with its part of the graph."""

    part: nx.DiGraph[str] | None = None

    def graph(self, seed: int | None = None, question: str = "", sample: int = 0) -> nx.DiGraph[str]:
        """Return the part of the graph. Each draw is the same: in another one, an agent might lack senders."""
        assert self.part is not None
        return self.part.copy()


def _restrict(phase: PhasePlan, graph: nx.DiGraph[str], shown: Collection[str], kept: Collection[str]) -> PhasePlan:
    """Return the part of a phase: its speakers among those kept, its helpers, and the edges to agents of `shown`."""
    import networkx as nx

    part: nx.DiGraph[str] = nx.DiGraph()
    part.add_nodes_from(name for name in graph if name in kept)
    for reader in (name for name in shown if name in graph):
        part.add_edges_from((sender, reader, graph.edges[sender, reader]) for sender in _senders(graph, reader))
    whole = frozenset(phase.speakers)
    agents = {
        name: _quiet(plan) if name in whole and name not in shown else plan
        for name, plan in phase.agents.items()
        if name in kept or name not in whole
    }
    given = {field.name: getattr(phase, field.name) for field in fields(PhasePlan)}
    speakers, reads = ([name for name in names if name in kept] for names in (phase.speakers, phase.reads))
    given |= {"speakers": tuple(speakers), "reads": tuple(reads), "agents": agents}
    return _PartPlan(**given, part=part)


def _quiet(plan: AgentPlan) -> AgentPlan:
    """Return the plan of an agent whose prompt shows the question alone."""
    return replace(plan, role=plan.role.model_copy(update={"system": None, "prompt": "{{ question }}"}))
