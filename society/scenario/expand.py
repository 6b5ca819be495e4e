"""Expansion of a scenario to the plans that the engine runs: groups become agents, and levels of settings are merged.

Society      all agents, phases and voters
AgentPlan    one agent in one phase: role, backend, adapter, persona, sampling, thinking
PhasePlan    one phase: its speakers, the plans of its agents, its graph
Block        phases that are repeated together, or one phase
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from society.components.faults import faults_of
from society.components.graphs import Restricted
from society.components.stops import StopRule
from society.core.results import require_graph
from society.core.types import Sampling, TemplateArgs, Thinking
from society.scenario.members import agents_of, audiences, judges, members, speakers
from society.scenario.models.scenario import (
    AgentSpec,
    Binding,
    Conditions,
    Persona,
    PhaseSpec,
    RoleSpec,
    Scenario,
    ThinkingSpec,
)
from topologies.base import Drawing, Occasion, Topology
from topologies.edges import limit_edges

if TYPE_CHECKING:
    import networkx as nx


class Fields(dict[str, Any]):
    """A persona with fields. As text, it is its field `persona` if it has one, otherwise all fields."""

    def __str__(self) -> str:
        text = self.get("persona")
        if isinstance(text, str):
            return text
        return ", ".join(f"{name}: {_listed(value)}" for name, value in self.items() if value not in (None, ""))


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class AgentPlan:
    """The resolved settings of one agent in one phase."""

    name: str
    group: str
    role_name: str
    role: RoleSpec
    backend: str
    adapter: str | None
    persona: str | Fields
    sampling: Sampling
    thinking: Thinking
    template_args: TemplateArgs
    shows_thoughts: bool
    """Whether readers of the agent's full text see its thoughts, too."""
    when: Conditions = ()
    vars: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graphs:
    """The named graphs of a scenario, each with the agents over which it is drawn."""

    topologies: Mapping[str, Topology]
    agents: Mapping[str, tuple[str, ...]]

    def resolve(self, topology: Topology, phase: str = "", question: str = "", sample: int = 0) -> Topology:
        """Return the topology to draw in a phase: names are replaced by graphs, and seeds by those of the question."""

        def find(name: str) -> Topology:
            return Restricted(of=self.topologies[name].resolve(drawing), own=self.agents[name])

        drawing = Drawing(find, phase, question, sample)
        return topology.resolve(drawing)


@dataclass(frozen=True)
class PhasePlan:
    """One phase with resolved names. `agents` has all agents that may speak in the phase, helpers included."""

    name: str
    index: int
    spec: PhaseSpec
    speakers: tuple[str, ...]
    reads: tuple[str, ...]
    agents: Mapping[str, AgentPlan]
    members: Mapping[str, tuple[str, ...]]
    seed: int
    """Seed of the scenario, from which the seeds of the topologies derive."""
    graphs: Graphs
    """The named graphs of the scenario."""
    times: int = 1
    """Maximum number of times that the phase takes place."""

    @cached_property
    def in_rounds(self) -> bool:
        """True if each round waits for the end of the round before it."""
        spec = self.spec
        return bool(spec.stop or spec.leave or spec.controllers or any(plan.when for plan in self.agents.values()))

    @cached_property
    def rounds(self) -> int:
        """Maximum number of rounds in a debate, over all repetitions."""
        return self.spec.rounds * self.times

    @cached_property
    def topologies(self) -> Mapping[str, Topology]:
        """The topology and, if given, the one of `within`, by field. Names are replaced by the graphs of the run."""
        given = {"topology": self.spec.topology, "within": self.spec.within}
        return {field: self.graphs.resolve(found, self.name) for field, found in given.items() if found is not None}

    @cached_property
    def family(self) -> str:
        """Kind of the topology; of a named one, the kind behind the name."""
        return str(getattr(self.topologies["topology"], "kind", ""))

    @cached_property
    def occasions(self) -> frozenset[Occasion]:
        """Occasions on which the graph is drawn again within a phase: for each question, or each sample."""
        drawn = (occasion for found in self.topologies.values() for occasion in found.occasions())
        return frozenset(drawn) - {"phase"}

    def graph(self, seed: int | None = None, question: str = "", sample: int = 0) -> nx.DiGraph[str]:
        """Return the graph of the phase: the topology over its speakers, with edges from `reads` to all speakers.

        Edges of `within` have the attribute `within=True`. A random topology is drawn once per run, so equal topologies
        over the same number of speakers have the same graph; `question` and `sample` matter only where it is drawn for
        them. `seed` overrides the seed of the scenario.
        """
        seed = self.seed if seed is None else seed
        topology, within = (
            given and self.graphs.resolve(given, self.name, question, sample)
            for given in (self.spec.topology, self.spec.within)
        )
        assert topology is not None
        limit_edges(len(self.reads) * len(self.speakers), len(self.members))
        graph = self._draw(topology, seed)
        graph.add_nodes_from(self.speakers)
        graph.add_edges_from((outsider, speaker) for outsider in self.reads for speaker in self.speakers)
        if within is not None:
            inner = self._draw(within, seed)
            graph.add_edges_from((u, v, {**data, "within": True}) for u, v, data in inner.edges(data=True))
        return graph

    def _draw(self, topology: Topology, seed: int) -> nx.DiGraph[str]:
        return draw(topology, self.speakers, self.members, topology.graph_seed(seed), f"in phase {self.name!r}")


def draw(
    topology: Topology, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int, place: str = ""
) -> nx.DiGraph[str]:
    """Return the graph of a topology over these agents.

    Raises `ComponentError` if its code fails or returns no directed graph over them.
    """
    with faults_of(topology, "build", place):
        return require_graph(topology.graph(agents, groups, seed), agents)


def is_random(topology: Topology, phase: PhasePlan) -> bool:
    """Return whether the graph of a topology over the speakers depends on the seed.

    Raises `InputError` if there is no such graph, and `ComponentError` if the topology's code fails.
    """
    with faults_of(topology, "build", f"in phase {phase.name!r}"):
        return phase.graphs.resolve(topology, phase.name).is_random(phase.speakers, phase.members)


@dataclass(frozen=True)
class Block:
    """Consecutive phases that are repeated together at most `times` times, or one phase that takes place once."""

    phases: tuple[PhasePlan, ...]
    times: int = 1
    until: Conditions = ()


@dataclass(frozen=True)
class Society:
    """A scenario with resolved names and settings."""

    scenario: Scenario
    members: Mapping[str, tuple[str, ...]]
    phases: tuple[PhasePlan, ...]
    voters: tuple[str, ...]
    """Agents whose answers count in a debate in which every phase takes place that is sure to."""

    @cached_property
    def may_skip(self) -> bool:
        """True if a debate may leave out a phase: by `when`, or because a rule ends its block or the debate."""
        return any(phase.spec.when or any(ends_more(rule) for rule in phase.spec.stop) for phase in self.phases)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The phases in blocks, in order."""
        repeated = {spec.phases[0]: spec for spec in self.scenario.repeat}
        found: list[Block] = []
        phases = iter(self.phases)
        for phase in phases:
            spec = repeated.get(phase.name)
            if spec is None:
                found.append(Block((phase,)))
            else:
                rest = islice(phases, len(spec.phases) - 1)
                found.append(Block((phase, *rest), spec.times, spec.until))
        return tuple(found)

    @cached_property
    def _places(self) -> dict[str, tuple[int, int, int]]:
        """Index of the block of each phase, index in the block, and number of rounds."""
        return {
            phase.name: (i, j, phase.spec.rounds)
            for i, block in enumerate(self.blocks)
            for j, phase in enumerate(block.phases)
        }

    def place(self, phase: str, number: int) -> tuple[int, int, int, int]:
        """Return the place of a round in the order of the debate: block, repetition, phase of the block, round.

        Raises `KeyError` for a phase that the scenario does not have.
        """
        block, index, rounds = self._places[phase]
        return block, (number - 1) // rounds, index, number

    @cached_property
    def _orders(self) -> dict[str, dict[str, int]]:
        """Place of each agent among the turns of a round, by phase."""
        orders = {}
        for phase in self.phases:
            order = {name: i for i, name in enumerate(self.agents)}
            order |= dict.fromkeys((phase.spec.moderator, phase.spec.summarizer, phase.spec.on_edges), -1)
            for controller in phase.spec.controllers:  # they ask about turns that are done
                order |= dict.fromkeys(controller.helpers().values(), len(self.agents))
            order |= dict.fromkeys(judges(self.scenario), len(self.agents) + 1)  # they see the finished debate
            orders[phase.name] = order
        return orders

    def order(self, phase: str, agent: str) -> int:
        """Return the place of an agent's turn in a round: moderator and summaries come first, judges last.

        Raises `KeyError` for a phase or an agent that the scenario does not have.
        """
        return self._orders[phase][agent.partition("/")[0]]

    def stages(self) -> list[tuple[str, int]]:
        """Return the name and the number of each possible round, in the order of the debate."""
        return [
            (phase.name, repetition * phase.spec.rounds + number)
            for block in self.blocks
            for repetition in range(block.times)
            for phase in block.phases
            for number in range(1, phase.spec.rounds + 1)
        ]

    def last_phase(self, took_place: Container[str]) -> PhasePlan:
        """Return the last phase of a debate in which these phases took place."""
        if not self.may_skip:
            return self.phases[-1]
        return next((phase for phase in reversed(self.phases) if phase.name in took_place), self.phases[-1])

    @cached_property
    def agents(self) -> dict[str, AgentPlan]:
        """Plan of each agent by name, from the first phase in which it may speak."""
        found: dict[str, AgentPlan] = {}
        for phase in self.phases:
            for name, plan in phase.agents.items():
                found.setdefault(name, plan)
        return found

    @cached_property
    def plans(self) -> dict[tuple[str, str], AgentPlan]:
        """Plan of each agent in each phase, by the names of the phase and the agent."""
        return {(phase.name, name): plan for phase in self.phases for name, plan in phase.agents.items()}

    @property
    def thinkers(self) -> list[AgentPlan]:
        """One agent for each backend and each way to think that its agents set, with each length of a reply."""
        found: dict[tuple[str, Thinking, TemplateArgs, int], AgentPlan] = {}
        for plan in self.plans.values():
            if plan.thinking != Thinking() or plan.template_args:
                found.setdefault((plan.backend, plan.thinking, plan.template_args, plan.sampling.max_tokens), plan)
        return list(found.values())


def expand(scenario: Scenario) -> Society:
    """Return the society of a checked scenario."""
    known = members(scenario)
    graphs = Graphs(scenario.topologies, audiences(scenario, known))
    phases = tuple(_phase(scenario, i, known, graphs) for i in range(len(scenario.phases)))
    sure = [phase for phase in phases if not phase.spec.when] or phases
    voters = agents_of(scenario.decision.electorate(), known) or sure[-1].speakers
    return Society(scenario, known, phases, voters)


def ends_more(rule: StopRule | tuple[StopRule, ...]) -> bool:
    """Return whether an entry of `stop:` ends more than its phase."""
    parts = rule if isinstance(rule, tuple) else (rule,)
    return any(part.ends != "phase" for part in parts)


def _phase(scenario: Scenario, index: int, known: Mapping[str, tuple[str, ...]], graphs: Graphs) -> PhasePlan:
    spec = scenario.phases[index]
    speaking = speakers(scenario, index, known)
    involved = dict.fromkeys([*speaking, *agents_of([*spec.helpers, *judges(scenario)], known)])
    owners = {agent: group for group in scenario.agents for agent in known[group]}
    bound = dict(_bind_all(scenario, involved, owners, spec))
    times = next((block.times for block in scenario.repeat if spec.name in block.phases), 1)
    outside = agents_of(spec.reads, known)
    return PhasePlan(spec.name, index, spec, speaking, outside, bound, known, scenario.seed, graphs, times)


def _bind_all(
    scenario: Scenario, names: Iterable[str], owners: Mapping[str, str], phase: PhaseSpec
) -> Iterator[tuple[str, AgentPlan]]:
    """Yield the plan of each agent in a phase by its name. Members of a group without own bindings share it."""
    shared: dict[str, AgentPlan] = {}
    for name in names:
        group = owners[name]
        if name in phase.bind:
            yield name, _bind(scenario, name, group, phase)
            continue
        if group not in shared:
            shared[group] = _bind(scenario, name, group, phase)
        plan, spec = shared[group], scenario.agents[group]
        persona = plan.persona
        if isinstance(spec.persona, tuple) and (group not in phase.bind or phase.bind[group].persona is None):
            persona = _as_fields(_persona(spec, name, group) or "")
        yield name, plan if plan.name == name else replace(plan, name=name, persona=persona)


def plan_as(scenario: Scenario, plan: AgentPlan, phase: PhasePlan, role: str) -> AgentPlan:
    """Return the plan of an agent that speaks in another role for once."""
    return _bind(scenario, plan.name, plan.group, phase.spec, role)


def _bind(scenario: Scenario, name: str, group: str, phase: PhaseSpec, role_name: str = "") -> AgentPlan:
    """Return the plan of an agent in a phase. Its own binding overrides that of its group."""
    spec = scenario.agents[group]
    layers = [phase.bind[key] for key in dict.fromkeys((name, group)) if key in phase.bind]
    role_name = role_name or _first((b.role for b in layers), spec.role) or next(iter(scenario.roles))
    role = scenario.roles[role_name]
    sampling = Sampling()
    for level in (scenario.sampling, role.sampling, spec.sampling, *(b.sampling for b in reversed(layers))):
        sampling = level.over(sampling)
    thinking = (scenario.thinking, role.thinking, spec.thinking, *(b.thinking for b in reversed(layers)))
    adapter = _first((b.adapter for b in layers), spec.adapter)
    return AgentPlan(
        name=name,
        group=group,
        role_name=role_name,
        role=role,
        backend=_first((b.backend for b in layers), spec.backend) or next(iter(scenario.backends)),
        adapter=str(adapter) if adapter else None,
        persona=_as_fields(_first((b.persona for b in layers), _persona(spec, name, group)) or ""),
        sampling=sampling,
        when=next((b.when for b in layers if b.when), ()),
        vars=_merge_vars(scenario, role, spec, phase, *reversed(layers)),
        **_merge_thinking(thinking),
    )


def _merge_thinking(levels: Sequence[ThinkingSpec]) -> dict[str, Any]:
    """Return the fields of an `AgentPlan` on thinking. Of these levels, the last one is the strongest."""
    thinking = Thinking()
    args: TemplateArgs = ()
    for level in levels:
        thinking, args = level.over(thinking), level.args_over(args)
    shown = _first((level.show for level in reversed(levels)), False)
    return {"thinking": thinking, "template_args": args, "shows_thoughts": bool(shown)}


def _merge_vars(*levels: Scenario | RoleSpec | AgentSpec | PhaseSpec | Binding) -> dict[str, Any]:
    """Return the values for templates. Each level overrides those before it."""
    return {name: value for level in levels for name, value in level.vars.items()}


T = TypeVar("T")


def _first(values: Iterable[T | None], default: T | None) -> T | None:
    return next((value for value in values if value is not None), default)


def _as_fields(persona: Persona) -> str | Fields:
    return persona if isinstance(persona, str) else Fields(persona)


def _persona(spec: AgentSpec, name: str, group: str) -> Persona | None:
    if not isinstance(spec.persona, tuple):
        return spec.persona
    position = int(name.removeprefix(f"{group}-")) - 1 if name != group else 0
    return spec.persona[position % len(spec.persona)]
