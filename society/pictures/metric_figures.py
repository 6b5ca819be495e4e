"""Figures of the metrics of a run: a chart by round where there are several, and a table of all numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from society.components.metrics.base import Number
from society.core.plain import shorten
from society.metrics.reported import Estimate, Reported
from society.pictures.figures import Axis, Chart, Figure, Point, Series, Table, note_intervals

MAX_SERIES = 6
"""Maximum number of series of a chart. The table has the others."""
MAX_ROWS = 40
"""Maximum number of rows of a table. The exported tables have the others."""
WHOLE = "whole debate"


def metric_figures(metrics: Iterable[Reported]) -> list[Figure]:
    """Return the figures of these metrics."""
    found: list[Figure] = []
    for metric in metrics:
        chart = metric_chart(metric)
        found += [metric_table(metric)] if chart is None else [chart, metric_table(metric)]
    return found


def metric_chart(metric: Reported) -> Chart | None:
    """Return the most important numbers of a metric by round; None where fewer than two rounds have any."""
    series = _list_series(metric)[:MAX_SERIES]
    if not any(len(one.points) > 1 for one in series):
        return None
    shares = all(one.number.unit == "share" for one in _choose(metric))
    axis = Axis(unit="share" if shares else "number")
    note = _capital(metric.sentence)
    note += note_intervals(series, "95% intervals over questions")
    return Chart(f"metric-{metric.kind}", _title(metric), note, Axis(names=metric.stages), axis, series)


def _list_series(metric: Reported) -> list[Series]:
    points: dict[str, list[Point]] = {}
    for one in _choose(metric):
        number = one.number
        name = f"mean of {shorten(number.group, 40)}" if _is_mean(number) else number.name
        point = Point(metric.stages.index(number.stage), number.value or 0.0, one.low, one.high)
        points.setdefault(shorten(name, 60), []).append(point)
    return [Series(name, found) for name, found in points.items()]


def _choose(metric: Reported) -> list[Estimate]:
    """Return the numbers of the chart: headlines by round; of several questions their means, of one its shares."""
    known = [one for one in metric.shown if one.number.stage and one.number.value is not None]
    groups = {one.number.group for one in known}
    if groups == {""}:
        headlines = {one.number.name for one in metric.shown if one.number.headline}
        return [one for one in known if one.number.name in headlines]
    if len(groups) == 1:
        return [one for one in known if one.number.unit == "share"]
    return [one for one in known if _is_mean(one.number)]


def _is_mean(number: Number) -> bool:
    """Return whether this is the mean of opinions. An answer may be named "mean", too: its number is a share."""
    return number.name == "mean" and number.unit == "number"


def metric_table(metric: Reported) -> Table:
    """Return all numbers of a metric, with a column for each round."""
    stages = [stage for stage in metric.stages if any(one.number.stage == stage for one in metric.shown)]
    whole = any(not one.number.stage for one in metric.shown)
    columns = [_first_column(metric), *stages, *([WHOLE] if whole else [])]
    rows: dict[str, dict[str, str]] = {}
    for one in metric.shown:
        number = one.number
        name = f"{shorten(number.group, 60)}: {shorten(number.name, 60)}" if number.group else number.name
        count = f" (n = {number.n:,})" if number.n else ""
        rows.setdefault(name, {})[number.stage or WHOLE] = f"{one}{count}"
    shown = [[name, *(cells.get(column, "") for column in columns[1:])] for name, cells in rows.items()]
    note = metric.note
    if len(shown) > MAX_ROWS:
        note += f" The first {MAX_ROWS} of {len(shown):,} rows; society export writes all."
    return Table(f"metric-{metric.kind}-table", f"{_title(metric)} in numbers", note, columns, shown[:MAX_ROWS])


def _first_column(metric: Reported) -> str:
    """Return the heading of the numbers' names."""
    return "question: answer" if metric.kind == "opinions" else "measure"


def _title(metric: Reported) -> str:
    return _capital(metric.kind.replace("_", " "))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def describe_metrics(metrics: Sequence[Reported]) -> list[dict[str, str]]:
    """Return each metric as a finding of the report: its question, the answer and a sentence."""
    return [{"question": m.question, "answer": _capital(m.answer), "detail": _capital(m.sentence)} for m in metrics]
