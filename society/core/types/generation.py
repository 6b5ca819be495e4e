"""One reply of a model: what a backend is asked, and what it returns.

ChatMessage        one message of a model's input: a role and text
Sampling           how tokens are drawn
Thinking           how a reasoning model thinks before its text
GenerateRequest    a request to a backend: messages, sampling, seed, adapter, allowed choices, thinking
GenerateOutput     its reply: thought, text, finish reason, Usage, log-probability
Usage              tokens and seconds of one generation, and the calls of tools in a turn
ToolCall           one call of a tool in a turn: the reply that makes it, and the result
Adapter            trained weights on top of a base model, named by content hash
"""

from __future__ import annotations

from collections.abc import Callable
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
CallStatus = Literal["ok", "failed", "refused"]
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
class Adapter:
    """Trained weights on top of a base model. `hash` is of the contents, so no cache can serve a stale one."""

    hash: str
    path: str
    base: str  # model hash of the base it was trained on


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
