"""Expansion of a scenario to the plans that the engine runs: groups become agents, phases get speakers and a graph.

`binding` merges the settings of each agent in a phase, `drawing` draws the graphs.

Society      all agents, phases and voters
PhasePlan    one phase: its speakers, the plans of its agents, its graph
Block        phases that are repeated together, or one phase
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Literal

from society.components.decisions.base import DecisionRule
from society.components.faults import faults_of
from society.components.stops import StopRule
from society.components.tools.base import Tool
from society.core.types import TemplateArgs, Thinking
from society.scenario.binding import AgentPlan, bind, bind_all
from society.scenario.drawing import Graphs, draw
from society.scenario.members import agents_of, audiences, judges, members, speakers
from society.scenario.models.phases import Conditions, PhaseSpec
from society.scenario.models.scenario import Scenario
from topologies.base import Occasion, Topology
from topologies.edges import limit_edges

if TYPE_CHECKING:
    import networkx as nx

CHOICE = "choice"
"""Second part of the name of a turn in which a speaker chooses whom it hears: `NAME/choice`."""
NOTE: Literal["note"] = "note"
"""Second part of the name of a turn in which an agent writes a memory after a debate: `NAME/note`."""
REFLECTION: Literal["reflection"] = "reflection"
"""Second part of the name of a turn in which an agent reflects on its memories: `NAME/reflection`."""


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
    def people(self) -> dict[str, str]:
        """The names of the people who play agents, by agent."""
        plans = [plan for phase in self.phases for plan in phase.agents.values()]
        found = {plan.name: self.scenario.backends[plan.backend].asked_person for plan in plans}
        return {name: person for name, person in found.items() if person}

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
            for controller in phase.spec.controllers:  # most ask about turns that are done
                asked = -1 if controller.asks_before else len(self.agents)
                order |= dict.fromkeys(controller.helpers().values(), asked)
            order |= dict.fromkeys(judges(self.scenario), len(self.agents) + 1)  # they see the finished debate
            orders[phase.name] = order
        return orders

    def order(self, phase: str, agent: str) -> int:
        """Return the place of an agent's turn in a round: moderator, choices, summaries first, judges and notes last.

        Raises `KeyError` for a phase or an agent that the scenario does not have.
        """
        name, _, about = agent.partition("/")
        if about == CHOICE:
            return -1
        if is_memory(agent):
            return len(self.agents) + (2 if about.startswith(NOTE) else 3)
        return self._orders[phase][name]

    def stages(self) -> list[tuple[str, int]]:
        """Return the name and the number of each possible round, in the order of the debate."""
        return [
            (phase.name, repetition * phase.spec.rounds + number)
            for block in self.blocks
            for repetition in range(block.times)
            for phase in block.phases
            for number in range(1, phase.spec.rounds + 1)
        ]

    @cached_property
    def ballot_phase(self) -> str:
        """Name of the phase in which voters write ballots, which the decision rule reads; "" without ballots."""
        own = type(self.scenario.decision).read_answer is not DecisionRule.read_answer
        return self.phases[-1].name if own else ""

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

    @cached_property
    def speaking(self) -> tuple[str, ...]:
        """Agents that speak in some phase, in the order of `agents`."""
        found = {name for phase in self.phases for name in phase.speakers}
        return tuple(name for name in self.agents if name in found)

    @cached_property
    def rememberers(self) -> tuple[AgentPlan, ...]:
        """Plans of agents with a memory beyond a debate: one for each different memory."""
        found = {id(plan.memory): plan for plan in self.plans.values() if plan.memory.lasts}
        return tuple(found.values())

    @property
    def recall_measures(self) -> list[Literal["words", "meaning"]]:
        """Measures of relevance by which agents recall memories, each once."""
        recalls = (plan.memory.recall for plan in self.rememberers)
        return list(dict.fromkeys(recall.by for recall in recalls if recall.relevance))

    @cached_property
    def in_sequence(self) -> bool:
        """True if questions build on earlier ones, so that they are debated in order."""
        controllers = (controller for phase in self.phases for controller in phase.spec.controllers)
        return bool(self.rememberers) or any(controller.reads_earlier() for controller in controllers)

    def bind_as(self, phase: PhasePlan, name: str, role: str) -> AgentPlan:
        """Return the plan of an agent of a phase in another role, with the settings of that phase."""
        key = (phase.name, name, role)
        if key not in self._bound:
            self._bound[key] = bind(self.scenario, name, phase.agents[name].group, phase.spec, role)
        return self._bound[key]

    @cached_property
    def _bound(self) -> dict[tuple[str, str, str], AgentPlan]:
        return {}

    @property
    def tools(self) -> list[Tool]:
        """Every tool of an agent, each once."""
        boxes = (plan.toolbox for plan in self.plans.values() if plan.toolbox is not None)
        found: list[Tool] = []
        found += (tool for box in boxes for tool in box.tools.values() if tool not in found)
        return found

    @property
    def used_backends(self) -> list[str]:
        """Names of the backends of all turns."""
        return list(dict.fromkeys(plan.backend for plan in self.plans.values()))

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


def is_memory(agent: str) -> bool:
    """Return whether a turn of this name wrote a memory, or rated one: `NAME/note`, `NAME/reflection/importance`."""
    return agent.partition("/")[2].removesuffix("/importance") in (NOTE, REFLECTION)


def ends_more(rule: StopRule | tuple[StopRule, ...]) -> bool:
    """Return whether an entry of `stop:` ends more than its phase."""
    parts = rule if isinstance(rule, tuple) else (rule,)
    return any(part.ends != "phase" for part in parts)


def _phase(scenario: Scenario, index: int, known: Mapping[str, tuple[str, ...]], graphs: Graphs) -> PhasePlan:
    spec = scenario.phases[index]
    speaking = speakers(scenario, index, known)
    involved = dict.fromkeys([*speaking, *agents_of([*spec.helpers, *judges(scenario)], known)])
    owners = {agent: group for group in scenario.agents for agent in known[group]}
    bound = dict(bind_all(scenario, involved, owners, spec))
    times = next((block.times for block in scenario.repeat if spec.name in block.phases), 1)
    outside = agents_of(spec.reads, known)
    return PhasePlan(spec.name, index, spec, speaking, outside, bound, known, scenario.seed, graphs, times)
