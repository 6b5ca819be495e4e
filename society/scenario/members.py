"""The agents that the names in a scenario refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from society.scenario.models.scenario import Scenario
from topologies.base import Topology, each_part

Members = Mapping[str, tuple[str, ...]]
"""Names of the agents of each agent or group, by its name."""


def members(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Return the agents behind each name that a scenario may use: groups, agents of groups, and single agents.

    An agent with a count of 1 keeps its name. A group NAME of n agents has the agents NAME-1 .. NAME-n.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, spec in scenario.agents.items():
        agents = (name,) if spec.count == 1 else tuple(f"{name}-{i}" for i in range(1, spec.count + 1))
        found[name] = agents
        found.update({agent: (agent,) for agent in agents if spec.count > 1})
    return found


def agents_of(names: Iterable[str], known: Members) -> tuple[str, ...]:
    """Return the agents behind these names, each once, in the given order. Unknown names are ignored."""
    return tuple(dict.fromkeys(agent for name in names for agent in known.get(name, ())))


def helpers(scenario: Scenario) -> set[str]:
    """Return the names of agents with another task than speaking: summarizers, moderators, rankers, judges."""
    return {name for phase in scenario.phases for name in phase.helpers}.union(judges(scenario))


def judges(scenario: Scenario) -> tuple[str, ...]:
    """Return the names of agents that judge answers after a debate. They belong to every phase, as any may be last."""
    train = scenario.train
    tasks = [scenario.task, train.task] if train is not None and train.task is not None else [scenario.task]
    return tuple(dict.fromkeys(name for task in tasks for name in task.answer.helpers()))


def single_agents(scenario: Scenario, known: Members) -> tuple[str, ...]:
    """Return the names of all agents, without those of groups."""
    return agents_of(scenario.agents, known)


def possible_helpers(scenario: Scenario, phase_index: int, known: Members, *, may_speak: bool = False) -> list[str]:
    """Return the agents that can be a helper of a phase: every phase keeps a speaker, and its explicit edges.

    An agent in the `agents` of the phase can be one only if `may_speak`.
    """
    taken = () if may_speak else agents_of(scenario.phases[phase_index].agents, known)
    agents = single_agents(scenario, known)
    asked = set(agents_of((name for name in helpers(scenario) if len(known.get(name, ())) == 1), known))
    alone = set(taken)
    for phase in scenario.phases:
        drawn = [topology for topology in (phase.topology, phase.within) if topology and not phase.agents]
        alone.update(agents_of((name for t in drawn for edge in t.declared_edges() for name in edge[:2]), known))
        left = [name for name in agents if name not in asked.union(agents_of(phase.reads, known))]
        if not phase.agents and len(left) == 1:
            alone.add(left[0])
    return [name for name in agents if name not in alone]


def speakers(scenario: Scenario, phase_index: int, known: Members) -> tuple[str, ...]:
    """Return the speakers of a phase: its `agents`, or all agents without another task."""
    phase = scenario.phases[phase_index]
    if phase.agents:
        return agents_of(phase.agents, known)
    idle = set(agents_of([*helpers(scenario), *phase.reads], known))
    return tuple(agent for agent in agents_of(scenario.agents, known) if agent not in idle)


def references(topology: Topology) -> tuple[str, ...]:
    """Return the names in `topologies` that a topology stands for or combines, each once."""
    return tuple(dict.fromkeys(name for part in each_part(topology) if (name := part.reference())))


def audiences(scenario: Scenario, known: Members) -> dict[str, tuple[str, ...]]:
    """Return the agents over which each named graph is drawn, in the order of `agents`.

    They speak in a phase that names the graph, or that names a graph made of it.
    """
    found: dict[str, set[str]] = {name: set() for name in scenario.topologies}
    for i, phase in enumerate(scenario.phases):
        used = [name for drawn in (phase.topology, phase.within) if drawn for name in references(drawn)]
        speaking = speakers(scenario, i, known) if used else ()
        for name in used:  # names of names are added on the way
            found.get(name, set()).update(speaking)
            inner = references(scenario.topologies[name]) if name in scenario.topologies else ()
            used += [more for more in inner if more not in used]
    return {
        name: tuple(agent for agent in single_agents(scenario, known) if agent in own) for name, own in found.items()
    }
