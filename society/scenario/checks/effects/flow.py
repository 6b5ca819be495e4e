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
from society.scenario.binding import AgentPlan
from society.scenario.checks.effects.prompts import Use, find_use
from society.scenario.checks.graphs import LARGEST
from society.scenario.expand import PhasePlan, Society, expand
from society.scenario.models.phases import EdgeView, PhaseSpec
from society.scenario.models.scenario import Scenario
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
    def among(self) -> bool:
        """Return whether a speaker of the phase reads another one."""
        return not self.outside and self.sender != self.reader

    @property
    def arrives(self) -> bool:
        """Return whether the edge may deliver a message."""
        return self.turns > 0 and self.view.show != "nothing"


@dataclass(frozen=True)
class PhaseFlow:
    """One phase, with the turns before it."""

    plan: PhasePlan
    before: Mapping[str, int]
    """Maximum number of turns of each agent before the phase that others may read, as a speaker or a helper."""
    apart: Mapping[str, int]
    """Maximum number of other turns of each helper before the phase: those about some agents only."""
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

    @cached_property
    def speaking(self) -> frozenset[str]:
        """The speakers of the phase."""
        return frozenset(self.plan.speakers)

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
            self._tie(edge.sender, reader, edge.view, graph.get_edge_data(edge.sender, reader) or {}, edge.same_round)
            for reader, found in edges.items()
            for edge in found
        )

    @cached_property
    def on_edges(self) -> int:
        """Maximum number of turns on edges among the speakers in a round."""
        if not self.spec.on_edges:
            return 0
        graph = self._graph()
        if graph is None:
            edges = len(self.plan.speakers) * (len(self.plan.speakers) - 1)
        else:
            edges = int(graph.subgraph(self.plan.speakers).number_of_edges())
        return edges * (2 * self.spec.exchanges - 1)

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
        outside = sender not in self.speaking
        now = same_round or (self.spec.schedule == "sequential" and self.spec.order == "shuffled")
        here = self.read_helpers.get(sender, 0) if outside else self.plan.rounds - int(not now)
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
        """Maximum number of turns of each helper in this phase, on one edge, without summaries."""
        asked: Counter[str] = Counter()
        if self.on_edges:
            asked[self.spec.on_edges] += self.plan.rounds * self.spec.exchanges
        if self.moderated:
            asked[self.spec.moderator] += self.plan.rounds
        else:
            for controller in self.spec.controllers:
                turns = controller.asks(self.spec.rounds) * self.plan.times
                asked.update(dict.fromkeys(controller.helpers().values(), turns))
        return dict(asked)

    @property
    def read_helpers(self) -> dict[str, int]:
        """Maximum number of turns of each helper in this phase that others may read, and that may be votes."""
        apart = {self.spec.on_edges}.union(
            *(c.helpers().values() for c in self.spec.controllers if c.about_some and not self.moderated)
        )
        return {name: turns for name, turns in self.helpers.items() if name not in apart}

    @property
    def apart_helpers(self) -> dict[str, int]:
        """Maximum number of turns of each other helper in this phase."""
        return {name: turns for name, turns in self.helpers.items() if name not in self.read_helpers}

    @property
    def summaries(self) -> int:
        """Maximum number of summaries per round."""
        return len({tie.reader for tie in self.arriving if tie.view.show == "summary"})

    @property
    def a_round(self) -> int:
        """Maximum number of turns per round, without those of rankers."""
        return (2 if self.moderated else len(self.plan.speakers)) + self.summaries + self.on_edges

    @property
    def controlled(self) -> int:
        """Maximum number of turns that controllers ask for in the rounds of one repetition."""
        return sum(controller.asks(self.spec.rounds) for controller in self.spec.controllers)

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
        speaks = sum(phase.plan.rounds for phase in self.phases if agent in phase.speaking)
        return speaks or sum(phase.read_helpers.get(agent, 0) for phase in self.phases)


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
    apart: Counter[str] = Counter()
    spoke: Counter[str] = Counter()
    found: list[PhaseFlow] = []
    surely: frozenset[str] = frozenset()
    debate = least = tokens = 0
    complete = True  # whether all agents are still in the debate
    for block in society.blocks:
        for i, plan in enumerate(block.phases):
            again = _repeated(block.phases[i + 1 :])
            phase = PhaseFlow(
                plan,
                before=dict(before + again.turns),
                apart=dict(apart + again.apart),
                spoke=dict(spoke + again.spoken),
                surely=surely,
                debate=debate + again.total,
                least=least,
                tokens=tokens + again.tokens,
            )
            found.append(phase)
            complete = complete and not plan.spec.leave and not plan.spec.controllers
            surely |= frozenset(_sure_speakers(plan) if complete else ())
            own = dict.fromkeys(plan.speakers, plan.rounds)
            spoke.update(own)
            before.update(own)
            before.update(phase.read_helpers)
            apart.update(phase.apart_helpers)
            turns = phase.a_round * plan.rounds + phase.controlled * plan.times
            debate += turns
            tokens += turns * phase.most_tokens_a_turn
            least += least_of(phase) if complete and not plan.spec.when else 0
    return Flow(scenario, society, tuple(found))


@dataclass(frozen=True)
class _Repeated:
    """Maximum numbers of turns and tokens in all repetitions but one."""

    turns: Counter[str]
    apart: Counter[str]
    spoken: Counter[str]
    total: int
    tokens: int


def _repeated(phases: Iterable[PhasePlan]) -> _Repeated:
    """Return what phases later in a block add before a phase of the block: all their repetitions but the last."""
    turns: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    spoken: Counter[str] = Counter()
    total = tokens = 0
    for plan in phases:
        phase = PhaseFlow(plan, {}, {}, {}, frozenset(), 0, 0, 0)
        more = plan.times - 1
        spoken.update(dict.fromkeys(plan.speakers, plan.spec.rounds * more))
        turns.update(dict.fromkeys(plan.speakers, plan.spec.rounds * more))
        turns.update({name: count // plan.times * more for name, count in phase.read_helpers.items()})
        apart.update({name: count // plan.times * more for name, count in phase.apart_helpers.items()})
        added = (phase.a_round * plan.spec.rounds + phase.controlled) * more
        total += added
        tokens += added * phase.most_tokens_a_turn
    return _Repeated(+turns, +apart, +spoken, total, tokens)


def _sure_speakers(plan: PhasePlan) -> Iterable[str]:
    """Return the agents that certainly speak in a phase in which nobody is absent."""
    if plan.spec.when or plan.spec.schedule == "moderated":
        return ()
    return (name for name in plan.speakers if not plan.agents[name].when)


def least_of(phase: PhaseFlow) -> int:
    """Return the minimum number of turns in the first round of a phase, without agents that may be skipped."""
    if phase.moderated:
        return 1
    if any(plan.when for plan in phase.plan.agents.values()):
        return 0
    if phase.spec.speak == "heard" or phase.spec.controllers:
        return sum(name not in phase.spoke for name in phase.plan.speakers if not phase.spec.controllers)
    return len(phase.plan.speakers)
