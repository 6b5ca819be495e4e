"""Turns and results as rows of the store, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from society.core.types import ChatMessage, Decision, Turn, TurnId, Usage
from society.store.tokens import pack_tokens, unpack_tokens

TURN_COLUMNS = (
    "iteration", "item", "sample", "phase", "round", "agent", "key", "status", "error", "chat", "text", "answer",
    "finish_reason", "logprob", "confidence", "adapter", "prompt_tokens", "generated_tokens", "cached_tokens",
    "seconds", "reads", "reused", "tokens", "replied",
)  # fmt: skip

Row = Mapping[str, Any]
_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class ResultRow:
    """How one debate ended, as stored. `verdicts` says of each distinct answer in it whether it is right."""

    iteration: int
    item: str
    sample: int
    split: str  # "evaluation" or "training"
    question: str
    gold: str
    decision: Decision
    correct: bool
    verdicts: Mapping[str, bool]


def turn_row(turn: Turn, keys: Sequence[bytes], reused: bool) -> tuple[Any, ...]:
    """The values of `TURN_COLUMNS`; `keys` names the text of each message of its chat."""
    i, u = turn.id, turn.usage
    chat = _encode([[m.role, key.hex()] for m, key in zip(turn.messages, keys, strict=True)])
    return (
        i.iteration, i.item, i.sample, i.phase, i.round, i.agent, turn.key, turn.status, turn.error, chat,
        _storable(turn.text), turn.answer and _storable(turn.answer), turn.finish_reason, turn.logprob,
        turn.confidence, turn.adapter, u.prompt_tokens, u.generated_tokens, u.cached_tokens, u.seconds,
        reads_value(turn), int(reused), pack_tokens(turn.tokens), int(turn.replied),
    )  # fmt: skip


DERIVED_COLUMNS = ("reads", "answer", "confidence", "status", "error")
"""Columns that every run fills by itself, also where it takes over the reply."""


def derived_values(turn: Turn) -> tuple[Any, ...]:
    """Return the values of `DERIVED_COLUMNS`."""
    answer = turn.answer and _storable(turn.answer)
    return reads_value(turn), answer, turn.confidence, turn.status, turn.error


def reads_value(turn: Turn) -> str:
    """Return the turns that this one was shown, which are of the same debate, as stored."""
    return _encode([[r.phase, r.round, r.agent] for r in turn.reads])


def read_turn(row: Row, text_of: Callable[[bytes], str]) -> Turn:
    """The turn of a row; `text_of` looks up the texts of its chat."""
    i = TurnId(row["iteration"], row["item"], row["phase"], row["round"], row["agent"], row["sample"])
    return Turn(
        id=i,
        key=row["key"],
        messages=tuple(ChatMessage(role, text_of(bytes.fromhex(key))) for role, key in json.loads(row["chat"])),
        text=row["text"],
        answer=row["answer"],
        finish_reason=row["finish_reason"],
        usage=Usage(row["prompt_tokens"], row["generated_tokens"], row["cached_tokens"], row["seconds"]),
        logprob=row["logprob"],
        confidence=row["confidence"],
        adapter=row["adapter"],
        status=row["status"],
        error=row["error"],
        reads=tuple(
            TurnId(i.iteration, i.item, phase, number, agent, i.sample)
            for phase, number, agent in json.loads(row["reads"])
        ),
        tokens=unpack_tokens(row["tokens"]),
        replied=bool(row["replied"]),
    )


def result_row(result: ResultRow) -> tuple[Any, ...]:
    """The values of the table `results`, in its order."""
    d = result.decision
    return (
        result.iteration, result.item, result.sample, result.split, result.question, result.gold, d.answer,
        d.support, d.reason, json.dumps(d.tied), int(result.correct), json.dumps(dict(result.verdicts)),
    )  # fmt: skip


def read_result(row: Row) -> ResultRow:
    """The result of a row."""
    decision = Decision(row["answer"], row["support"], row["reason"], tuple(json.loads(row["tied"])))
    return ResultRow(
        row["iteration"], row["item"], row["sample"], row["split"], row["question"], row["gold"], decision,
        bool(row["correct"]), json.loads(row["verdicts"]),
    )  # fmt: skip


def _storable(text: str) -> str:
    """Text without lone surrogates, which SQLite cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
