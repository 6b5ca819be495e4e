"""Follows who can have said what before whom: the edges of each phase, and how many turns a reader can be shown.

All counts are upper bounds: as if no rule ended a phase early and every agent spoke whenever it may.
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
    """An edge as the engine reads it. `turns`: how many turns of the sender there can be when the reader reads."""

    sender: str
    reader: str
    view: EdgeView
    own: frozenset[str]
    """Fields of the view that the graph itself gives to this edge."""
    turns: int
    outside: bool
    """Whether the sender is one of the phase's `reads`."""

    @property
    def arrives(self) -> bool:
        """Return whether a message can ever arrive along it."""
        return self.turns > 0 and self.view.show != "nothing"


@dataclass(frozen=True)
class PhaseFlow:
    """One phase, and what was said before it."""

    plan: PhasePlan
    before: Mapping[str, int]
    """Most turns that each agent can have had before the phase, as a speaker or a helper."""
    spoke: Mapping[str, int]
    """The same as a speaker alone."""
    surely: frozenset[str]
    """Those who have spoken before the phase for sure."""
    debate: int
    """Most turns that the debate can have had before the phase."""
    least: int
    """Fewest turns that the debate can have had before the phase."""
    tokens: int
    """Most tokens that can have been generated before the phase."""

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
        """Return every edge that a reader may have in the phase; None where the graph is too large, or not known."""
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
        """Return the phase's graph; every possible edge where a controller may draw others."""
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
        here = self.helpers.get(sender, 0) if outside else self.spec.rounds - (0 if now else 1)
        own = frozenset(data) & frozenset(EdgeView.model_fields)
        return Tie(sender, reader, view, own, self.before.get(sender, 0) + here, outside)

    @property
    def arriving(self) -> tuple[Tie, ...]:
        """Return the edges along which a message can arrive."""
        return tuple(tie for tie in self.ties or () if tie.arrives)

    def use(self, agent: str) -> Use:
        """Return what the templates of an agent's role in this phase use."""
        return find_use(self.plan.agents[agent].role)

    @property
    def helpers(self) -> dict[str, int]:
        """Return those that only help in this phase, and how often each can be asked. Summaries are kept apart."""
        asked: Counter[str] = Counter()
        if self.moderated:
            asked[self.spec.moderator] += self.spec.rounds
        else:
            asked.update(name for controller in self.spec.controllers for name in controller.helpers().values())
        return dict(asked)

    @property
    def summaries(self) -> int:
        """Return how many summaries can be made in a round."""
        return len({tie.reader for tie in self.arriving if tie.view.show == "summary"})

    @property
    def a_round(self) -> int:
        """Return the largest number of turns of a round, rankers' aside."""
        return (2 if self.moderated else len(self.plan.speakers)) + self.summaries

    @property
    def most_tokens_a_turn(self) -> int:
        """Return the largest number of tokens that one reply of the phase may have."""
        return max((plan.sampling.max_tokens for plan in self.plan.agents.values()), default=0)


@dataclass(frozen=True)
class Flow:
    """A scenario, and each of its phases in order."""

    scenario: Scenario
    society: Society
    phases: tuple[PhaseFlow, ...]

    def plans(self, agents: Iterable[str] | None = None) -> list[tuple[PhaseFlow, AgentPlan]]:
        """Return every agent in every phase in which it may speak; of these agents if they are given."""
        chosen = None if agents is None else frozenset(agents)
        return [
            (phase, plan)
            for phase in self.phases
            for plan in phase.plan.agents.values()
            if chosen is None or plan.name in chosen
        ]

    def spoken(self, agent: str) -> int:
        """Return the largest number of turns that an agent can have as a speaker; as a helper if it never speaks."""
        speaks = sum(phase.spec.rounds for phase in self.phases if agent in phase.plan.speakers)
        return speaks or sum(phase.helpers.get(agent, 0) for phase in self.phases)


def own_views(phase: PhaseFlow) -> Iterator[tuple[Steps, tuple[str, ...], list[Tie]]]:
    """Yield each edge of the scenario with a view of its own: where it stands in the phase, its fields, and the edges
    of the graph that have them."""
    for where in ("topology", "within"):
        topology = getattr(phase.spec, where)
        for j, edge in enumerate(topology.declared_edges() if topology is not None else ()):
            senders, readers = (phase.plan.members[name] for name in edge[:2])
            own = [tie for tie in phase.ties or () if tie.sender in senders and tie.reader in readers]
            fields = tuple(field for field in (edge[2] if len(edge) == 3 else ()) if own and field in own[0].own)
            if fields:
                yield (where, "edges", j, 2), fields, own


def follow(scenario: Scenario) -> Flow:
    """Follow a scenario whose names are right through its phases."""
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
    """Return the smallest number of turns in a phase's first round: those that may rest do."""
    if phase.moderated:
        return 1
    if phase.spec.speak == "heard" or phase.spec.controllers:
        return sum(name not in phase.spoke for name in phase.plan.speakers if not phase.spec.controllers)
    return len(phase.plan.speakers)
