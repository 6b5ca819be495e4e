"""Descriptions of figures, independent of what draws them.

The report's page draws them with JavaScript, `society plot` with matplotlib (`draw_charts`). A description holds plain
data only, so that `to_json` can embed it into a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from society.metrics.diversity import Mean
from society.metrics.proportion import Proportion

Unit = Literal["share", "number", "whole"]
"""Unit of an axis: a share in [0, 1], shown in percent; any number; or whole numbers, with ticks at these only."""
Tone = Literal["normal", "faint", "good", "found", "bad", "lost"]
"""Meaning of a bar's colour. `found` and `lost`: an unreadable answer became right, a right one became unreadable."""


@dataclass(frozen=True)
class Figure:
    """The base of all figures. `id` names the figure in the page, `note` explains how to read it."""

    id: str
    title: str
    note: str


@dataclass(frozen=True)
class Axis:
    """An axis of a chart. With `names`, positions are indexes into them. `start` is the lowest value shown."""

    label: str = ""
    unit: Unit = "number"
    names: Sequence[str] = ()
    start: float | None = None


@dataclass(frozen=True)
class Point:
    """A point with the bounds of its interval; `name` is written beside it."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Series:
    """Points that belong together. `colour` indexes the palette; by default it is the position in the chart.

    `legend` replaces the name in the legend, where each text appears once. Faint series are grey and have no marks.
    """

    name: str
    points: Sequence[Point]
    line: Literal["straight", "step", "none"] = "straight"
    interval: Literal["band", "bar", "none"] = "band"
    faint: bool = False
    legend: str = ""
    colour: int | None = None


def note_intervals(series: Sequence[Series], meaning: str) -> str:
    """Return a sentence on the intervals that these series show, as bands or as bars; "" if they show none."""
    bounded = [sum(point.low is not None for point in one.points) for one in series if one.interval == "band"]
    if not any(bounded):
        return ""
    return f" {'Bands' if max(bounded) > 1 else 'Bars'}: {meaning}."


@dataclass(frozen=True)
class Chart(Figure):
    """Series of points over a common axis."""

    x: Axis
    y: Axis
    series: Sequence[Series]


@dataclass(frozen=True)
class Row:
    """A value with its interval; `n` is the sample size, `strong` marks the headline."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    strong: bool = False


@dataclass(frozen=True)
class Forest(Figure):
    """Shares below each other, each with its interval."""

    rows: Sequence[Row]


@dataclass(frozen=True)
class Part:
    """A segment of a bar. Negative values extend to the left of zero."""

    name: str
    value: float
    tone: Tone = "normal"


@dataclass(frozen=True)
class Bar:
    """A bar, made of segments that follow each other from zero in either direction."""

    name: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Bars(Figure):
    """Horizontal bars of counts or shares, from top to bottom."""

    axis: Axis
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Cell:
    """A count. `tag` names the filter that lists the counted debates (`society.report.rows.TAGS`)."""

    value: int
    tag: str = ""
    tone: Literal["", "good", "bad"] = ""


@dataclass(frozen=True)
class Matrix(Figure):
    """Counts by row and column."""

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Table(Figure):
    """Rows of texts and numbers under their column headers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def to_json(figure: Figure) -> dict[str, Any]:
    """Return the figure as plain data; `kind` is the lower-case name of its class."""
    return {"kind": type(figure).__name__.lower()} | asdict(figure)


def percent(share: Proportion) -> str:
    """Return a proportion in percent for a table, or "-" if its sample is empty."""
    return f"{share.share:.1%}" if share.n else "-"


def share_row(name: str, share: Proportion, strong: bool = False) -> Row:
    """Return a proportion as a row of a forest plot."""
    return Row(name, share.share, share.low, share.high, share.n, strong)


def share_points(places: Sequence[float], shares: Sequence[Proportion | None]) -> list[Point]:
    """Return one point for each known proportion, with its interval."""
    found = zip(places, shares, strict=True)
    return [Point(x, share.share, share.low, share.high) for x, share in found if share is not None and share.n]


def mean_points(
    places: Sequence[float], means: Sequence[Mean], low: float = float("-inf"), high: float = float("inf")
) -> list[Point]:
    """Return one point for each known mean, with two standard errors either way, cut off at `low` and `high`."""
    found = zip(places, means, strict=True)
    return [Point(x, mean.value, *mean_interval(mean, low, high)) for x, mean in found if mean.n]


def mean_interval(mean: Mean, low: float, high: float) -> tuple[float | None, float | None]:
    """Return the mean's interval of two standard errors either way, or None twice where the error is not known."""
    if mean.error != mean.error:
        return None, None
    return max(low, mean.value - 2 * mean.error), min(high, mean.value + 2 * mean.error)


def overlay(charts: Sequence[Chart], names: Sequence[str]) -> list[Chart]:
    """Return charts with the series of all, a colour for each given chart. `names` are put before those of the series.

    Charts share one chart if their positions have the same names, or fewer of these; the others get a chart of their
    own. A single chart is returned as it is. Faint series are left out where there are several charts.
    """
    if len(charts) == 1:
        return list(charts)
    shared: list[Chart] = []
    for number, (chart, name) in enumerate(zip(charts, names, strict=True)):
        named = _name_series(chart, name, number)
        place = next((i for i, other in enumerate(shared) if _has_same_names(other.x, chart.x)), None)
        if place is None:
            shared.append(named)
        else:
            longest = max(shared[place], named, key=lambda one: len(one.x.names))
            shared[place] = replace(longest, series=[*shared[place].series, *named.series])
    return shared


def _name_series(chart: Chart, name: str, colour: int) -> Chart:
    series = [replace(one, name=f"{name}: {one.name}", legend="", colour=colour) for one in chart.series]
    return replace(chart, series=[one for one in series if not one.faint])


def _has_same_names(first: Axis, second: Axis) -> bool:
    """Return whether each position that both axes have has one name."""
    return all(one == other for one, other in zip(first.names, second.names, strict=False))
