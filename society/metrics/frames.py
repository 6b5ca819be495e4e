"""A run as pandas data frames, and these as files: for people who go on elsewhere. Needs the extra `tables`.

turns_table      a row for each turn
results_table    a row for each debate
edges_table      a row for each time a turn read another
write_tables     all of them into a folder, as Parquet, JSON lines or CSV (where no text is a formula:
                 `society.metrics.spreadsheet` says how, and gives the text back)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from society.core.atomic import appearing
from society.core.errors import InputError, MissingExtraError
from society.core.types import Turn, TurnId
from society.metrics.spreadsheet import quote
from society.runs.records import DebateRecord, load_records

if TYPE_CHECKING:
    import pandas as pd

    from society.runs.run import Run

Format = Literal["parquet", "jsonl", "csv"]

TURN_TYPES = {
    "split": "string",
    "iteration": "Int64", "item": "string", "sample": "Int64", "phase": "string", "round": "Int64", "agent": "string",
    "text": "string", "answer": "string", "right": "boolean", "status": "string", "error": "string",
    "finish_reason": "string", "logprob": "Float64", "confidence": "Float64", "adapter": "string",
    "prompt_tokens": "Int64", "generated_tokens": "Int64", "cached_tokens": "Int64", "seconds": "Float64",
    "key": "string",
}  # fmt: skip
RESULT_TYPES = {
    "split": "string",
    "iteration": "Int64", "item": "string", "sample": "Int64", "question": "string", "gold": "string",
    "answer": "string", "correct": "boolean", "support": "Float64", "reason": "string", "turns": "Int64",
    "failed": "Int64", "prompt_tokens": "Int64", "generated_tokens": "Int64", "cached_tokens": "Int64",
    "seconds": "Float64",
}  # fmt: skip
EDGE_TYPES = {
    "split": "string",
    "iteration": "Int64", "item": "string", "sample": "Int64", "sender": "string", "sender_phase": "string",
    "sender_round": "Int64", "reader": "string", "reader_phase": "string", "reader_round": "Int64",
    "sender_answer": "string", "sender_right": "boolean", "answer_before": "string", "answer_after": "string",
    "right_before": "boolean", "right_after": "boolean",
}  # fmt: skip


def turns_table(run: Run) -> pd.DataFrame:
    """A row for each turn of a finished debate, in order; `right` is False where the answer was not readable."""
    return _frame(((_turn_row(r, turn)) for r in _all_records(run) for turn in r.turns), TURN_TYPES)


def results_table(run: Run) -> pd.DataFrame:
    """A row for each finished debate, with its decision and cost; no `answer` where it did not decide."""
    return _frame(map(_result_row, _all_records(run)), RESULT_TYPES)


def edges_table(run: Run) -> pd.DataFrame:
    """A row for each time a turn read another: what the sender said, the reader's answer before and after.

    Nothing (NA) stands before a reader's first turn, and for answers that could not be read.
    """
    return _frame((row for record in _all_records(run) for row in _edge_rows(record)), EDGE_TYPES)


def _all_records(run: Run) -> list[DebateRecord]:
    """The evaluation's debates, then those for training."""
    return [*load_records(run), *load_records(run, split="training")]


def _turn_row(record: DebateRecord, turn: Turn) -> list[Any]:
    i, u = turn.id, turn.usage
    return [
        record.result.split,
        i.iteration, i.item, i.sample, i.phase, i.round, i.agent, turn.text, turn.answer, record.right(turn),
        turn.status, turn.error, turn.finish_reason, turn.logprob, turn.confidence, turn.adapter, u.prompt_tokens,
        u.generated_tokens, u.cached_tokens, u.seconds, turn.key,
    ]  # fmt: skip


def _result_row(record: DebateRecord) -> list[Any]:
    r, u = record.result, record.usage
    failed = sum(turn.status == "failed" for turn in record.turns)
    return [
        r.split, r.iteration, r.item, r.sample, r.question, r.gold, r.decision.answer, r.correct, r.decision.support,
        r.decision.reason, len(record.turns), failed, u.prompt_tokens, u.generated_tokens, u.cached_tokens, u.seconds,
    ]  # fmt: skip


def _edge_rows(record: DebateRecord) -> Iterable[list[Any]]:
    turns: dict[TurnId, Turn] = {turn.id: turn for turn in record.turns}
    latest: dict[str, Turn] = {}
    for turn in record.turns:
        before = latest.get(turn.id.agent)
        for source in (turns[i] for i in turn.reads if i in turns):
            s, r = source.id, turn.id
            yield [
                record.result.split,
                r.iteration, r.item, r.sample, s.agent, s.phase, s.round, r.agent, r.phase, r.round,
                source.answer, record.right(source), before.answer if before else None, turn.answer,
                record.right(before) if before else None, record.right(turn),
            ]  # fmt: skip
        latest[turn.id.agent] = turn


def _frame(rows: Iterable[Sequence[Any]], types: dict[str, str]) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("A table", "pandas", "tables") from error
    return pd.DataFrame(list(rows), columns=list(types)).astype(types)


def write_tables(run: Run, folder: Path, form: Format = "parquet") -> list[Path]:
    """Write `turns`, `results` and `edges` into `folder` (made if needed), each file atomically; give their paths.

    Raises `InputError` where the folder cannot be written, `MissingExtraError` without pandas or pyarrow.
    """
    tables = {"turns": turns_table(run), "results": results_table(run), "edges": edges_table(run)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(table, folder / f"{name}.{form}", form) for name, table in tables.items()]
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}.", "Choose another place with --to.") from error


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain data, with None where nothing is known. Numbers keep every digit."""
    plain = table.astype(object)
    return cast("list[dict[str, Any]]", plain.where(plain.notna(), None).to_dict("records"))


def _json_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _quoted(table: pd.DataFrame) -> pd.DataFrame:
    """The table with no text that a spreadsheet takes for a formula: see `society.metrics.spreadsheet`."""
    texts = [name for name in table.columns if str(table[name].dtype) == "string"]
    return table.assign(**{name: table[name].map(quote, na_action="ignore") for name in texts})


def _write(table: pd.DataFrame, path: Path, form: Format) -> Path:
    try:
        with appearing(path) as part:
            if form == "parquet":
                table.to_parquet(part, index=False, engine="pyarrow")
            elif form == "jsonl":
                part.write_text("".join(map(_json_line, _records(table))), "utf-8")
            else:
                _quoted(table).to_csv(part, index=False, lineterminator="\n")
    except ImportError as error:
        raise MissingExtraError("Parquet", "pyarrow", "tables") from error
    return path
