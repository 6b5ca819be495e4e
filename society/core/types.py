"""The plain types that every part of the program shares. Nothing here imports anything heavy.

ChatMessage        one message of a model's input: a role and text
Sampling           how tokens are drawn
GenerateRequest    what a backend is asked: messages, sampling, seed, adapter, allowed choices
GenerateOutput     what it answers: text, why it ended, Usage, log-probability
Usage              tokens and seconds of one generation
Adapter            trained weights on top of a base model, named by content hash
Item               one question of a task, with its gold answer
TurnId             who speaks when: the identity everything about a turn derives from
Turn               a finished turn: what was asked, what was said, what it cost
Message            what one agent reads of another's turn
Vote, Decision     what each agent ends with, and what the society makes of it
Ballot             what a decision rule is given; RoundState what stop rules and controllers are given
Example            one training row: a chat whose last message is learned, and where it came from
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from annotated_types import Interval, MinLen

ChatRole = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "stop_text", "length"]
"""How a reply ended: the model ended its turn (`stop`), a stop text of the sampling appeared, or may have where a
server does not say which (`stop_text`), or `max_tokens` were drawn (`length`)."""
TurnStatus = Literal["ok", "failed"]
Share = Annotated[float, Interval(ge=0, le=1)]
LogProbability = Annotated[float, Interval(ge=-1e300, le=0)]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a model's input. Not to be confused with `Message`, which agents exchange."""

    role: ChatRole
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. The scenario's `sampling:` has these options with these bounds (`SamplingSpec`)."""

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
class GenerateRequest:
    """What a backend is asked for. `adapter` is the content hash of a loaded adapter, None the bare base.

    With `choices` the reply must be exactly one of these strings (the backend constrains the decoding).
    """

    messages: tuple[ChatMessage, ...]
    sampling: Sampling
    seed: int
    adapter: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and seconds. `cached_tokens` of the `prompt_tokens` were in the cache and not computed again.

    `seconds` is a turn's share of the time in which its backend was at work: while n replies are made together, each is
    charged one n-th of what the clock shows. So the sum over turns is the time that the backend was busy. The engine
    measures it; backends need not.
    """

    prompt_tokens: int = 0
    generated_tokens: int = 0
    cached_tokens: int = 0
    seconds: Annotated[float, Interval(ge=0, le=1e12)] = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.generated_tokens + other.generated_tokens,
            self.cached_tokens + other.cached_tokens,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class GenerateOutput:
    """A backend's reply to one request.

    `logprob` is the sum of the generated tokens' natural log-probabilities under the model itself (temperature 1, no
    truncation), or None where the backend does not know it. `tokens` are the ids of the drawn tokens in their order,
    the stop token or the tokens of the stop text that ended the reply included, or None where the backend does not
    know them. With `choices` they are the whole choice with the end of the turn, though its last tokens are certain.
    """

    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    logprob: LogProbability | None = None
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """Trained weights on top of a base model. `hash` is of the contents, so no cache can serve a stale one."""

    hash: str
    path: str
    base: str  # model hash of the base it was trained on


@dataclass(frozen=True, slots=True)
class Item:
    """One question. `id` is stable across runs; `gold` is the true answer (for scoring alone), "" if unknown.
    `aliases` are equally right; `choices` are the options of a multiple-choice question, A first."""

    id: str
    question: str
    gold: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict, compare=False)  # the task's own, e.g. a verifier's entry


@dataclass(frozen=True, slots=True, order=True)
class TurnId:
    """Who speaks when. The seed of a turn derives from this and the scenario's seed, from nothing else.

    `round` counts from 1 within its phase. `sample` counts the independent repetitions of a debate from 0.
    A summary that one agent makes for a reader has the agent "summarizer/reader".
    """

    iteration: int
    item: str
    phase: str
    round: int
    agent: str
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A finished turn: what was asked, the reply to it, and what this run reads in the reply.

    `key` is a hash of everything that shaped the text: messages, sampling, seed, model and adapter. `text`, `tokens`,
    `finish_reason`, `usage` and `logprob` are the reply as the backend gave it; `replied` is False where it gave none.
    `answer` (None if nothing could be parsed), `confidence`, `status` and `error` are derived from the reply, by every
    run for itself. `error` says why the turn failed; of a turn that did not, what could not be looked for in its text.
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
    tokens: tuple[int, ...] | None = None
    replied: bool = True

    @property
    def reply(self) -> GenerateOutput | None:
        """The reply as the backend gave it: what another run may take over. None where it gave none."""
        if not self.replied:
            return None
        return GenerateOutput(*[getattr(self, field.name) for field in fields(GenerateOutput)])


@dataclass(frozen=True, slots=True)
class Message:
    """What a reader is shown of a sender's turn, after the edge's view was applied."""

    sender: str  # as shown: the agent's name, or "Agent 2" where the edge is anonymous
    text: str
    answer: str | None
    round: int
    confidence: float | None
    source: TurnId


@dataclass(frozen=True, slots=True)
class Vote:
    """What one agent ends with. `answer` is None if nothing could be parsed; `failed` if its turn failed."""

    agent: str
    answer: str | None
    confidence: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What a society answers. `answer` is None when it does not decide; `reason` then says why
    ("tie", "unparsed", "no majority", ...). `support` is the share of all voters that stand behind it."""

    answer: str | None
    support: Share = 0.0
    reason: str = ""
    tied: tuple[str, ...] = ()


Same = Callable[[str, str], bool]
"""Whether two answers are the same answer, as the task sees it; symmetric."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a decision rule is given. `history` has every turn of each voter, in the order spoken; `candidates`
    the distinct answers that were on the table before the last phase, in the order first given."""

    votes: Sequence[Vote]
    history: Mapping[str, Sequence[Turn]]
    candidates: Sequence[str]
    same: Same
    seed: int


@dataclass(frozen=True, slots=True)
class RoundState:
    """What stop rules and controllers see after a round: this phase's turns by round and agent, and the
    tokens (`usage`) and number of turns that the whole debate has cost so far. An agent that was silent in a
    round stands there with what it said last. `annotate` stores a note with a turn that did not fail."""

    rounds: Sequence[Mapping[str, Turn]]
    usage: Usage
    turns: int
    same: Same
    annotate: Callable[[TurnId, str], None] = lambda turn, text: None

    @property
    def latest(self) -> Mapping[str, Turn]:
        """The turns of the round just ended, by agent."""
        return self.rounds[-1]


@dataclass(frozen=True, slots=True)
class Example:
    """One training row: `messages` exactly as inference saw them, then the assistant message that was said.

    Only that last message is learned; earlier assistant turns are context. `source` is the turn it comes from
    and `rule` the selection rule that took it, so a row can be traced to the transcript.

    `tokens` are the drawn token ids of that last message in the vocabulary of the model that learns them: they are
    learned exactly as they are, and no end of the turn is added. Where they are None, the text of the message is
    tokenized, and the end of the turn is learned only if `finish_reason` is "stop".
    """

    messages: tuple[ChatMessage, ...]
    source: TurnId
    rule: str
    tokens: tuple[int, ...] | None = None
    finish_reason: FinishReason = "stop"
