"""A collector of problems, with checks of references to agents and other names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from society.core.component import Component
from society.core.problems import Problem, find_near, show
from society.scenario.checks.conditions import all_conditions, each_rule
from society.scenario.members import members, possible_helpers, single_agents, speakers
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, problem_at


class Collector:
    """Collects problems, and the names that a scenario refers to."""

    def __init__(self, scenario: Scenario, root: Node) -> None:
        self.scenario, self.root = scenario, root
        self.known = members(scenario)
        self.problems: list[Problem] = []
        self.offered = (("role", tuple(scenario.roles)), ("backend", tuple(scenario.backends)))
        self.named: set[tuple[str, str]] = set()  # nouns and names that the scenario refers to
        self.unknown: list[tuple[str, str, str, Steps]] = []  # noun, unknown name, most similar name, steps

    def add(self, steps: Steps, message: str, *, key: bool = False, **details: object) -> None:
        self.problems.append(problem_at(self.root, steps, message, key=key, **details))

    def warn(self, steps: Steps, message: str, *, key: bool = False) -> None:
        self.add(steps, message, key=key, level="warning")

    def refer(self, steps: Steps, name: str, noun: str, known: Iterable[str], *, key: bool = False) -> None:
        """Record a reference to a name, and a problem if the name is unknown."""
        names = tuple(known)
        self.named.add((noun, name))
        if name not in names:
            near = find_near(name, names)
            self.unknown.append((noun, name, near, steps))
            self.add(steps, f"there is no {noun} {show(name)}", key=key, value=name, allowed=names, suggestion=near)

    def refer_agent(self, steps: Steps, name: str, *, single: bool = False, key: bool = False) -> None:
        """Record a reference to an agent or a group. With `single`, a group is a problem."""
        if name not in self.known:
            self.refer(steps, name, "agent", self._possible(steps) if single else self.scenario.agents, key=key)
            return
        self.named.add(("agent", name))
        if single and len(self.known[name]) > 1:
            possible = self._possible(steps)
            own = [agent for agent in possible if agent in self.known[name]]
            self.add(steps, f"{show(name)} is a group; name one agent", value=name, allowed=tuple(own or possible))

    def _possible(self, steps: Steps) -> list[str]:
        """Return the agents that a field for one agent can name: speakers for rules, otherwise helpers."""
        if steps[0] == "phases" and steps[2] not in ("stop", "when", "bind"):
            return possible_helpers(self.scenario, int(steps[1]), self.known, may_speak=steps[2] == "summarizer")
        agents = single_agents(self.scenario, self.known)
        alone = steps[0] == "phases" and steps[2] == "stop"
        indices = [int(steps[1])] if alone else range(len(self.scenario.phases))
        speaking = {agent for i in indices for agent in speakers(self.scenario, i, self.known)}
        return [agent for agent in agents if agent in speaking] or list(agents)


def agent_names(scenario: Scenario) -> Iterator[tuple[Steps, str, bool]]:
    """Yield every reference to an agent by a field: the steps, the name, and whether it must be a single agent."""
    yield from _named_by(scenario.decision, ("decision",))
    yield from _named_by(scenario.task.answer, ("task", "answer"))
    if scenario.train is not None and scenario.train.task is not None:
        yield from _named_by(scenario.train.task.answer, ("train", "task", "answer"))
    for i, phase in enumerate(scenario.phases):
        yield from _named_by(phase, ("phases", i))
        for j, controller in enumerate(phase.controllers):
            yield from _named_by(controller, ("phases", i, "controllers", j))
        for j, leave in enumerate(phase.leave):
            yield from _named_by(leave, ("phases", i, "leave", j))
    for steps, conditions in all_conditions(scenario):
        for below, rule in each_rule(conditions):
            yield from _named_by(rule, (*steps, *below))


def _named_by(component: Component, steps: Steps) -> Iterator[tuple[Steps, str, bool]]:
    for field, names, single in component.agent_fields():
        for i, name in enumerate(names):
            yield (*steps, field) if single else (*steps, field, i), name, single
