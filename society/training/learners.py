"""The adapters that an iteration trains: whose turns they learn from, who speaks with them, and where they start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from society.core.errors import InputError, located
from society.scenario.expand import Society
from society.scenario.members import agents_of
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.store.rows import SHARED


@dataclass(frozen=True)
class Learner:
    """One adapter that each iteration trains."""

    name: str
    agent: str
    """The agent that the adapter belongs to; `SHARED` for all agents of the learner."""
    spec: LearnerSpec
    sources: tuple[str, ...]
    """Agents whose turns are the training data."""
    speakers: tuple[str, ...]
    """Agents that speak with the adapter."""
    agents: tuple[str, ...] = ()
    """All agents of the learner."""

    @property
    def places(self) -> list[tuple[str, str]]:
        """The pairs of phase and agent that speak with the adapter."""
        return [(phase, agent) for phase in self.spec.phases for agent in self.speakers]

    @property
    def folder(self) -> Path:
        """The path of the adapter in a folder of adapters."""
        return Path(self.name) / self.agent.replace(SHARED, "shared")

    def describe(self, iteration: int) -> str:
        """Return which finetuning of an iteration is meant, as the end of a sentence."""
        return f"for the learner {self.name!r}, agent {self.agent!r}, iteration {iteration}"


def learners(society: Society, spec: TrainSpec) -> list[Learner]:
    """Return every adapter that an iteration trains."""
    found: list[Learner] = []
    for name, learner in spec.learners.items():
        spoken = dict.fromkeys(a for p in society.phases if p.name in learner.phases for a in p.speakers)
        agents = agents_of(learner.agents, society.members) or tuple(spoken)
        if learner.adapter == "shared":
            found.append(Learner(name, SHARED, learner, agents, agents, agents))
        else:
            sources = {agent: agents if learner.data == "everyone" else (agent,) for agent in agents}
            found += [Learner(name, agent, learner, sources[agent], (agent,), agents) for agent in agents]
    return found


def backend_of(society: Society, learner: Learner) -> str:
    """Return the name of the backend that trains this learner and speaks with its adapter."""
    phase = next(p for p in society.phases if p.name in learner.spec.phases)
    return phase.agents[learner.speakers[0]].backend


def given_adapter(society: Society, learner: Learner) -> str | None:
    """Return the path of the adapter that a learner's agents begin with, or None if they begin with the base.

    Raises `InputError` if they begin with different ones, since one adapter is trained.
    """
    places = set(learner.places)
    paths = {
        plan.adapter
        for phase in society.phases
        for agent, plan in phase.agents.items()
        if (phase.name, agent) in places
    }
    if len(paths) > 1:
        raise InputError(
            f"The agents of the learner {learner.name!r} begin with different adapters, of which one would be trained.",
            "Give them one `adapter`, or set `start: base`.",
            ("train", "learners", learner.name),
        )
    return next(iter(paths), None)


def check_layers(society: Society, spec: TrainSpec) -> None:
    """Raise `InputError` if a learner's model cannot be trained with the settings, from the adapter it starts with."""
    seen: set[tuple[str, str | None]] = set()
    for learner in learners(society, spec):
        start = given_adapter(society, learner) if spec.start == "previous" else None
        place = backend_of(society, learner), start
        if place not in seen:
            seen.add(place)
            with located("train", "settings"):
                society.scenario.backends[place[0]].check_layers(spec.settings, None if start is None else Path(start))
