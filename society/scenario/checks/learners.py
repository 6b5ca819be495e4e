"""Checks of the `train:` block: the agents and phases of learners, and the abilities of their backends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from society.components.registry import kinds
from society.core.errors import InputError
from society.core.problems import Problem, find_near, show
from society.scenario.binding import AgentPlan
from society.scenario.expand import expand
from society.scenario.members import agents_of
from society.scenario.models.scenario import Scenario
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, problem_at


def check_training(scenario: Scenario, root: Node) -> list[Problem]:
    """Return all problems of the `train:` block of a scenario with otherwise valid names."""
    if scenario.train is None:
        return []
    problems = [*_check_names(scenario, scenario.train), *_check_questions(scenario, scenario.train)]
    if not problems:
        problems = [*_check_speakers(scenario, scenario.train)]
    return [problem_at(root, steps, message, **details) for steps, message, details in problems]


Found = Iterator[tuple[Steps, str, dict[str, Any]]]


def _check_names(scenario: Scenario, spec: TrainSpec) -> Found:
    phases = tuple(phase.name for phase in scenario.phases)
    known = tuple(scenario.agents)
    for name, learner in spec.learners.items():
        for i, phase in enumerate(learner.phases):
            if phase not in phases:
                details: dict[str, object] = {"value": phase, "allowed": phases, "suggestion": find_near(phase, phases)}
                yield ("train", "learners", name, "phases", i), f"there is no phase {show(phase)}", details
        for i, agent in enumerate(learner.agents):
            if not any(agent == group or agent.startswith(f"{group}-") for group in known):
                details = {"value": agent, "allowed": known, "suggestion": find_near(agent, known)}
                yield ("train", "learners", name, "agents", i), f"there is no agent {show(agent)}", details


def _check_questions(scenario: Scenario, spec: TrainSpec) -> Found:
    if spec.task is None and scenario.task.limit is None:
        message = "needs `limit`, so that the training questions can follow the evaluation questions"
        yield ("task",), message, {"key": True}


def _check_speakers(scenario: Scenario, spec: TrainSpec) -> Found:
    """Yield agents with the adapters of two learners, and backends that lack a needed ability."""
    taken: dict[tuple[str, str], str] = {}
    for name, learner in spec.learners.items():
        steps: Steps = ("train", "learners", name)
        plans = list(_plans(scenario, learner))
        for phase, plan in plans:
            if taken.setdefault((phase, plan.name), name) != name:
                other = taken[phase, plan.name]
                message = f"{show(plan.name)} already uses the adapter of {other!r} in the phase {phase!r}; remove one"
                yield (*steps, "agents" if learner.agents else "phases"), message, {}
                return
        if len({plan.backend for _, plan in plans}) > 1 and learner.adapter == "shared":
            yield (
                (*steps, "adapter"),
                "agents with different backends cannot share an adapter; set `adapter: agent`",
                {},
            )
        for backend in dict.fromkeys(plan.backend for _, plan in plans):
            yield from _check_backend(scenario, spec, backend, name)
            yield from _check_objective(scenario, spec, learner, backend, steps)


def _check_backend(scenario: Scenario, spec: TrainSpec, name: str, learner: str) -> Found:
    """Yield what a backend lacks for training. Of several backends, the learner has agents of the wrong one."""
    config = scenario.backends[name]
    field = "agents" if spec.learners[learner].agents else "phases"
    several = len(scenario.backends) > 1
    place: Steps = ("train", "learners", learner, field) if several else ("backends", name, "kind")
    for ability in ("trainer", "adapters"):
        if ability not in config.abilities:
            able = tuple(kind for kind, cls in kinds("backend").items() if ability in getattr(cls, "abilities", ()))
            message = (
                f"`train.learners.{learner}` needs {ability}, which the backend {name!r} does not support; "
                "use another `backend` for these agents"
            )
            yield place, message, {"value": name, "allowed": able}
            return
    try:
        config.check_training(spec.settings)
    except InputError as error:
        yield ("train", "settings", *error.below), f"{error.cause} {error.remedy}", {}
    if spec.parallel is not None:
        try:
            config.check_parallel(spec.parallel, spec.settings)
        except InputError as error:
            yield ("train", "parallel", *error.below), f"{error.cause} {error.remedy}", {}


def _check_objective(scenario: Scenario, spec: TrainSpec, learner: LearnerSpec, name: str, steps: Steps) -> Found:
    """Yield an objective over replies that a backend, or a sharded training, does not have."""
    if not learner.objective.contrast:
        return
    kind, at = str(getattr(learner.objective, "kind", "")), (*steps, "objective")
    if not scenario.backends[name].learns_preferences:
        able = tuple(k for k, cls in kinds("backend").items() if getattr(cls, "learns_preferences", False))
        yield at, f"the backend {name!r} trains with `sft` only; remove it", {"value": kind, "allowed": able}
    elif spec.parallel is not None:
        yield at, "a sharded training has no objective but `sft`; remove it, or `train.parallel`", {"value": kind}


def _plans(scenario: Scenario, learner: LearnerSpec) -> Iterator[tuple[str, AgentPlan]]:
    """Yield the phases and agents that use the adapters of this learner."""
    society = expand(scenario)
    for phase in society.phases:
        if phase.name in learner.phases:
            for agent in agents_of(learner.agents, society.members) or phase.speakers:
                if agent in phase.agents:
                    yield phase.name, phase.agents[agent]
