"""The phases of a scenario: who speaks, who reads whom, what is shown, and when a phase ends or is repeated.

PhaseSpec    a sequence of rounds: its speakers, their order, and the topology
EdgeView     the part of a message that its reader is shown
Binding      the settings of one agent in one phase
RepeatSpec   consecutive phases that are repeated
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from society.components.controllers import Controller
from society.components.gates import Gate
from society.components.graphs import AnyTopology
from society.components.leaving import LeaveRule
from society.components.registry import Registered
from society.components.stops import StopRule
from society.core.component import AgentName, AgentNames, Component
from society.core.paths import ReadablePath
from society.scenario.models.settings import Name, Persona, SamplingSpec, ThinkingSpec, Vars

AnyStop = Annotated[StopRule, Registered("stop")]
AnyLeave = Annotated[LeaveRule, Registered("leave")]
AnyGate = Annotated[Gate, Registered("gate")]
AnyController = Annotated[Controller, Registered("controller")]
Conditions = tuple[AnyStop | tuple[AnyStop, ...], ...]
"""Rules of which one is enough; of a list inside the list, all must hold."""


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
    exchanges: int = Field(1, ge=1, le=100)
    """Number of turns of the agent of `on_edges` on each edge. After each of them but the last, the reader has a turn
    on the edge. It reads the messages and the reply there, and the next reply is about its turn. The reader is shown
    the last reply and its own last turn there."""
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
