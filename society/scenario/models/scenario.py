"""The models of a scenario file: every key that YAML may contain, with its default.

    Scenario        the whole file
    RoleSpec        system message, prompt template and memory of an agent
    AgentSpec       one agent, or a group of `count` identical agents

`phases` has the models of phases, `settings` those of decoding and thinking, `training` those of finetuning. People
write these models; `society.scenario.expand` turns them into the plans that the engine runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from backends.base import BackendConfig
from society.components.decisions.base import DecisionRule
from society.components.decisions.counting import Majority
from society.components.graphs import AnyTopology
from society.components.metrics.base import Metric
from society.components.registry import Registered, rebuild_with_kinds
from society.components.tools.base import Tool, ToolUse
from society.core.component import Component
from society.core.errors import FieldError
from society.core.paths import ReadablePath
from society.executors.base import ExecutorConfig
from society.executors.local import Local
from society.scenario.models.memory import ClockSpec, MemorySpec, SequenceSpec
from society.scenario.models.phases import Binding, EdgeView, PhaseSpec, RepeatSpec
from society.scenario.models.settings import Name, Persona, RetrySpec, RunLimits, SamplingSpec, ThinkingSpec, Vars
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.tasks.base import Task

AnyBackend = Annotated[BackendConfig, Registered("backend")]
AnyTask = Annotated[Task, Registered("task")]
AnyDecision = Annotated[DecisionRule, Registered("decision")]
AnyTool = Annotated[Tool, Registered("tool")]
AnyMetric = Annotated[Metric, Registered("metric")]
AnyExecutor = Annotated[ExecutorConfig, Registered("executor")]


def _named_apart(tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """Raise `ValueError` for two tools that agents would call by the same name."""
    names = [tool.label for tool in tools]
    if twice := [name for name in names if names.count(name) > 1]:
        second = len(names) - 1 - names[::-1].index(twice[0])
        raise FieldError(f"has two tools of the name {twice[0]!r}; give one of them another `name`", (second,))
    return tools


Tools = Annotated[tuple[AnyTool, ...], AfterValidator(_named_apart)]
MOST_PLACES = 300_000
"""Maximum product of the numbers of agents and phases."""


class RoleSpec(Component):
    """The prompts of an agent, as Jinja2 templates. The reference lists their variables under "Template variables"."""

    system: str | None = None
    """Template of the system message. Without it, the chat has no system message."""
    prompt: str
    """Template of the user message before each turn of the agent."""
    memory: Annotated[int, Field(ge=0)] | MemorySpec | None = None
    """Maximum number of its own earlier turns that an agent keeps in its chat, by default all; or a mapping, for memory
    beyond a debate."""
    confidence: Literal["none", "stated", "logprob"] = "none"
    """Source of a turn's confidence. `stated`: the reply contains it ("confidence: 80%"). `logprob`: the geometric mean
    of the token probabilities."""
    choices: tuple[str, ...] = ()
    """If given, each reply is exactly one of these texts."""
    sampling: SamplingSpec = SamplingSpec()
    """Decoding settings of agents with this role."""
    vars: Vars = Field(default_factory=dict)
    """Values of the template variable `vars` for agents with this role."""

    thinking: ThinkingSpec = ThinkingSpec()
    """How agents with this role think."""
    tools: Tools = ()
    """Tools that agents with this role may call in their turns. The prompt explains them: where it uses the variable
    `tools`, or else at the end of the system message."""
    tool_use: ToolUse = ToolUse()
    """Bounds of a turn with tools."""

    def __hash__(self) -> int:
        """Return a hash of the templates: checks remember what they found in them."""
        return hash((self.system, self.prompt))


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
    tools: Tools | None = None
    """Tools of this agent or group, in place of those of its role. An empty list: none."""
    memory: MemorySpec | None = None
    """Memory of this agent or group beyond a debate."""


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
    memory: MemorySpec | None = None
    """Memory of all agents beyond a debate. Roles and agents override it. By default an agent forgets each question."""
    sequence: SequenceSpec = SequenceSpec()
    """Order of questions that build on earlier ones. Other questions are debated in any order, beside each other."""
    clock: ClockSpec | None = None
    """Simulated time of the questions."""
    train: TrainSpec | None = None
    """Finetuning of the agents. Without it, the society debates only."""
    samples: int = Field(1, ge=1, le=10_000)
    """Number of independent debates per question."""
    concurrency: int = Field(128, ge=1, json_schema_extra={"tuning": True})
    """Maximum number of debates that run at the same time."""
    executor: AnyExecutor = Field(Local(), json_schema_extra={"tuning": True})
    """Place where the models run: this process or a Ray cluster."""
    limits: RunLimits = Field(RunLimits(), json_schema_extra={"tuning": True})
    """Tokens, dollars and minutes that the run may use."""
    retry: RetrySpec = Field(RetrySpec(), json_schema_extra={"tuning": True})
    """How the run bears failures of its backends: minutes of waiting, attempts, failed turns."""
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

    @property
    def tasks(self) -> dict[str, AnyTask]:
        """The tasks of evaluation and training, by their places in the scenario."""
        of_training = self.train.task if self.train is not None else None
        return {"task": self.task} | ({} if of_training is None else {"train.task": of_training})

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
            largest = max(self.agents, key=lambda name: self.agents[name].count)
            raise FieldError(
                f"{agents:,} agents in {len(self.phases):,} phases exceed {MOST_PLACES:,} agents times phases; "
                "lower `count`, or define fewer agents or phases",
                ("agents", largest, "count"),
            )
        return self


rebuild_with_kinds(EdgeView, Binding, PhaseSpec, RepeatSpec, LearnerSpec, TrainSpec, RoleSpec, AgentSpec, Scenario)
