"""The plain types that all parts of the program share. This module imports nothing heavy.

ChatMessage        one message of a model's input: a role and text
Sampling           how tokens are drawn
Thinking           how a reasoning model thinks before its text
GenerateRequest    a request to a backend: messages, sampling, seed, adapter, allowed choices, thinking
GenerateOutput     its reply: thought, text, finish reason, Usage, log-probability
Usage              tokens and seconds of one generation, and the calls of tools in a turn
ToolCall           one call of a tool in a turn: the reply that makes it, and the result
Adapter            trained weights on top of a base model, named by content hash
Item               one question of a task, with its gold answer
TurnId             the identity of a turn: iteration, question, phase, round, agent, sample
Turn               a finished turn: prompt, thought, text, answer, cost
Message            the part of a turn that another agent reads
Vote, Decision     the final answer of an agent, and of the society
Ballot             the input of a decision rule; RoundState that of stop rules and controllers
Judgement          a verdict on an answer, with its score and its reason
Example            one training row: a chat whose last message is learned, and its origin
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Interval, Len, MinLen

ChatRole = Literal["system", "user", "assistant", "tool"]
"""Role of a message. `tool`: the result of a call, for models whose chat template writes calls of tools."""
FinishReason = Literal["stop", "stop_text", "length", "context", "filter", "tools"]
"""The end of a reply. `stop`: the model ended its turn. `stop_text`: a stop sequence appeared, or may have appeared if
a server does not say. `length`: `max_tokens` were drawn. `context`: the context was full before that. `filter`: a
server's content filter ended it. `tools`: it ended with calls of tools."""
UNUSUAL_ENDS = ("context", "filter", "tools")
"""Ends that no setting of the scenario asks for."""
TemplateValue = str | bool | int | float
"""A value of an extra variable of a chat template."""
TemplateArgs = tuple[tuple[str, TemplateValue], ...]
"""Extra variables of a chat template: pairs of name and value, sorted by name."""
TurnStatus = Literal["ok", "failed"]
CallStatus = Literal["ok", "failed", "refused"]
Share = Annotated[float, Interval(ge=0, le=1)]
LogProbability = Annotated[float, Interval(ge=-1e300, le=0)]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a model's input. Not to be confused with `Message`, which agents exchange.

    `calls` are calls of tools that the chat template writes after the content, each as tool, parameter and text.
    """

    role: ChatRole
    content: str
    calls: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """Decoding settings. The scenario's `sampling:` has these options with these bounds (`SamplingSpec`)."""

    temperature: Annotated[float, Interval(ge=0, le=10)] = 1.0
    """Sampling temperature. 0 is greedy decoding."""
    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Nucleus sampling: keep the most likely tokens whose probabilities add up to this value. 1 disables it."""
    top_k: Annotated[int, Interval(ge=0)] = 0
    """Keep this many of the most likely tokens. 0 disables it."""
    min_p: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Minimum probability of a token, relative to the most likely token. 0 disables it."""
    repeat_penalty: Annotated[float, Interval(gt=0, le=10)] = 1.0
    """Penalty on recently generated tokens. Values above 1 make repetition less likely; 1 disables it."""
    max_tokens: Annotated[int, Interval(ge=1, le=1_000_000)] = 256
    """Maximum length of a reply, in tokens."""
    stop: tuple[Annotated[str, MinLen(1)], ...] = ()
    """Stop sequences. Generation ends before the first one that appears, and the reply does not contain it."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a reasoning model thinks. The scenario's `thinking:` has these options with these bounds (`ThinkingSpec`)."""

    enabled: bool | None = None
    """Whether the model thinks before its text. By default the chat template or the server decides."""
    budget: Annotated[int, Interval(ge=0, le=1_000_000)] | None = None
    """Maximum length of a thought, in tokens. A longer one is closed there, and the text follows. By default only
    `max_tokens`, which counts the thought too, limits it."""
    tags: tuple[Annotated[str, Len(1, 200)], Annotated[str, Len(1, 200)]] | None = None
    """Texts that open and close a thought in a reply. By default those of the chat template, or the usual ones."""


DEFAULT_THINKING = Thinking()
"""Thinking as the chat template or the server has it, without a limit."""


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A request to a backend. `adapter` is the content hash of a loaded adapter, or None for the base model.

    The model is offered `tools` by its chat template or server, if the backend has the ability; see `Backend.tools`.
    With `choices` the reply must be exactly one of these strings (the backend constrains the decoding). Of `options`,
    which the prompt explains, the reply should name one or several; only a person is shown them. `template_args` are
    extra variables of the chat template, which a server receives as `chat_template_kwargs`.
    """

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    seed: int
    adapter: str | None = None
    choices: tuple[str, ...] = ()
    thinking: Thinking = DEFAULT_THINKING
    template_args: TemplateArgs = ()
    options: tuple[str, ...] = ()
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is offered it. Every tool takes one text, as the parameter `takes`."""

    name: str
    description: str
    takes: str

    @property
    def schema(self) -> dict[str, Any]:
        """The tool in the form of the OpenAI standard, which chat templates expect, too."""
        parameters = {"type": "object", "properties": {self.takes: {"type": "string"}}, "required": [self.takes]}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and seconds. `cached_tokens` of the `prompt_tokens` were in the cache and not computed again.

    `thought_tokens` of the `generated_tokens` come before the text: the thought with the tags around it.

    `seconds` is a turn's share of the time in which its backend was busy: while n replies are generated together, each
    is charged one n-th of the elapsed time. So the sum over turns is the busy time of the backend. The engine measures
    it; backends need not.

    `estimated` says that the server did not count tokens, and that some of these counts are estimates.

    `person_seconds` is the time that a person took, from the showing of the question to the reply. A reply of a person
    has neither tokens nor `seconds`. `defaults` counts replies that are the default, since a person's time was over.

    `tool_calls` were made in a turn, and `failed_calls` of them gave no result. `tool_seconds` is the elapsed time in
    tools, which is not part of `seconds`.
    """

    prompt_tokens: int = 0
    generated_tokens: int = 0
    cached_tokens: int = 0
    seconds: Annotated[float, Interval(ge=0, le=1e12)] = 0.0
    thought_tokens: int = 0
    estimated: bool = False
    person_seconds: Annotated[float, Interval(ge=0, le=1e12)] = 0.0
    defaults: int = 0
    tool_calls: int = 0
    failed_calls: int = 0
    tool_seconds: Annotated[float, Interval(ge=0, le=1e12)] = 0.0

    @property
    def described_calls(self) -> str:
        """The calls of tools in words, such as `, 3 calls of tools (1 failed) in 0.2 s`; "" if there are none."""
        if not self.tool_calls:
            return ""
        calls = f"{self.tool_calls:,} call{'s' * (self.tool_calls > 1)} of tools"
        failed = f" ({self.failed_calls:,} failed)" if self.failed_calls else ""
        return f", {calls}{failed} in {self.tool_seconds:.1f} s"

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.generated_tokens + other.generated_tokens,
            self.cached_tokens + other.cached_tokens,
            self.seconds + other.seconds,
            self.thought_tokens + other.thought_tokens,
            self.estimated or other.estimated,
            self.person_seconds + other.person_seconds,
            self.defaults + other.defaults,
            self.tool_calls + other.tool_calls,
            self.failed_calls + other.failed_calls,
            self.tool_seconds + other.tool_seconds,
        )


@dataclass(frozen=True, slots=True)
class GenerateOutput:
    """A backend's reply to one request: a thought, which may be empty, then a text.

    `text` is the part after the thought. A reply that was cut off while thinking has a thought and no text. A backend
    that cannot tell them apart leaves the thought in `text` between its tags; the engine then separates them.

    `logprob` is the sum of the natural log-probabilities of the text's tokens under the model itself (temperature 1, no
    truncation), or None where the backend does not know it. `tokens` are the ids of all drawn tokens in their order,
    first those of the thought with its tags. They include the stop token or the tokens of the stop text that ended the
    reply. None where the backend does not know them. With `choices` they are the whole choice with the end of the turn,
    though its last tokens are certain.

    `calls` are the calls of tools in the reply. In the reply of a whole turn they are all calls of the turn with their
    results; then the usage is that of the whole turn, and everything else that of the last reply.
    """

    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    logprob: LogProbability | None = None
    tokens: tuple[int, ...] | None = None
    thought: str = ""  # without its tags
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool: its name, the text that it is given, and its result.

    `status` is `failed` for a call whose result is an error, and `refused` for one that is not made: it is beyond the
    bounds of a turn, or lacks its end. `reply` is the reply that makes the call, without its seconds, which are part of
    the turn's. It is None for a further call of the same reply, and for a refused call, which the last reply of the
    turn makes. `parameter` names the text where the model called in its own format; in plain text, it is "".
    """

    tool: str
    given: str
    result: str = ""
    status: CallStatus = "ok"
    reply: GenerateOutput | None = None
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class Adapter:
    """Trained weights on top of a base model. `hash` is of the contents, so no cache can serve a stale one."""

    hash: str
    path: str
    base: str  # model hash of the base it was trained on


@dataclass(frozen=True, slots=True)
class Item:
    """One question. `id` is stable across runs; `gold` is the true answer (for scoring alone), "" if unknown; None
    becomes "". `aliases` are equally right; `choices` are the options of a multiple-choice question, A first."""

    id: str
    question: str
    gold: str = ""
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict, compare=False)  # the task's own, e.g. a verifier's entry
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Fields of the question's row for prompts, without the true answer."""
    stem: str = field(default="", compare=False)
    """The question with all its options in a fixed order, where the options that are shown depend on a seed."""

    def __post_init__(self) -> None:
        if self.gold is None:
            object.__setattr__(self, "gold", "")


@dataclass(frozen=True, slots=True, order=True)
class TurnId:
    """The identity of a turn. The seed of a turn derives from this and the scenario's seed only.

    `round` counts from 1 within its phase. `sample` counts the independent repetitions of a debate from 0.
    A summary of an agent for a reader has the agent "summarizer/reader", and a turn on an edge "agent/sender>reader".
    """

    iteration: int
    item: str
    phase: str
    round: int
    agent: str
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A finished turn: the prompt, the reply, and what this run derives from the reply.

    `key` is a hash of everything that shaped the text: messages, sampling, seed, model, adapter and thinking.
    `thought`, `text`, `tokens`, `finish_reason`, `usage` and `logprob` are the reply of the backend; `replied` is False
    if it gave none. In a turn with `calls` of tools they are the last reply; `usage` is that of the whole turn.
    `answer` (None if nothing could be parsed), `confidence`, `status` and `error` are derived from the reply, by every
    run for itself. `error` says why the turn failed. For a turn that did not fail, it is a note, such as a stopped
    search.
    """

    id: TurnId
    key: str
    messages: tuple[ChatMessage, ...]
    text: str
    answer: str | None
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    logprob: LogProbability | None = None
    confidence: Share | None = None  # where the scenario asks for it
    adapter: str | None = None
    status: TurnStatus = "ok"
    error: str = ""
    reads: tuple[TurnId, ...] = ()  # the turns whose messages this one was shown
    recalls: tuple[TurnId, ...] = ()  # turns of earlier questions that its prompt showed as memories
    tokens: tuple[int, ...] | None = None
    replied: bool = True
    thought: str = ""
    calls: tuple[ToolCall, ...] = ()

    @property
    def round(self) -> int:
        """Round of the turn, from 1 within its phase, as prompts show it in `own`."""
        return self.id.round

    @property
    def is_shown(self) -> bool:
        """Return whether readers may be shown the turn: it did not fail, and has a text."""
        return self.status == "ok" and bool(self.text.strip())

    @property
    def reply(self) -> GenerateOutput | None:
        """The reply of the backend, which another run may reuse. None if the backend gave no reply."""
        if not self.replied:
            return None
        return GenerateOutput(*[getattr(self, field.name) for field in fields(GenerateOutput)])


DEFAULT_TAKEN = "The person's time was over: this is the default."
"""Note on a reply that no person typed."""


def explain_end(reply: GenerateOutput | Turn) -> str:
    """Return a note on a reply without a text, or one that ended for a reason that the scenario did not set.

    "" for every other reply, such as one that was cut off at `max_tokens` in its text, or calls tools after it.
    """
    if reply.usage.defaults:
        return DEFAULT_TAKEN
    why = {
        "stop": "",
        "stop_text": "a stop text ended it",
        "length": "cut off at max_tokens",
        "context": "the context was full",
        "filter": "a content filter ended it",
        "tools": "it calls tools, which nobody offered",
    }[reply.finish_reason]
    if reply.calls and reply.calls[-1].status == "refused":
        return f"A call of {reply.calls[-1].tool} was refused: {reply.calls[-1].result}"
    if reply.text.strip():
        return f"{why[0].upper()}{why[1:]}." if reply.finish_reason in ("context", "filter") else ""
    place = " after the thought" if reply.thought or reply.usage.thought_tokens else ""
    return f"No text{place}: {why}." if why else f"No text{place}."


@dataclass(frozen=True, slots=True)
class Message:
    """The part of a sender's turn that a reader is shown, by the view of the edge."""

    sender: str  # as shown: the agent's name, or "Agent 2" where the edge is anonymous
    text: str
    answer: str | None
    round: int
    confidence: float | None
    source: TurnId
    weight: float = 1.0
    """Weight of the edge from the sender to the reader."""


@dataclass(frozen=True, slots=True)
class Vote:
    """The final answer of one agent. `answer` is None if none could be parsed; `failed` says that the turn failed."""

    agent: str
    answer: str | None
    confidence: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of a society.

    `answer` is None if the society does not decide; `reason` then says why ("tie", "unparsed", "no majority", ...).
    `support` is the share of all voters that voted for the answer. `tied` are the tied answers. `voters` are the
    agents that had a vote, where these are not the voters of the scenario: phases were skipped, or agents taken out.
    `single` is False where the rule gives no single answer by design, so that its absence is no failure.
    """

    answer: str | None
    support: Share = 0.0
    reason: str = ""
    tied: tuple[str, ...] = ()
    voters: tuple[str, ...] = ()
    single: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict on an answer.

    `score` is its degree from 0 to 1, where the kind of answer has degrees. `exact` says for a model's verdict whether
    the answer equals the true one, if there is one. An `undecided` verdict counts as wrong; `note` says why.
    """

    right: bool
    score: Share | None = None
    exact: bool | None = None
    undecided: bool = False
    note: str = ""

    @property
    def is_plain(self) -> bool:
        """Return whether the verdict is only right or wrong."""
        return self == Judgement(self.right)


Same = Callable[[str, str], bool]
"""Whether two answers are the same answer, as the task sees it; symmetric."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """The input of a decision rule.

    `history` has every turn of each voter, in the order spoken. `candidates` are the distinct answers before the last
    phase, in the order of their first turn. `weights` has the sum of the weights of the edges along which others read
    each voter, in the last round with edges; an agent that nobody read is missing.
    """

    votes: Sequence[Vote]
    history: Mapping[str, Sequence[Turn]]
    candidates: Sequence[str]
    same: Same
    seed: int
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RoundState:
    """The input of stop rules and controllers after a round.

    `rounds` has this phase's turns by round and agent; an agent without a turn in a round has its latest turn there.
    `usage` and `turns` are the cost of the whole debate so far. `annotate` stores a note with a turn that did not fail.
    """

    rounds: Sequence[Mapping[str, Turn]]
    usage: Usage
    turns: int
    same: Same
    annotate: Callable[[TurnId, str], None] = lambda turn, text: None
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Agents of each group, by its name."""
    agent: str = ""
    """The agent whose turn a condition decides on; "" for every other condition."""

    def turns_of(self, names: Sequence[str]) -> Sequence[Turn]:
        """Return the latest turns of these agents or groups; of all agents if no name is given."""
        chosen = {agent for name in names for agent in self.members.get(name, (name,))}
        return [turn for agent, turn in self.latest.items() if not names or agent in chosen]

    @property
    def latest(self) -> Mapping[str, Turn]:
        """The turns of the round just ended, by agent."""
        return self.rounds[-1]


@dataclass(frozen=True, slots=True)
class Past:
    """The answers to an earlier question, by agents in their order.

    `answered` gave a readable last answer. Among them, `agreed` gave that of the society, and `right` a right one. Each
    of these is None where it is unknown: there is no decision, or no true answer.
    """

    answered: tuple[str, ...]
    agreed: tuple[str, ...] | None
    right: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Example:
    """One training row: `messages` exactly as in inference, then the assistant message that is learned.

    Only the last message is learned; earlier assistant turns are context. `source` is the turn of the row and `rule`
    the selection rule that took it, so a row can be traced to the transcript.

    `tokens` are the drawn token ids of that last message in the vocabulary of the model that learns them: they are
    learned exactly as they are, and no end of the turn is added. Where they are None, the text of the message is
    tokenized, and the end of the turn is learned only if `finish_reason` is "stop".

    `thought` precedes the text of the last message in the reply. Its tokens, the first `thought_tokens` of `tokens`,
    are learned if `learn_thought`. `thinking` and `template_args` shaped the prompt. `weight` is a factor of the row's
    loss. `part` counts the replies of a turn with calls of tools from 0: each is a row, and the results are
    part of the chat before the next. A reply that is not `desired` is one to make less likely.
    """

    messages: tuple[ChatMessage, ...]
    source: TurnId
    rule: str
    tokens: tuple[int, ...] | None = None
    finish_reason: FinishReason = "stop"
    thought: str = ""
    thought_tokens: int = 0
    learn_thought: bool = True
    thinking: Thinking = DEFAULT_THINKING
    template_args: TemplateArgs = ()
    weight: float = 1.0
    part: int = 0
    desired: bool = True


Record = TypeVar("Record")


def _make_changer(record: type[Record], name: str) -> Callable[[Record, Any], Record]:
    """Return a function that returns a record with another value of one field, in half the time of `replace`."""
    names = [field.name for field in fields(record)]  # type: ignore[arg-type]  # a dataclass
    values_of, place = attrgetter(*names), names.index(name)

    def change(one: Record, value: Any) -> Record:
        values = [*values_of(one)]
        values[place] = value
        return record(*values)

    return change


with_seconds = _make_changer(Usage, "seconds")
"""Returns a usage with other seconds: every turn is timed once."""
with_usage = _make_changer(GenerateOutput, "usage")
"""Returns a reply with another usage."""
