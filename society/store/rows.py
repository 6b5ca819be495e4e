"""The tables of the store: each is declared by the dataclass of its rows.

META        facts about the run by name: the scenario, versions, model hashes
TEXTS       every text of a prompt once, by a hash of its contents
TURNS       finished turns; a turn's prompt refers to TEXTS
RESULTS     the outcome of each debate
ADAPTERS    finished finetunings: one row for each adapter
EXAMPLES    the origin of each training row: its turn and selection rule
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from annotated_types import Interval
from pydantic import FiniteFloat, TypeAdapter

from society.core.types import ChatMessage, ChatRole, Decision, GenerateOutput, Judgement, ToolCall, Turn, TurnId
from society.store.table import Codec, Table, encode_json, to_storable
from society.store.tokens import RULE, pack_tokens, unpack_tokens

SHARED = "*"
"""Agent of an adapter that all agents share."""

Row = Mapping[str, Any]
Split = Literal["evaluation", "training"]


@dataclass(frozen=True, slots=True)
class MetaRow:
    """A fact about the run."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text, named by a hash of its contents."""

    key: bytes
    text: str


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A turn, and whether its reply was taken from another run's store."""

    turn: Turn
    reused: bool = False


@dataclass(frozen=True, slots=True)
class ResultRow:
    """The outcome of one debate. `verdicts` says for each distinct answer whether it is right.

    `scored` is False for a question without a true answer: nothing about it is right or wrong. `judgements` has the
    verdicts with a score, a reason or a comparison, by answer.
    """

    iteration: int
    item: str
    sample: int
    split: Split
    question: str
    gold: str
    decision: Decision
    correct: bool
    verdicts: Mapping[str, bool]
    scored: bool = True
    judgements: Mapping[str, Judgement] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """One adapter, trained after the debates of `iteration`.

    `hash` is None if there was nothing to learn from. `path` is relative to the run's folder. `losses` has one value
    per optimizer step. `left_out` counts unused turns by reason. `trained_on` is a hash of everything that shaped the
    adapter: rows, settings, seed, model and the adapter that training started from. `back_to` is the iteration to whose
    weights the guard returned; nothing was trained then.
    """

    iteration: int
    learner: str
    agent: str
    hash: str | None
    path: str
    base: str
    examples: int
    left_out: Mapping[str, int]
    losses: Sequence[FiniteFloat]
    tokens: int
    seconds: Annotated[float, Interval(ge=0, le=1e12)]
    trained_on: str = ""
    back_to: int | None = None


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """The origin of one training row: the turn whose text is learned, and the selection rule that took it.

    `weight` is its weight in the loss; the mean over the rows of a finetuning is 1. `part` counts the replies of a turn
    with calls of tools from 0. A row that is not `desired` is a reply to make less likely. `left_out` is the reason why
    the trainer omitted the row, such as "too long"; it is empty for rows that were trained on.
    """

    iteration: int
    learner: str
    agent: str
    number: int
    source: TurnId = field(metadata={"prefix": "source_"})
    rule: str
    weight: Annotated[float, Interval(ge=0, le=1e12)] = 1.0
    part: int = 0
    desired: bool = True
    left_out: str = ""


_CALLS: TypeAdapter[tuple[ToolCall, ...]] = TypeAdapter(tuple[ToolCall, ...])


def _write_calls(calls: tuple[ToolCall, ...]) -> str:
    return to_storable(encode_json(calls)) if calls else "[]"  # nearly all turns have none


def _read_calls(text: str) -> tuple[ToolCall, ...]:
    return () if text == "[]" else _CALLS.validate_json(text, strict=True)


_TURN_KEY = ("iteration", "item", "sample", "phase", "round", "agent")
_TURN_CODECS = {
    "messages": Codec("TEXT"),  # [[role, key of the text in hexadecimal], ...]: see `write_turn`
    "reads": Codec("TEXT", encode=encode_json),  # [[phase, round, agent], ...]: turns of the same debate
    "recalls": Codec("TEXT", encode=encode_json),  # [[item, sample, phase, round, agent], ...]: of the same iteration
    "calls": Codec("TEXT", encode=_write_calls, decode=_read_calls),
    "tokens": Codec("BLOB", RULE, pack_tokens, unpack_tokens, expected="packed token ids"),
}
META = Table("meta", MetaRow, ("name",))
TEXTS = Table("texts", TextRow, ("key",), ordered=True)
TURNS = Table("turns", TurnRow, _TURN_KEY, ordered=True, codecs=_TURN_CODECS)
RESULTS = Table("results", ResultRow, ("iteration", "item", "sample"), ordered=True)
ADAPTERS = Table("adapters", AdapterRow, ("iteration", "learner", "agent"))
EXAMPLES = Table("examples", ExampleRow, ("iteration", "learner", "agent", "number"))
TABLES: Mapping[str, Table[Any]] = {t.name: t for t in (META, TEXTS, TURNS, RESULTS, ADAPTERS, EXAMPLES)}
INDEXES = {"turns_by_key": "CREATE INDEX turns_by_key ON turns (key)"}

_REPLY = {"id", "key", "messages", "adapter", "replied", *(field.name for field in fields(GenerateOutput))}
DERIVED = tuple(
    name
    for name, column in TURNS.columns.items()
    if column.path.startswith("turn.") and column.path.split(".")[1] not in _REPLY
)
"""Columns that every run derives from a reply itself: all but the turn's identity, its request and the reply."""
_CHAT: TypeAdapter[list[tuple[ChatRole, str]]] = TypeAdapter(list[tuple[ChatRole, str]])
_RECALLS: TypeAdapter[list[tuple[str, int, str, int, str]]] = TypeAdapter(list[tuple[str, int, str, int, str]])
_READS: TypeAdapter[list[tuple[str, int, str]]] = TypeAdapter(list[tuple[str, int, str]])


def write_turn(turn: Turn, keys: Sequence[bytes], reused: bool) -> tuple[Any, ...]:
    """Return the values of a turn's row. `keys` names the text of each of its messages."""
    chat = [[message.role, key.hex()] for message, key in zip(turn.messages, keys, strict=True)]
    return TURNS.write(TurnRow(turn, reused), messages=encode_json(chat), **_write_sources(turn))


def write_derived(turn: Turn) -> tuple[Any, ...]:
    """Return the values of `DERIVED`."""
    return TURNS.write_part(DERIVED, TurnRow(turn), **_write_sources(turn))


def _write_sources(turn: Turn) -> dict[str, str]:
    """Return the columns of the turns that a turn was shown."""
    recalls = [[past.item, past.sample, past.phase, past.round, past.agent] for past in turn.recalls]
    return {
        "reads": encode_json([[read.phase, read.round, read.agent] for read in turn.reads]),
        "recalls": encode_json(recalls) if recalls else "[]",
    }


def read_turn(row: Row, text_of: Callable[[bytes], str]) -> Turn:
    """Return the turn of a row. `text_of` returns the text of a key. Raises `ValueError` for values of another form."""
    chat = TURNS.decode(row, "messages", _read_chat)
    messages = tuple(ChatMessage(role, text_of(key)) for role, key in chat)
    return TURNS.read(row, messages=messages, reads=_read_reads(row), recalls=_read_recalls(row)).turn


def _read_chat(text: str) -> list[tuple[ChatRole, bytes]]:
    return [(role, bytes.fromhex(key)) for role, key in _CHAT.validate_json(text, strict=True)]


def _read_reads(row: Row) -> tuple[TurnId, ...]:
    iteration, item, sample = row["iteration"], row["item"], row["sample"]
    reads = TURNS.decode(row, "reads", partial(_READS.validate_json, strict=True))
    return tuple(TurnId(iteration, item, phase, number, agent, sample) for phase, number, agent in reads)


def _read_recalls(row: Row) -> tuple[TurnId, ...]:
    if row.get("recalls", "[]") == "[]":  # an older store has no such column
        return ()
    recalls = TURNS.decode(row, "recalls", partial(_RECALLS.validate_json, strict=True))
    iteration = row["iteration"]
    return tuple(
        TurnId(iteration, item, phase, number, agent, sample) for item, sample, phase, number, agent in recalls
    )


def read_result(row: Row) -> ResultRow:
    """Return the outcome of a row. Raises `ValueError` if its `correct` contradicts its `verdicts`."""
    result = RESULTS.read(row)
    answer = result.decision.answer
    if result.correct != (answer is not None and result.verdicts.get(answer, False)):
        fault = "it contradicts the answer and the verdicts of the same row"
        raise ValueError(RESULTS.describe(row, "correct", fault))
    return result


def read_adapter(row: Row) -> AdapterRow:
    """Return the adapter of a row. Raises `ValueError` if its path leads out of the run's folder on any system."""
    adapter = ADAPTERS.read(row)
    for path in (PurePosixPath(adapter.path), PureWindowsPath(adapter.path)):
        if path.is_absolute() or path.drive or ".." in path.parts:
            raise ValueError(ADAPTERS.describe(row, "path", "it leads out of the run's folder"))
    return adapter
