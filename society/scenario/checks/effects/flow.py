"""The turns that may exist before each phase, the edges of its graph, and the turns that a reader may be shown.

Counts are upper bounds: they assume that no rule ends a phase early and that every agent takes all its turns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product
from typing import TYPE_CHECKING

from society.core.errors import InputError
from society.scenario.checks.effects.prompts import Use, find_use
from society.scenario.checks.graphs import LARGEST
from society.scenario.expand import AgentPlan, PhasePlan, Society, expand
from society.scenario.models.scenario import EdgeView, PhaseSpec, Scenario
from society.scenario.reading.tree import Steps

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Tie:
    """An edge of a phase. `turns` is the maximum number of turns of the sender when the reader reads."""

    sender: str
    reader: str
    view: EdgeView
    own: frozenset[str]
    """Fields of the view that the graph sets for this edge."""
    turns: int
    outside: bool
    """Whether the sender is in `reads` of the phase."""

    @property
    def arrives(self) -> bool:
        """Return whether the edge may deliver a message."""
        return self.turns > 0 and self.view.show != "nothing"


@dataclass(frozen=True)
class PhaseFlow:
    """One phase, with the turns before it."""

    plan: PhasePlan
    before: Mapping[str, int]
    """Maximum number of turns of each agent before the phase, as a speaker or a helper."""
    spoke: Mapping[str, int]
    """Maximum number of turns of each agent before the phase, as a speaker."""
    surely: frozenset[str]
    """Agents that have certainly spoken before the phase."""
    debate: int
    """Maximum number of turns of the debate before the phase."""
    least: int
    """Minimum number of turns of the debate before the phase."""
    tokens: int
    """Maximum number of tokens generated before the phase."""

    @property
    def spec(self) -> PhaseSpec:
        return self.plan.spec

    @property
    def index(self) -> int:
        return self.plan.index

    @property
    def moderated(self) -> bool:
        return self.spec.schedule == "moderated"

    @cached_property
    def ties(self) -> tuple[Tie, ...] | None:
        """Every possible edge in the phase. None if the graph is too large or unknown."""
        from society.simulation.reading import plan_round

        graph = self._graph()
        if graph is None:
            return None
        edges = plan_round(self.plan, graph, 1, 0).edges
        return tuple(
            self._tie(edge.sender, reader, edge.view, graph.edges[edge.sender, reader], edge.same_round)
            for reader, found in edges.items()
            for edge in found
        )

    def _graph(self) -> nx.DiGraph[str] | None:
        """Return the graph of the phase, or all possible edges if a controller may add edges."""
        import networkx as nx

        if len(self.plan.speakers) > LARGEST:
            return None
        if all(controller.only_removes for controller in self.spec.controllers) or self.moderated:
            try:
                return self.plan.graph()
            except InputError:
                return None
        if self.spec.schedule == "topological" or self.spec.within is not None:
            return None
        graph: nx.DiGraph[str] = nx.DiGraph(permutations(self.plan.speakers, 2))
        graph.add_nodes_from(self.plan.speakers)
        graph.add_edges_from(product(self.plan.reads, self.plan.speakers))
        return graph

    def _tie(self, sender: str, reader: str, view: EdgeView, data: Mapping[str, object], same_round: bool) -> Tie:
        outside = sender not in self.plan.speakers
        now = same_round or (self.spec.schedule == "sequential" and self.spec.order == "shuffled")
        here = self.helpers.get(sender, 0) if outside else self.spec.rounds - int(not now)
        own = frozenset(data) & frozenset(EdgeView.model_fields)
        return Tie(sender, reader, view, own, self.before.get(sender, 0) + here, outside)

    @property
    def arriving(self) -> tuple[Tie, ...]:
        """Edges that may deliver a message."""
        return tuple(tie for tie in self.ties or () if tie.arrives)

    def use(self, agent: str) -> Use:
        """Return the use of variables by the templates of an agent's role in this phase."""
        return find_use(self.plan.agents[agent].role)

    @property
    def helpers(self) -> dict[str, int]:
        """Maximum number of turns of each helper in this phase, without summaries."""
        asked: Counter[str] = Counter()
        if self.moderated:
            asked[self.spec.moderator] += self.spec.rounds
        else:
            asked.update(name for controller in self.spec.controllers for name in controller.helpers().values())
        return dict(asked)

    @property
    def summaries(self) -> int:
        """Maximum number of summaries per round."""
        return len({tie.reader for tie in self.arriving if tie.view.show == "summary"})

    @property
    def a_round(self) -> int:
        """Maximum number of turns per round, without those of rankers."""
        return (2 if self.moderated else len(self.plan.speakers)) + self.summaries

    @property
    def most_tokens_a_turn(self) -> int:
        """Maximum number of tokens of a reply in the phase."""
        return max((plan.sampling.max_tokens for plan in self.plan.agents.values()), default=0)


@dataclass(frozen=True)
class Flow:
    """A scenario with the flow of each phase, in order."""

    scenario: Scenario
    society: Society
    phases: tuple[PhaseFlow, ...]

    def plans(self, agents: Iterable[str] | None = None) -> list[tuple[PhaseFlow, AgentPlan]]:
        """Return every pair of a phase and an agent that may speak in it, optionally of these agents only."""
        chosen = None if agents is None else frozenset(agents)
        return [
            (phase, plan)
            for phase in self.phases
            for plan in phase.plan.agents.values()
            if chosen is None or plan.name in chosen
        ]

    def spoken(self, agent: str) -> int:
        """Return the maximum number of turns of an agent as a speaker, or as a helper if it never speaks."""
        speaks = sum(phase.spec.rounds for phase in self.phases if agent in phase.plan.speakers)
        return speaks or sum(phase.helpers.get(agent, 0) for phase in self.phases)


def own_views(phase: PhaseFlow) -> Iterator[tuple[Steps, tuple[str, ...], list[Tie]]]:
    """Yield each explicit edge with its own view: its steps in the phase, its fields, and the graph's edges."""
    for where in ("topology", "within"):
        topology = getattr(phase.spec, where)
        for j, edge in enumerate(topology.declared_edges() if topology is not None else ()):
            senders, readers = (phase.plan.members[name] for name in edge[:2])
            own = [tie for tie in phase.ties or () if tie.sender in senders and tie.reader in readers]
            fields = tuple(field for field in (edge[2] if len(edge) == 3 else ()) if own and field in own[0].own)
            if fields:
                yield (where, "edges", j, 2), fields, own


def follow(scenario: Scenario) -> Flow:
    """Return the flow of a scenario whose names are valid."""
    society = expand(scenario)
    before: Counter[str] = Counter()
    spoke: Counter[str] = Counter()
    found: list[PhaseFlow] = []
    surely: frozenset[str] = frozenset()
    debate = least = tokens = 0
    for plan in society.phases:
        phase = PhaseFlow(plan, dict(before), dict(spoke), surely, debate, least, tokens)
        found.append(phase)
        surely |= frozenset(() if phase.moderated or plan.spec.controllers else plan.speakers)
        own = dict.fromkeys(plan.speakers, plan.spec.rounds)
        spoke.update(own)
        before.update(own)
        before.update(phase.helpers)
        turns = phase.a_round * plan.spec.rounds + len(phase.spec.controllers)
        debate += turns
        tokens += turns * phase.most_tokens_a_turn
        least += least_of(phase)
    return Flow(scenario, society, tuple(found))


def least_of(phase: PhaseFlow) -> int:
    """Return the minimum number of turns in the first round of a phase, without agents that may be skipped."""
    if phase.moderated:
        return 1
    if phase.spec.speak == "heard" or phase.spec.controllers:
        return sum(name not in phase.spoke for name in phase.plan.speakers if not phase.spec.controllers)
    return len(phase.plan.speakers)
