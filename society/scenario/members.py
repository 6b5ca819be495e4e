"""Which agents the names in a scenario stand for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from society.scenario.models.scenario import Scenario

Members = Mapping[str, tuple[str, ...]]
"""From the name of an agent or group to the names of its agents."""


def members(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Every name a scenario may use: each group, each agent of a group, each single agent.

    An agent with a count of 1 keeps its name; a group NAME of n has the agents NAME-1 .. NAME-n.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, spec in scenario.agents.items():
        agents = (name,) if spec.count == 1 else tuple(f"{name}-{i}" for i in range(1, spec.count + 1))
        found[name] = agents
        found.update({agent: (agent,) for agent in agents if spec.count > 1})
    return found


def agents_of(names: Iterable[str], known: Members) -> tuple[str, ...]:
    """The agents behind these names, each once, in the order given. Unknown names are passed over."""
    return tuple(dict.fromkeys(agent for name in names for agent in known.get(name, ())))


def helpers(scenario: Scenario) -> set[str]:
    """Return the names of agents that speak only when asked, in any phase."""
    return {name for phase in scenario.phases for name in phase.helpers}


def speakers(scenario: Scenario, phase_index: int, known: Members) -> tuple[str, ...]:
    """Who speaks in a phase: those it names, else all agents that nothing else calls upon."""
    phase = scenario.phases[phase_index]
    if phase.agents:
        return agents_of(phase.agents, known)
    idle = set(agents_of([*helpers(scenario), *phase.reads], known))
    return tuple(agent for agent in agents_of(scenario.agents, known) if agent not in idle)
