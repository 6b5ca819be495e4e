"""The models of a scenario file: every key that YAML may contain, with its default.

    Scenario        the whole file
    RoleSpec        system message, prompt template and memory of an agent
    AgentSpec       one agent, or a group of `count` identical agents
    PhaseSpec       a sequence of rounds: its speakers, their order, and the topology
    EdgeView        the part of a message that its reader is shown
    Binding         the settings of one agent in one phase
    RepeatSpec      consecutive phases that are repeated
    SamplingSpec    decoding settings; each level overrides the level above
    ThinkingSpec    how reasoning models think, in the same levels

People write these models; `society.scenario.expand` turns them into the plans that the engine runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from backends.base import BackendConfig
from society.components.controllers import Controller
from society.components.decisions.base import DecisionRule
from society.components.decisions.counting import Majority
from society.components.gates import Gate
from society.components.graphs import AnyTopology
from society.components.leaving import LeaveRule
from society.components.metrics.base import Metric
from society.components.registry import Registered, rebuild_with_kinds
from society.components.stops import StopRule
from society.core.component import AgentName, AgentNames, Component
from society.core.paths import ReadablePath
from society.core.types import Sampling, TemplateArgs, TemplateValue, Thinking
from society.executors.base import ExecutorConfig
from society.executors.local import Local
from society.scenario.models.optional import make_optional
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.tasks.base import Task

NAME_PATTERN = "^[A-Za-z][A-Za-z0-9_-]{0,63}$"
NAME_RULE = "at most 64 letters, digits, - and _, beginning with a letter"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name: a letter, then up to 63 letters, digits, hyphens and underscores."""
AnyBackend = Annotated[BackendConfig, Registered("backend")]
AnyTask = Annotated[Task, Registered("task")]
AnyDecision = Annotated[DecisionRule, Registered("decision")]
AnyStop = Annotated[StopRule, Registered("stop")]
AnyLeave = Annotated[LeaveRule, Registered("leave")]
AnyGate = Annotated[Gate, Registered("gate")]
AnyController = Annotated[Controller, Registered("controller")]
AnyMetric = Annotated[Metric, Registered("metric")]
AnyExecutor = Annotated[ExecutorConfig, Registered("executor")]
Conditions = tuple[AnyStop | tuple[AnyStop, ...], ...]
"""Rules of which one is enough; of a list inside the list, all must hold."""


Value = str | bool | int | float
Vars = dict[Name, Value | tuple[Value, ...]]
"""Values for templates, by name: texts, numbers, truth values, or lists of these."""
Persona = str | dict[str, Value | tuple[Value, ...] | None]
"""A persona: a text, or fields by name."""
MOST_PLACES = 300_000
"""Maximum product of the numbers of agents and phases."""


class SamplingSpec(make_optional(Sampling)):  # type: ignore[misc]
    """Decoding settings. A field left out comes from the level above.

    The levels are scenario, role, agent and phase.
    """

    def over(self, below: Sampling) -> Sampling:
        """Return `below` with the settings of this level applied."""
        return replace(below, **{name: value for name, value in self if value is not None})


TEMPLATE_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
OWN_VARIABLES = frozenset({"messages", "add_generation_prompt", "continue_final_message", "tools", "documents"})
"""Variables of chat templates that the program sets itself, so that `template_args` cannot have them."""


class ThinkingSpec(make_optional(Thinking)):  # type: ignore[misc]
    """How a reasoning model thinks before its text. A field left out comes from the level above, as in `sampling`."""

    show: bool | None = None
    """Show the agent's thoughts to readers of its full text, as an edge with `show: thought` does. By default nobody
    reads them."""
    template_args: dict[Annotated[str, Field(pattern=TEMPLATE_NAME)], TemplateValue] | None = None
    """Extra variables of the chat template, such as `reasoning_effort: low`. Each overrides that of the level above."""

    def over(self, below: Thinking) -> Thinking:
        """Return `below` with the settings of this level applied."""
        given = {name: getattr(self, name) for name in Thinking.__dataclass_fields__}
        return replace(below, **{name: value for name, value in given.items() if value is not None})

    def args_over(self, below: TemplateArgs) -> TemplateArgs:
        """Return the template's variables of the level below with those of this level applied."""
        return tuple(sorted((dict(below) | (self.template_args or {})).items()))

    def __hash__(self) -> int:
        return hash((self.over(Thinking()), self.show, self.args_over(())))

    @field_validator("template_args", mode="before")
    @classmethod
    def _check_names(cls, given: object) -> object:
        """Raise `ValueError` for variables that the program sets itself, whatever their values."""
        if taken := sorted(OWN_VARIABLES.intersection(given if isinstance(given, Mapping) else ())):
            raise ValueError(f"cannot set {', '.join(taken)}, which every chat has; remove it")
        return given

    @model_validator(mode="after")
    def _check_tags(self) -> Self:
        """Raise `ValueError` for two equal tags."""
        if self.tags and self.tags[0] == self.tags[1]:
            raise ValueError(
                "the two `tags` are equal; give the text that opens a thought, then the one that closes it"
            )
        return self


class RoleSpec(Component):
    """The prompts of an agent, as Jinja2 templates. The reference lists their variables under "Template variables"."""

    system: str | None = None
    """Template of the system message. Without it, the chat has no system message."""
    prompt: str
    """Template of the user message before each turn of the agent."""
    memory: int | None = Field(None, ge=0)
    """Maximum number of its own earlier turns that an agent keeps in its chat. By default it keeps all."""
    confidence: Literal["none", "stated", "logprob"] = "none"
    """Source of a turn's confidence. `stated`: the reply contains it ("confidence: 80%"). `logprob`: the geometric mean
    of the token probabilities."""
    choices: tuple[str, ...] = ()
    """If given, each reply is exactly one of these texts."""
    sampling: SamplingSpec = SamplingSpec()
    """Decoding settings of agents with this role."""
    vars: Vars = Field(default_factory=dict)
    """Values of the template variable `vars` for agents with this role."""

    def __hash__(self) -> int:
        """Return a hash of the templates: checks remember what they found in them."""
        return hash((self.system, self.prompt))

    thinking: ThinkingSpec = ThinkingSpec()
    """How agents with this role think."""


class AgentSpec(Component):
    """One agent, or with `count` a group of identical agents named `NAME-1`, `NAME-2`, ..."""

    count: int = Field(1, ge=1, le=100_000)
    """Number of agents in the group."""
    role: str = ""
    """Name of the agent's role. Optional if the scenario has one role."""
    backend: str = ""
    """Name of the agent's backend. Optional if the scenario has one backend."""
    adapter: ReadablePath | None = None
    """Path of a trained adapter that the agent generates with. For hf it is a PEFT folder, or a model folder with full
    weights; for llama_cpp a GGUF file."""
    persona: Persona | tuple[Persona, ...] | None = None
    """Value of the template variable `persona`: a text, or a mapping with fields such as `persona.age`. The agents of a
    group take the entries of a list in turn."""
    personas: str | None = None
    """Path of a file with a persona a row, in place of `persona`: CSV, TSV, JSON, JSONL, Parquet or YAML. Without
    `count`, the group has an agent for each row."""
    sampling: SamplingSpec = SamplingSpec()
    """Decoding settings of this agent or group."""
    vars: Vars = Field(default_factory=dict)
    """Values of the template variable `vars` for this agent or group."""
    thinking: ThinkingSpec = ThinkingSpec()
    """How this agent or group thinks."""


class Binding(Component):
    """Settings of an agent or a group that apply in one phase only."""

    role: str | None = None
    """Name of the role in this phase."""
    backend: str | None = None
    """Name of the backend in this phase."""
    adapter: ReadablePath | None = None
    """Path of the adapter in this phase."""
    persona: Persona | None = None
    """Value of the template variable `persona` in this phase: a text or a mapping."""
    sampling: SamplingSpec = SamplingSpec()
    """Decoding settings in this phase."""
    thinking: ThinkingSpec = ThinkingSpec()
    """How the agent or group thinks in this phase."""
    vars: Vars = Field(default_factory=dict)
    """Values of the template variable `vars` for the agent or group in this phase."""
    when: Conditions = ()
    """Conditions of each turn in this phase, by the latest answers before it. One rule is enough; in an inner list, all
    must hold. Otherwise the agent has no turn in that round, and its last answer stands."""


class EdgeView(Component):
    """The part of a sender's turns that a reader is shown. Edge attributes of a topology override these fields."""

    show: Literal["full", "thought", "answer", "summary", "nothing"] = "full"
    """Content of a message: the full text, the thought and the text, the parsed answer, a summary by the phase's
    `summarizer`, or nothing. Only `thought` shows what a reasoning model thought."""
    window: int = Field(1, ge=1)
    """Number of the sender's latest turns that are shown."""
    unread: bool = False
    """Show a reader each turn of the sender once. With `speak: heard`, an agent then speaks only if there is a turn
    that it has not read."""
    anonymous: bool = False
    """Show senders as "Agent 1", "Agent 2", ... in reading order, instead of their names."""
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    """Weight of the sender's messages: `weight` of each message in prompts, and of votes in `decision: {kind: weighted,
    by: edges}`."""
    gate: tuple[AnyGate, ...] = ()
    """Gates on each message. A message is shown if all of them accept it."""


class PhaseSpec(Component):
    """A sequence of rounds over one topology."""

    name: Name
    """Name of the phase, used in `--set phases.NAME...` and in results."""
    agents: AgentNames = ()
    """Agents or groups that speak, in this order. By default all without another task, such as the summarizer."""
    reads: AgentNames = ()
    """Agents or groups that do not speak in this phase and whose latest turns every speaker reads."""
    topology: AnyTopology = Field({"kind": "none"}, validate_default=True)
    """Directed graph over the speakers that determines who reads whom: a topology, or a name in `topologies`."""
    within: AnyTopology | None = None
    """Additional acyclic topology. Along its edges, a reader sees turns of the same round."""
    rounds: int = Field(1, ge=1, le=1000)
    """Maximum number of rounds. A stop rule may end the phase earlier."""
    schedule: Literal["simultaneous", "sequential", "topological", "moderated"] = "simultaneous"
    """Order of reading and speaking. `simultaneous`: all agents read the previous round. `sequential`: each agent reads
    the turns before its own. `topological`: agents speak along a directed acyclic graph. `moderated`: the `moderator`
    chooses one speaker per round."""
    order: Literal["declared", "reversed", "shuffled"] = "declared"
    """Order of the speakers and of the messages that a reader is shown. `shuffled` draws a new order for each round."""
    speak: Literal["always", "heard"] = "always"
    """Condition for a turn. `heard`: after its first turn, an agent speaks only if it has messages to read; its last
    answer stands."""
    moderator: AgentName = ""
    """Agent that chooses the next speaker. Required if `schedule` is `moderated`."""
    edges: EdgeView = EdgeView()
    """Default of what a reader is shown, for edges without attributes of their own."""
    hear_own: bool = False
    """Show an agent its own latest turns among the messages, in its place in the order. With `memory: 0` in its role
    and `anonymous` edges, it cannot tell them from those of others."""
    cap: int | None = Field(None, ge=1)
    """Maximum number of messages per turn. If more arrive, a random sample is shown."""
    on_edges: AgentName = ""
    """Agent that has a turn on each edge along which a speaker reads another one. It reads the messages of the sender
    and the last turn of the reader. The reader is shown its reply after these messages."""
    summarizer: AgentName = ""
    """Agent that writes the summaries for edges with `show: summary`. It has no other turns."""
    bind: dict[str, Binding] = Field(default_factory=dict)
    """Settings that differ in this phase, by agent or group: role, backend, adapter, persona, sampling or
    thinking."""
    vars: Vars = Field(default_factory=dict)
    """Values of the template variable `vars` in this phase."""
    when: Conditions = ()
    """Conditions of the phase, by the latest answers of the agents that spoke before it. One rule is enough; in an
    inner list, all rules must hold. Otherwise the phase is skipped."""
    stop: Conditions = ()
    """Rules that end the phase early, or with `ends: debate` the whole debate. One rule is enough; in an inner list,
    all rules must hold."""
    leave: tuple[AnyLeave, ...] = ()
    """Rules by which an agent leaves the debate after a round, by its own turns. One rule is enough. The last answer of
    an agent that left stands: it has its vote, and phases that list it in `reads` show it."""
    controllers: tuple[AnyController, ...] = ()
    """Controllers that change the graph or the speakers between rounds."""

    @property
    def helpers(self) -> tuple[str, ...]:
        """Agents that speak only when asked: on edges, as summarizer or moderator, and the helpers of controllers."""
        asked = (name for controller in self.controllers for name in controller.helpers().values())
        return tuple(name for name in (self.on_edges, self.summarizer, self.moderator, *asked) if name)


class RepeatSpec(Component):
    """Consecutive phases that are repeated. Their rounds are numbered on from repetition to repetition."""

    phases: tuple[Name, ...] = Field(min_length=1)
    """Names of the repeated phases, in their order."""
    times: int = Field(ge=2, le=1000)
    """Maximum number of repetitions, the first one included."""
    until: Conditions = ()
    """Rules that end the repetitions, by the latest answers after each one. One rule is enough; in an inner list, all
    rules must hold."""


class Scenario(Component):
    """A complete scenario: the agents, their task, the protocol, the decision and the finetuning."""

    version: Literal[1]
    """Version of the scenario language."""
    name: Name
    """Name of the scenario. A run folder has this name by default."""
    source: str = ""
    """Publication that describes the method: authors, year, arXiv number."""
    description: str = ""
    """Short description of the protocol, in one or two sentences."""
    differs: str = ""
    """Differences between the protocol and that of its `source`. Empty if there are none."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Random seed. Each draw derives its own seed from this one and from the identity of the turn or graph."""
    task: AnyTask
    """Source of the questions, with the rules that parse and compare answers."""
    backends: dict[Name, AnyBackend] = Field(min_length=1)
    """Backends that generate text, by name. Agents may use different backends."""
    roles: dict[Name, RoleSpec] = Field(min_length=1)
    """Roles by name. A role contains the prompts of an agent."""
    agents: dict[Name, AgentSpec] = Field(min_length=1, json_schema_extra={"ordered": True})
    """Agents and groups by name. Their order is the speaking and reading order."""
    topologies: dict[Name, AnyTopology] = Field(default_factory=dict, max_length=1000)
    """Graphs by name, for `topology` and `within` of phases. A graph is drawn over all agents that speak in a phase
    with its name, in the order of `agents`. Each of these phases has the part among its speakers."""
    phases: tuple[PhaseSpec, ...] = Field(min_length=1, max_length=1000)
    """Phases of the debate, in order. Agents keep their own turns and read messages across phases."""
    repeat: tuple[RepeatSpec, ...] = ()
    """Blocks of consecutive phases that are repeated."""
    decision: AnyDecision = Majority()
    """Rule that combines the agents' last answers into the answer of the society."""
    metrics: tuple[AnyMetric, ...] | None = Field(None, json_schema_extra={"tuning": True})
    """Metrics that the summary, the report, comparisons, plots and tables have, such as agreement. By default those
    that suit the run: without true answers, opinions and their changes. An empty list has none."""
    sampling: SamplingSpec = SamplingSpec()
    """Decoding settings of all agents. Roles, agents and phases override them."""
    thinking: ThinkingSpec = ThinkingSpec()
    """How reasoning models think. Roles, agents and phases override it."""
    vars: Vars = Field(default_factory=dict)
    """Values of the template variable `vars`, such as `{{ vars.tone }}`. Those of a role, an agent, a phase and a
    binding override them, in this order."""
    train: TrainSpec | None = None
    """Finetuning of the agents. Without it, the society debates only."""
    samples: int = Field(1, ge=1, le=10_000)
    """Number of independent debates per question."""
    concurrency: int = Field(128, ge=1, json_schema_extra={"tuning": True})
    """Maximum number of debates that run at the same time."""
    executor: AnyExecutor = Field(Local(), json_schema_extra={"tuning": True})
    """Place where the models run: this process or a Ray cluster."""
    timeout: float | None = Field(None, gt=0, json_schema_extra={"tuning": True})
    """Maximum seconds per reply, including the wait for a place in a batch. After a timeout the request is retried;
    after the last attempt the turn is recorded as failed. Unlimited by default."""

    def __init__(self, /, **data: Any) -> None:
        checked = self.from_dict(data)
        super().__init__(**{name: getattr(checked, name) for name in checked.model_fields_set})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # pydantic reads JSON without calling it

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        overrides: str | Sequence[str] = (),
        allow: Path | str | Sequence[Path | str] = (),
        folder: Path | str = ".",
    ) -> Scenario:
        """Return the scenario of plain Python data, which has the keys of a YAML file, `extends` included.

        Paths in it start at `folder` and may lead into it and those of `allow`. Raises `ScenarioError`, with every
        problem found, unless the scenario can run; each problem names its field, such as `phases.debate.topology`.
        """
        from society.scenario.load import load_with_warnings

        return load_with_warnings(data, overrides, allow, folder)[0]

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return the name and the sizes, for a short representation."""
        yield "name", self.name
        yield "agents", sum(spec.count for spec in self.agents.values())
        yield "phases", [phase.name for phase in self.phases]

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        """Raise `ValueError` for a society that is too large to check: each agent is checked in each phase."""
        agents = sum(spec.count for spec in self.agents.values())
        if agents * len(self.phases) > MOST_PLACES:
            raise ValueError(
                f"{agents:,} agents in {len(self.phases):,} phases exceed {MOST_PLACES:,} agents times phases; "
                "lower `count`, or define fewer agents or phases"
            )
        return self


rebuild_with_kinds(EdgeView, Binding, PhaseSpec, RepeatSpec, LearnerSpec, TrainSpec, Scenario)
