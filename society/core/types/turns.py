"""One turn of a debate: the question, the turn's identity, its reply, and what readers are shown of it.

Item       one question of a task, with its gold answer
TurnId     the identity of a turn: iteration, question, phase, round, agent, sample
Turn       a finished turn: prompt, thought, text, answer, cost
Message    the part of a turn that another agent reads
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from annotated_types import Interval

from society.core.types.generation import ChatMessage, FinishReason, GenerateOutput, LogProbability, ToolCall, Usage

TurnStatus = Literal["ok", "failed"]
Share = Annotated[float, Interval(ge=0, le=1)]


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
