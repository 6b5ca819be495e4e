"""A run as pandas data frames, and these as files, for analysis elsewhere. Needs the extra `tables`.

turns_table      a row for each turn
results_table    a row for each debate
edges_table      a row for each turn that another turn read
metrics_table    a row for each number of each metric
write_tables     all of them in a folder, as Parquet, JSON lines or CSV (`society.metrics.spreadsheet` keeps texts in
                 CSV from being formulas)

Columns derive from the dataclasses `Turn`, `ResultRow`, `DebateCounts`, `EdgeRow` and `MetricRow`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from society.core.atomic import atomic_write
from society.core.columns import Column, list_columns
from society.core.disks import advise
from society.core.errors import InputError, MissingExtraError
from society.core.types import Turn, TurnId, Usage
from society.metrics.reported import Estimate, report_metrics
from society.metrics.spreadsheet import quote
from society.metrics.verdicts import score_of
from society.runs.records import DebateRecord, by_iteration, load_records
from society.scenario.expand import expand
from society.store.rows import ResultRow
from society.store.table import encode_json

if TYPE_CHECKING:
    import pandas as pd

    from society.runs.run import Run

Format = Literal["parquet", "jsonl", "csv"]
Columns = Sequence[Column]
_TYPES = {bool: "boolean", int: "Int64", float: "Float64", str: "string"}
"""The pandas type of a column, by the type of its values. Collections become JSON."""


@dataclass(frozen=True, slots=True)
class TurnContext:
    """Columns of a turn beside its fields.

    `right` is False without a readable answer. It is None for helpers' turns, and where there is no true answer.
    """

    split: str
    right: bool | None


@dataclass(frozen=True, slots=True)
class DebateCounts:
    """Columns of a debate beside its result. `score` and `verdict_note` are those of its decision, where there are."""

    turns: int
    failed: int
    score: float | None
    verdict_note: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """One reading: the turn that was read (`sender`), and the reader's answer before and after.

    None is the answer before a reader's first turn, and an unreadable answer. Helpers' replies, and answers to
    questions without a true answer, are neither right nor wrong: None.
    """

    split: str
    iteration: int
    item: str
    sample: int
    sender: str
    sender_phase: str
    sender_round: int
    reader: str
    reader_phase: str
    reader_round: int
    sender_answer: str | None
    sender_right: bool | None
    answer_before: str | None
    answer_after: str | None
    right_before: bool | None
    right_after: bool | None


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One number of a metric in an iteration of the evaluation. `stage` is empty for numbers about whole debates."""

    iteration: int
    metric: str
    name: str
    stage: str
    group: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    questions: int


def _select(record: type[Any], *left_out: str) -> Columns:
    return [column for column in list_columns(record) if column.name not in left_out]


TURN_COLUMNS = _select(Turn, "messages", "reads", "tokens", "replied")
RESULT_COLUMNS = _select(ResultRow, "tied", "verdicts", "single", "judgements")


def turns_table(run: Run) -> pd.DataFrame:
    """Return a row for each turn of a finished debate, in order."""
    debates = ((record, turn) for record in _all_records(run) for turn in record.turns)
    rows = ((_turn_context(record, turn), turn) for record, turn in debates)
    return _frame(rows, list_columns(TurnContext), TURN_COLUMNS)


def _turn_context(record: DebateRecord, turn: Turn) -> TurnContext:
    return TurnContext(record.result.split, _right(record, turn))


def _right(record: DebateRecord, turn: Turn) -> bool | None:
    """Return whether the turn's answer is right; None for a helper's, and where the question has no true answer."""
    return record.right(turn) if record.scored and not record.helps(turn) else None


def results_table(run: Run) -> pd.DataFrame:
    """Return a row for each finished debate, with its decision and cost.

    An undecided debate has no `answer`. `correct` is missing where the question has no true answer.
    """
    rows = ((_result(record), _count(record)) for record in _all_records(run))
    return _frame(rows, RESULT_COLUMNS, list_columns(DebateCounts))


def _result(record: DebateRecord) -> ResultRow:
    """Return the result for its row: neither right nor wrong without a true answer."""
    return record.result if record.scored else replace(record.result, correct=None)  # type: ignore[arg-type]


def edges_table(run: Run) -> pd.DataFrame:
    """Return a row for each turn that another turn read."""
    rows = ((edge,) for record in _all_records(run) for edge in _list_edges(record))
    return _frame(rows, list_columns(EdgeRow))


def metrics_table(run: Run) -> pd.DataFrame:
    """Return a row for each number of each metric (`metrics:` of the scenario), by evaluated iteration."""
    society = expand(run.scenario)
    reported = {i: report_metrics(society, found) for i, found in by_iteration(load_records(run)).items()}
    rows = (
        (_metric_row(i, metric.kind, one),) for i, m in reported.items() for metric in m for one in metric.estimates
    )
    return _frame(rows, list_columns(MetricRow))


def _metric_row(iteration: int, kind: str, one: Estimate) -> MetricRow:
    number = one.number
    place = (iteration, kind, number.name, number.stage, number.group)
    return MetricRow(*place, number.value, one.low, one.high, number.n, one.questions)


def _all_records(run: Run) -> list[DebateRecord]:
    """Return the debates of the evaluation, then those for training."""
    return [*load_records(run), *load_records(run, split="training")]


def _count(record: DebateRecord) -> DebateCounts:
    failed = sum(turn.status == "failed" for turn in record.turns)
    answer = record.result.decision.answer
    given = None if answer is None else record.result.judgements.get(answer)
    return DebateCounts(len(record.turns), failed, score_of(record), given.note if given else "", record.usage)


def _list_edges(record: DebateRecord) -> Iterator[EdgeRow]:
    turns: dict[TurnId, Turn] = {turn.id: turn for turn in record.turns}
    latest: dict[str, Turn] = {}
    for turn in record.turns:
        before = latest.get(turn.id.agent)
        for source in (turns[i] for i in turn.reads if i in turns):
            yield _make_edge(record, source, turn, before)
        if not record.helps(turn):
            latest[turn.id.agent] = turn


def _make_edge(record: DebateRecord, source: Turn, turn: Turn, before: Turn | None) -> EdgeRow:
    return EdgeRow(
        split=record.result.split,
        iteration=turn.id.iteration,
        item=turn.id.item,
        sample=turn.id.sample,
        sender=source.id.agent,
        sender_phase=source.id.phase,
        sender_round=source.id.round,
        reader=turn.id.agent,
        reader_phase=turn.id.phase,
        reader_round=turn.id.round,
        sender_answer=source.answer,
        sender_right=_right(record, source),
        answer_before=before.answer if before else None,
        answer_after=turn.answer,
        right_before=_right(record, before) if before else None,
        right_after=_right(record, turn),
    )


def _frame(rows: Iterable[tuple[Any, ...]], *parts: Columns) -> pd.DataFrame:
    """Return a table. Each row is a tuple of records, one for each of these lists of columns."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("A table", "pandas", "tables") from error
    columns = [column for part in parts for column in part]
    getters = [[_make_getter(column) for column in part] for part in parts]
    values = [[get(one) for one, gets in zip(row, getters, strict=True) for get in gets] for row in rows]
    types = {column.name: _TYPES.get(column.scalar or str, "string") for column in columns}
    return pd.DataFrame(values, columns=list(types)).astype(types)


def _make_getter(column: Column) -> Callable[[Any], Any]:
    """Return a function that gets a column's value from its record, a collection as JSON."""
    get = attrgetter(column.path)
    return get if column.scalar else lambda record: encode_json(get(record))


def write_tables(run: Run, folder: Path, form: Format = "parquet") -> list[Path]:
    """Write every table into `folder` (created if needed), each file atomically; return the paths.

    The tables are `turns`, `results` and `edges`, and `metrics` where the run has any. Raises `InputError` where the
    folder cannot be written, `MissingExtraError` without pandas or pyarrow.
    """
    tables = {"turns": turns_table(run), "results": results_table(run), "edges": edges_table(run)}
    metrics = metrics_table(run)
    tables |= {"metrics": metrics} if len(metrics) else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(table, folder / f"{name}.{form}", form) for name, table in tables.items()]
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror}.",
            advise(error, "Choose another place with --to (Python: folder)."),
        ) from error


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain data, with None for missing values. Numbers keep every digit."""
    plain = table.astype(object)
    return cast("list[dict[str, Any]]", plain.where(plain.notna(), None).to_dict("records"))


def _json_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _quoted(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table without texts that a spreadsheet takes for formulas."""
    texts = [name for name in table.columns if str(table[name].dtype) == "string"]
    return table.assign(**{name: table[name].map(quote, na_action="ignore") for name in texts})


def _write(table: pd.DataFrame, path: Path, form: Format) -> Path:
    try:
        with atomic_write(path) as part:
            if form == "parquet":
                table.to_parquet(part, index=False, engine="pyarrow")
            elif form == "jsonl":
                part.write_text("".join(map(_json_line, _records(table))), "utf-8")
            else:
                _quoted(table).to_csv(part, index=False, lineterminator="\n")
    except ImportError as error:
        raise MissingExtraError("Parquet", "pyarrow", "tables") from error
    return path
