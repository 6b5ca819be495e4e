"""Quantities of a method beside its accuracy, one number for each run: tokens, time, agreement, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean, stdev

from society.core.types import Same
from society.metrics.method_groups import Group
from society.metrics.reported import measure_metrics
from society.runs.records import DebateRecord, sameness
from society.scenario.expand import Society


@dataclass(frozen=True, slots=True)
class Column:
    """A quantity of one run. `measure` returns its mean over debates; `digits` are those shown after the point."""

    title: str
    measure: Callable[[Society, Sequence[DebateRecord], Same], float]
    digits: int = 0
    percent: bool = False


def _per_debate(number: Callable[[DebateRecord], float]) -> Callable[[Society, Sequence[DebateRecord], Same], float]:
    return lambda society, records, same: fmean(number(record) for record in records)


def _agreement(society: Society, records: Sequence[DebateRecord], same: Same) -> float:
    from society.answers import group
    from society.metrics.diversity import consensus_share

    shares = []
    for record in records:
        turns = record.last(record.voters(society))
        sizes = [len(one) for one in group([turn.answer for turn in turns if turn.answer is not None], same)]
        shares.append(consensus_share(sizes, len(turns) - sum(sizes)) if sizes else 0.0)
    return fmean(shares)


COLUMNS: Mapping[str, Column] = {
    "tokens": Column("tokens", _per_debate(lambda r: r.usage.generated_tokens)),
    "prompt_tokens": Column("prompt tokens", _per_debate(lambda r: r.usage.prompt_tokens)),
    "cost": Column("all tokens", _per_debate(lambda r: r.usage.generated_tokens + r.usage.prompt_tokens)),
    "seconds": Column("seconds", _per_debate(lambda r: r.usage.seconds), 2),
    "turns": Column("turns", _per_debate(lambda r: len(r.turns)), 1),
    "agreement": Column("agreement", _agreement, 1, percent=True),
}
"""Columns of choice beside "accuracy", each a mean per debate."""
ACCURACY = "accuracy"


def find_column(name: str) -> Column:
    """Return the column of this name; the numbers of metrics have two digits."""
    return COLUMNS.get(name) or Column(name.rpartition(".")[2].replace("_", " "), lambda *_: nan, 2)


def measure_metric_columns(group: Group, columns: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Return the numbers of the metrics by name, one for each run, if a column asks for one."""
    if all(name in (ACCURACY, *COLUMNS) for name in columns):
        return {}
    found = [measure_metrics(group.society, records) for records in group.records]
    names = dict.fromkeys(name for one in found for name in one)
    return {name: tuple(one.get(name, nan) for one in found) for name in names}


def measure_columns(group: Group) -> dict[str, tuple[float, ...]]:
    """Return the quantities of `COLUMNS` by name, one number for each run."""
    society = group.society
    same = sameness(society)
    return {
        name: tuple(column.measure(society, records, same) for records in group.records)
        for name, column in COLUMNS.items()
    }


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation over repetitions; the latter is NaN for one."""
    return fmean(values), stdev(values) if len(values) > 1 else float("nan")
