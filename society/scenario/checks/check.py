"""Checks of a valid scenario: unknown names, contradictory settings, missing abilities of backends, unused parts.

All problems are collected, each with its place, with those of `templates`, `graphs`, `learners` and `quorums`.
"""

from __future__ import annotations

from functools import cached_property

from backends.base import Ability
from society.components.registry import kinds
from society.core.problems import Problem, show
from society.scenario.checks.collector import Collector, agent_names
from society.scenario.checks.effects.memory import memory_levels
from society.scenario.checks.graphs import check_graphs
from society.scenario.checks.learners import check_training
from society.scenario.checks.quorums import check_quorums
from society.scenario.checks.references import check_references
from society.scenario.checks.templates import check_templates
from society.scenario.checks.values import check_values
from society.scenario.members import agents_of, helpers, judges, possible_helpers, speakers
from society.scenario.models.phases import Binding, PhaseSpec
from society.scenario.models.scenario import AgentSpec, Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, find_place, write_path


def check(scenario: Scenario, root: Node) -> list[Problem]:
    """Return all problems of a valid scenario. `root` is its tree."""
    checker = _Checker(scenario, root)
    checker.check_names()
    checker.check_agents()
    checker.check_repeats()
    checker.check_metrics()
    for i, phase in enumerate(scenario.phases):
        checker.check_phase(i, phase)
    checker.check_unused()
    templates = check_templates(scenario, root)
    named = [] if checker.unknown else [*check_training(scenario, root), *check_quorums(scenario, root)]
    values = [] if checker.unknown or templates else check_values(scenario, root)
    return [*checker.problems, *templates, *values, *check_graphs(scenario, root), *named]


def check_names(scenario: Scenario, root: Node) -> list[Problem]:
    """Return the errors that prevent expansion: unknown or duplicate names, and phases without speakers."""
    checker = _Checker(scenario, root)
    checker.check_names()
    checker.check_agents()
    checker.check_repeats()
    for i, phase in enumerate(scenario.phases):
        checker.check_silence(i, phase)
        checker.check_phase_name(i, phase)
    learners = scenario.train.learners.values() if scenario.train else ()
    for name in (phase for learner in learners for phase in learner.phases):
        checker.refer(("train", "learners"), name, "phase", [phase.name for phase in scenario.phases])
    found = [*checker.problems, *check_references(scenario, root)]
    return [problem for problem in found if problem.level == "error"]


class _Checker(Collector):
    """The checks of a scenario, in their order. `load` sorts the problems by place."""

    def check_names(self) -> None:
        """Check references to agents and groups in phases and decision, and to roles and backends."""
        for steps, name, single in agent_names(self.scenario):
            self.refer_agent(steps, name, single=single)
        for name, spec in self.scenario.agents.items():
            self._check_binding(("agents", name), spec.role, spec.backend)
        for memory_steps, memory in memory_levels(self.scenario):
            for component, steps in ((memory, memory_steps), (memory.reflect, (*memory_steps, "reflect"))):
                for field, role in component.role_fields() if component is not None else ():
                    self.refer((*steps, field), role, "role", self.scenario.roles)
        for i, phase in enumerate(self.scenario.phases):
            for j, controller in enumerate(phase.controllers):
                for field, role in controller.role_fields():
                    self.refer(("phases", i, "controllers", j, field), role, "role", self.scenario.roles)
            for name, bound in phase.bind.items():
                self.refer_agent(("phases", i, "bind", name), name, key=True)
                self._check_binding(("phases", i, "bind", name), bound.role, bound.backend)

    def _check_binding(self, steps: Steps, role: str | None, backend: str | None) -> None:
        if role:
            self.refer((*steps, "role"), role, "role", self.scenario.roles)
        if backend:
            self.refer((*steps, "backend"), backend, "backend", self.scenario.backends)

    def check_repeats(self) -> None:
        """Check that each block of `repeat` names consecutive phases, and that no phase is in two blocks."""
        order = [phase.name for phase in self.scenario.phases]
        taken: set[str] = set()
        for i, block in enumerate(self.scenario.repeat):
            for j, name in enumerate(block.phases):
                self.refer(("repeat", i, "phases", j), name, "phase", order)
                if name in taken:
                    self.add(("repeat", i, "phases", j), f"the phase {show(name)} is already repeated; remove it here")
            taken.update(block.phases)
            if not set(block.phases) <= set(order):
                continue
            first = order.index(block.phases[0])
            expected = tuple(order[first : first + len(block.phases)])
            if block.phases != expected:
                follow = ", ".join(order)
                message = f"should be consecutive phases in their order; the phases are {follow}"
                self.add(("repeat", i, "phases"), message, value=list(block.phases))

    def check_agents(self) -> None:
        """Check for duplicate names, and for agents without a role or a backend."""
        for noun, offered in self.offered:
            for name, spec in self.scenario.agents.items():
                if len(offered) > 1 and not getattr(spec, noun) and not self._always_bound(name, noun):
                    self.add(
                        ("agents", name), f"needs `{noun}`, as the scenario has several", key=True, allowed=offered
                    )
        owners: dict[str, str] = {}
        for name, spec in self.scenario.agents.items():
            own = {name, *(f"{name}-{i}" for i in range(1, spec.count + 1) if spec.count > 1)}
            if clash := next((member for member in sorted(own) if member in owners), None):
                self.add(
                    ("agents", name),
                    f"{show(clash)} is also an agent of {owners[clash]!r}; rename one",
                    key=True,
                )
            owners.update(dict.fromkeys(own, name))

    def check_metrics(self) -> None:
        """Check that no metric is listed twice: the numbers of both have the same name."""
        kinds = [getattr(metric, "kind", "") for metric in self.scenario.metrics or ()]
        for i, kind in enumerate(kinds):
            if kind in kinds[:i]:
                self.add(("metrics", i), f"the metric {show(kind)} is listed twice; remove one", value=kind)

    def _always_bound(self, group: str, noun: str) -> bool:
        agents = set(self.known.get(group, ()))
        phases = [p for i, p in enumerate(self.scenario.phases) if agents & self.involved[i]]
        return bool(phases) and all(group in p.bind and getattr(p.bind[group], noun) for p in phases)

    @cached_property
    def judges(self) -> tuple[str, ...]:
        """Names of agents that judge answers after a debate."""
        return judges(self.scenario)

    @cached_property
    def involved(self) -> list[set[str]]:
        """Agents that may speak in each phase, helpers included."""
        return [
            {*speakers(self.scenario, i, self.known), *agents_of([*phase.helpers, *self.judges], self.known)}
            for i, phase in enumerate(self.scenario.phases)
        ]

    def check_phase(self, i: int, phase: PhaseSpec) -> None:
        """Check one phase: its name, speakers, helpers, and the abilities of the backends."""
        self.check_phase_name(i, phase)
        speaking = speakers(self.scenario, i, self.known)
        if not phase.agents:
            self.check_silence(i, phase)
        self._check_speakers(i, phase, set(speaking))
        if phase.schedule == "moderated" and not phase.moderator:
            free = tuple(possible_helpers(self.scenario, i, self.known))
            more = "" if free else "; add an agent for it to the scenario's `agents`"
            self.add(("phases", i, "schedule"), f"a moderated phase needs a `moderator`{more}", allowed=free)
        if phase.schedule != "moderated" and phase.moderator:
            self.warn(("phases", i, "moderator"), "is not used: the schedule is not moderated; remove it")
        self._check_helpers(i, phase, set(speaking))
        for name in phase.bind:
            if name in self.known and not self.involved[i].intersection(self.known[name]):
                self.warn(
                    ("phases", i, "bind", name), "has no effect: it does not speak in this phase; remove it", key=True
                )
        self._check_abilities(i, phase)

    def check_phase_name(self, i: int, phase: PhaseSpec) -> None:
        """Check that no phase before this one has its name."""
        if phase.name in [other.name for other in self.scenario.phases[:i]]:
            self.add(("phases", i, "name"), f"another phase is called {show(phase.name)}; rename one")

    def check_silence(self, i: int, phase: PhaseSpec) -> None:
        """Check that the phase has speakers. A group that is named as one helper is reported as such."""
        groups = [name for name in helpers(self.scenario) if len(self.known.get(name, ())) > 1]
        if speakers(self.scenario, i, self.known) or (groups and not phase.agents):
            return
        if phase.agents:
            self.add(("phases", i, "agents"), "has no speakers; name agents of the scenario in `agents`")
            return
        less = "remove a name from `reads`, or " if phase.reads else ""
        message = "has no speakers: `reads` and other tasks (summarizer, moderator, ranker) leave no agent"
        steps: Steps = ("phases", i, "reads") if phase.reads else ("phases", i)
        self.add(steps, f"{message}; {less}add another agent to the scenario's `agents`")

    def _check_helpers(self, i: int, phase: PhaseSpec, speaking: set[str]) -> None:
        """Check that no moderator, no agent on edges and no helper of a controller also speaks in the phase."""
        named: list[tuple[Steps, str]] = [(("moderator",), phase.moderator)] if phase.schedule == "moderated" else []
        named += [((field,), name) for field in ("on_edges", "summarizer") if (name := getattr(phase, field))]
        for j, controller in enumerate(phase.controllers):
            named += [(("controllers", j, field), name) for field, name in controller.helpers().items()]
        for name in self.judges:
            if speaking.intersection(self.known.get(name, ())):
                why = f"{show(name)} judges answers in `task.answer`, so it cannot speak; remove it here"
                self.add(("phases", i, "agents") if phase.agents else ("phases", i), why)
        for below, name in named:
            if speaking.intersection(self.known.get(name, ())):
                # A summarizer that speaks was accepted once: stored runs have it.
                report = self.warn if below == ("summarizer",) else self.add
                message = f"{show(name)} also speaks in this phase; remove it from `agents`, or use another agent"
                report(("phases", i, *below), message)

    def _check_speakers(self, i: int, phase: PhaseSpec, speaking: set[str]) -> None:
        seen: set[str] = set()
        for j, name in enumerate(phase.agents):
            if again := [agent for agent in self.known.get(name, ()) if agent in seen]:
                self.add(("phases", i, "agents", j), f"{show(again[0])} is listed twice; remove one")
            seen.update(self.known.get(name, ()))
        for j, name in enumerate(phase.reads):
            if speaking.intersection(self.known.get(name, ())):
                self.add(
                    ("phases", i, "reads", j),
                    f"{show(name)} speaks in this phase, so its readers follow from the topology; remove it here",
                )

    def _check_abilities(self, i: int, phase: PhaseSpec) -> None:
        """Check that each agent's backend has the abilities that its role and the phase need."""
        for group, spec in self.scenario.agents.items():
            own = (name for name in (*phase.bind, phase.moderator) if name in self.known[group])
            for name in dict.fromkeys((group, *own)):
                if not self.involved[i].intersection(self.known[name]):
                    continue
                layers: list[AgentSpec | Binding] = [
                    *(phase.bind[key] for key in dict.fromkeys((name, group)) if key in phase.bind),
                    spec,
                ]
                role = next((layer.role for layer in layers if layer.role), next(iter(self.scenario.roles)))
                backend = next((layer.backend for layer in layers if layer.backend), next(iter(self.scenario.backends)))
                if role in self.scenario.roles and self.scenario.roles[role].choices:
                    self._need(group, backend, "choices", "its role has `choices`", ("roles", role, "choices"))
                if phase.schedule == "moderated" and phase.moderator in (group, name):
                    why = f"it moderates the phase {phase.name!r}"
                    self._need(group, backend, "choices", why, ("phases", i, "moderator"))
                if any(layer.adapter for layer in layers):
                    bound = (key for key in (name, group) if key in phase.bind and phase.bind[key].adapter)
                    above: Steps = next((("phases", i, "bind", key) for key in bound), ("agents", group))
                    self._need(group, backend, "adapters", "it has an `adapter`", (*above, "adapter"))

    def _need(self, agent: str, backend: str, ability: Ability, why: str, cause: Steps) -> None:
        """Add a problem if a backend lacks an ability, at the agent's `backend`, or at the `cause` if it names none."""
        config = self.scenario.backends.get(backend)
        if config is None or ability in config.abilities:
            return
        able = tuple(kind for kind, cls in kinds("backend").items() if ability in getattr(cls, "abilities", ()))
        self.add(
            ("agents", agent, "backend") if self.scenario.agents[agent].backend else cause,
            f"the agent {agent!r} needs {ability} ({why}), which its backend {backend!r} "
            "does not support; use a backend of another kind",
            value=backend,
            allowed=able,
        )

    def check_unused(self) -> None:
        """Warn about unused roles, backends and agents."""
        active = set().union(*self.involved)
        bound = [binding for phase in self.scenario.phases for binding in phase.bind.values()]
        wrong = {noun for noun, *_ in self.unknown}  # one of the unused may be meant
        for noun, offered in self.offered:
            used = {getattr(user, noun) for user in (*self.scenario.agents.values(), *bound)}
            for name in offered if len(offered) > 1 and noun not in wrong else ():
                if name not in used and (noun, name) not in self.named:
                    self.warn((f"{noun}s", name), "is not used by any agent; remove it", key=True)
        for noun, given, near, steps in self.unknown:
            if near and (noun, near) not in self.named:
                place = str(find_place(self.root, steps)) or write_path(self.root, steps)
                self.warn((f"{noun}s", near), f"is not used; {place} has {show(given)} instead", key=True)
        for name in self.scenario.agents:
            if not active.intersection(self.known[name]):
                self.warn(("agents", name), "never speaks; add it to a phase, or remove it", key=True)
