"""The scenario language: what a YAML file may say, with every default.

    Scenario        the whole file
    RoleSpec        what an agent is told: system message, prompt template, memory
    AgentSpec       an agent, or a group of `count` alike
    PhaseSpec       a stretch of rounds: who speaks, in which order, who reads whom
    EdgeView        what a reader is shown along an edge
    Binding         what an agent does otherwise in one phase
    SamplingSpec    how tokens are drawn; each level overrides the one above

These are what people write; `society.scenario.expand` turns them into what the engine runs.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backends.base import BackendConfig
from society.components.controllers import Controller
from society.components.decisions.base import DecisionRule
from society.components.decisions.counting import Majority
from society.components.gates import Gate
from society.components.registry import Registered
from society.components.stops import StopRule
from society.core.component import AgentName, AgentNames, Component
from society.core.paths import ReadablePath
from society.core.types import Sampling
from society.executors.base import ExecutorConfig
from society.executors.local import Local
from society.scenario.models.training import TrainSpec
from society.tasks.base import Task
from topologies.base import Topology

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
"""Letters, digits, - and _, a letter first."""
AnyBackend = Annotated[BackendConfig, Registered("backend")]
AnyTopology = Annotated[Topology, Registered("topology")]
AnyTask = Annotated[Task, Registered("task")]
AnyDecision = Annotated[DecisionRule, Registered("decision")]
AnyStop = Annotated[StopRule, Registered("stop")]
AnyGate = Annotated[Gate, Registered("gate")]
AnyController = Annotated[Controller, Registered("controller")]
AnyExecutor = Annotated[ExecutorConfig, Registered("executor")]


MOST_PLACES = 300_000
"""Maximum number of agents times the number of phases."""


class SamplingSpec(Component):
    """How tokens are drawn. What is left out comes from the level above: scenario, role, agent, phase."""

    temperature: float | None = Field(None, ge=0, le=10)
    """0 is greedy."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Only the likeliest tokens that together have this probability; 1 is off."""
    top_k: int | None = Field(None, ge=0)
    """0 is off."""
    min_p: float | None = Field(None, ge=0, lt=1)
    """Only tokens at least this likely relative to the likeliest; 0 is off."""
    repeat_penalty: float | None = Field(None, gt=0, le=10)
    """Above 1, tokens said lately are less likely; 1 is off."""
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    """Longest reply."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    """Texts that end a reply; they are not part of it."""

    def over(self, below: Sampling) -> Sampling:
        """This level's settings on top of `below`."""
        from dataclasses import replace

        return replace(below, **{name: value for name, value in self if value is not None})


class RoleSpec(Component):
    """What an agent of this role is told. Templates are Jinja2; see docs/scenarios.md for their variables."""

    system: str | None = None
    """Template of the system message."""
    prompt: str
    """Template of what the agent is asked each time it speaks."""
    memory: int | None = Field(None, ge=0)
    """How many of its own earlier turns an agent keeps in its chat; by default all."""
    confidence: Literal["none", "stated", "logprob"] = "none"
    """Where a turn's confidence comes from: stated in the reply ("confidence: 80%"), or the geometric mean of its
    tokens' probabilities."""
    choices: tuple[str, ...] = ()
    """If given, a reply is exactly one of these texts."""
    sampling: SamplingSpec = SamplingSpec()


class AgentSpec(Component):
    """An agent, or with `count` a group of agents alike, named `NAME-1`, `NAME-2`, ..."""

    count: int = Field(1, ge=1, le=100_000)
    """How many agents alike."""
    role: str = ""
    """A role of the scenario; may be left out where there is only one."""
    backend: str = ""
    """A backend of the scenario; may be left out where there is only one."""
    adapter: ReadablePath | None = None
    """A trained adapter to speak with."""
    persona: str | tuple[str, ...] | None = None
    """What the templates show as `persona`; of a list, each agent of the group takes the next."""
    sampling: SamplingSpec = SamplingSpec()


class Binding(Component):
    """What an agent, or a group, does otherwise in one phase."""

    role: str | None = None
    backend: str | None = None
    adapter: ReadablePath | None = None
    persona: str | None = None
    sampling: SamplingSpec = SamplingSpec()


class EdgeView(Component):
    """What a reader is shown of a sender. Edges of a graph may carry these fields and override the phase's."""

    show: Literal["full", "answer", "summary", "nothing"] = "full"
    """The whole text, the parsed answer alone, a summary by the phase's summarizer, or nothing."""
    window: int = Field(1, ge=1)
    """How many of the sender's latest turns."""
    anonymous: bool = False
    """The sender is shown as "Agent 1", "Agent 2", ... in reading order."""
    gate: tuple[AnyGate, ...] = ()
    """Every one of them must let a message through."""


class PhaseSpec(Component):
    """A stretch of rounds over one graph."""

    name: Name
    """By which `--set phases.NAME...` and results know the phase."""
    agents: AgentNames = ()
    """Who speaks: agents or groups, in this order. By default all that no other setting calls upon."""
    reads: AgentNames = ()
    """Agents or groups that do not speak here and whose latest turns every speaker reads."""
    topology: AnyTopology = Field({"kind": "none"}, validate_default=True)
    """Who reads whom among the speakers."""
    within: AnyTopology | None = None
    """Further edges, acyclic, along which a round's earlier turns are read in the same round."""
    rounds: int = Field(1, ge=1, le=1000)
    """How many; a stop rule may end the phase earlier."""
    schedule: Literal["simultaneous", "sequential", "topological", "moderated"] = "simultaneous"
    """simultaneous: all read the previous round. sequential: each reads what was said before it, in order.
    topological: along a directed acyclic graph. moderated: the `moderator` chooses one speaker a round."""
    order: Literal["declared", "reversed", "shuffled"] = "declared"
    """The order of speakers (anew each round if shuffled), and of what a reader is shown."""
    speak: Literal["always", "heard"] = "always"
    """heard: an agent that has spoken before and has nothing to read stays silent, and its last answer stands."""
    moderator: AgentName = ""
    """Who chooses the next speaker of a moderated phase."""
    edges: EdgeView = EdgeView()
    """What every reader is shown, where an edge says nothing else."""
    cap: int | None = Field(None, ge=1)
    """At most so many messages a turn, drawn at random from those that arrive."""
    summarizer: AgentName = ""
    """Who summarises for readers along edges that show a summary; it does not speak otherwise."""
    bind: dict[str, Binding] = Field(default_factory=dict)
    """Per agent or group: another role, backend, adapter, persona or sampling in this phase."""
    stop: tuple[AnyStop | tuple[AnyStop, ...], ...] = ()
    """Rules that end the phase early: any of them; a list in the list must hold altogether."""
    controllers: tuple[AnyController, ...] = ()
    """What changes the graph from round to round."""

    @property
    def helpers(self) -> tuple[str, ...]:
        """Agents that speak only when asked: summarizer, moderator and the helpers of controllers."""
        asked = (name for controller in self.controllers for name in controller.helpers().values())
        return tuple(name for name in (self.summarizer, self.moderator, *asked) if name)


class Scenario(Component):
    """A society, what it is asked and how it decides."""

    version: Literal[1]
    """Of the scenario language."""
    name: Name
    """Of the scenario; a run's folder is called so."""
    source: str = ""
    """Where the method comes from: authors, year, arXiv number."""
    description: str = ""
    """One or two lines on who reads what."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Every random draw derives from this and from the identity of what is drawn."""
    task: AnyTask
    """Where the questions come from, and how answers are found and compared."""
    backends: dict[Name, AnyBackend] = Field(min_length=1)
    """What generates text, by names of your own; agents may have different ones."""
    roles: dict[Name, RoleSpec] = Field(min_length=1)
    """What agents are told, by names of your own."""
    agents: dict[Name, AgentSpec] = Field(min_length=1, json_schema_extra={"ordered": True})
    """Who there is, by names of your own; the order is that of speaking and reading."""
    phases: tuple[PhaseSpec, ...] = Field(min_length=1, max_length=1000)
    """What happens, one after the other; an agent remembers and reads across phases."""
    decision: AnyDecision = Majority()
    """What the society makes of the agents' last answers."""
    sampling: SamplingSpec = SamplingSpec()
    """How tokens are drawn, where a role, an agent or a phase says nothing else."""
    train: TrainSpec | None = None
    """Finetuning, if wanted."""
    samples: int = Field(1, ge=1, le=10_000)
    """Independent debates of each question."""
    concurrency: int = Field(128, ge=1, json_schema_extra={"tuning": True})
    """Debates under way at once."""
    executor: AnyExecutor = Field(Local(), json_schema_extra={"tuning": True})
    """Where the models run: in this process, or on a Ray cluster."""
    timeout: float | None = Field(None, gt=0, json_schema_extra={"tuning": True})
    """Seconds that a backend may take for one reply, its wait for a place in a batch included; then it is asked again,
    and in the end the turn has failed. By default as long as it likes."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        """Refuse societies that are too large to be told apart: each agent is looked at in each phase."""
        agents = sum(spec.count for spec in self.agents.values())
        if agents * len(self.phases) > MOST_PLACES:
            raise ValueError(
                f"{agents:,} agents in {len(self.phases):,} phases are more than {MOST_PLACES:,}: "
                "lower `count`, or list fewer agents or phases"
            )
        return self
