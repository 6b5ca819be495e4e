"""Draws charts and bars (`society.pictures.figures`) with matplotlib."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from society.pictures.figures import Axis, Bars, Chart, Series
from society.pictures.files import GREY, PALETTE, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = tuple(PALETTE[i] for i in (5, 6, 2, 3, 1, 0, 7))
"""Colours of series: the palette, with its darker colours first for lines on white."""
MARKERS, DASHES = "os^D", ("-", "--", ":", "-.")
TONES = {
    "normal": PALETTE[5],
    "faint": PALETTE[7],
    "good": PALETTE[2],
    "found": PALETTE[1],
    "bad": PALETTE[6],
    "lost": PALETTE[7],
}
LEGEND_ROW = 0.17
"""Inches that each row of the legend after the second adds to the figure."""
CHART, PANEL = (5.2, 3.6), (3.5, 3.4)
"""Width and height in inches: of a chart alone, and of each of several."""


def draw_charts(charts: Sequence[Chart]) -> Figure:
    """Return a figure with the charts side by side and one legend."""
    width, height = CHART if len(charts) == 1 else PANEL
    widest = max(len(chart.x.names) for chart in charts)
    figure, panels = _figure(len(charts) * max(width, 1.6 + 0.8 * widest), height, len(charts))
    for axes, chart in zip(panels, charts, strict=True):
        styles: Counter[int | None] = Counter()  # series of one run have one colour and differ by marker and dash
        for position, series in enumerate(chart.series):
            colour = position if series.colour is None else series.colour
            style = styles[series.colour] + colour // len(COLOURS)  # colours that repeat have another marker
            _draw_series(axes, series, COLOURS[colour % len(COLOURS)], style % len(MARKERS))
            styles[series.colour] += series.colour is not None
        _label_axes(axes, chart)
    if len({chart.id for chart in charts}) == 1:  # panels of one figure: heights can be compared
        low, high = zip(*(axes.get_ylim() for axes in panels), strict=True)
        for axes in panels:
            axes.set_ylim(min(low), max(high))
    _legend(figure, [series.legend or series.name for chart in charts for series in chart.series])
    return figure


def draw_bars(figures: Sequence[Bars], titles: Sequence[str]) -> Figure:
    """Return a figure with the bars of each description below its title, all to one scale."""
    most = max(len(one.bars) for one in figures)
    figure, panels = _figure(max(4.6, 3.2 * len(figures)), 1.4 + 0.45 * most, len(figures))
    for axes, one, title in zip(panels, figures, titles, strict=True):
        for place, bar in enumerate(one.bars):
            ends = {True: 0.0, False: 0.0}  # where the bar ends on either side of zero
            for part in filter(lambda part: part.value, bar.parts):
                side = part.value < 0
                axes.barh(place, part.value, 0.6, ends[side], color=TONES[part.tone], label=part.name)
                ends[side] += part.value
        axes.axvline(0, color=TEXT, lw=0.8)
        axes.set_yticks(range(len(one.bars)), [bar.name for bar in one.bars])
        axes.set_ylim(most - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(one.axis.label)
        if one.axis.unit == "share":
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * abs(value):g}%")
    reach = 1.1 * max(abs(limit) for axes in panels for limit in axes.dataLim.intervalx)
    for axes in panels:
        axes.set_xlim(-reach, reach)
    order = [part.name for one in figures for bar in one.bars for part in bar.parts]
    _legend(figure, order)
    return figure


def _figure(width: float, height: float, panels: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _draw_series(axes: Axes, series: Series, colour: str, style: int) -> None:
    places, values = [point.x for point in series.points], [point.y for point in series.points]
    label = series.legend or series.name
    if series.line == "step":
        axes.step(places, values, where="post", color=GREY, lw=0.9, ls=":", label=label)
        return
    if series.faint:
        axes.plot(places, values, color="#BBBBBB", lw=0.9, label=label)
        return
    bounded = [point for point in series.points if point.low is not None and point.high is not None]
    at, low, high = ([getattr(point, name) for point in bounded] for name in ("x", "low", "high"))
    if series.interval == "band" and len(bounded) > 1:
        axes.fill_between(at, low, high, color=colour, alpha=0.15 if style == 0 else 0.07, lw=0)
    elif series.interval != "none":
        axes.vlines(at, low, high, color=colour, lw=0.8)
    dashes = "none" if series.line == "none" else DASHES[style]
    filled = colour if style == 0 else "white"
    axes.plot(places, values, marker=MARKERS[style], ls=dashes, color=colour, mfc=filled, ms=4.5, lw=1.5, label=label)


def _label_axes(axes: Axes, chart: Chart) -> None:
    from matplotlib.ticker import MaxNLocator

    for axis, description in ((axes.xaxis, chart.x), (axes.yaxis, chart.y)):
        axis.set_label_text(description.label)
        if description.unit == "share":
            axis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
        if description.unit == "whole":
            axis.set_major_locator(MaxNLocator(integer=True))
    _set_range(axes, chart.x)
    if chart.y.start is not None:
        axes.set_ylim(bottom=chart.y.start)


def _set_range(axes: Axes, axis: Axis) -> None:
    if axis.names:
        axes.set_xticks(range(len(axis.names)), axis.names)
        axes.set_xlim(-0.3, len(axis.names) - 0.7)
    elif axis.start is not None:
        axes.set_xlim(left=axis.start)


def _legend(figure: Figure, order: Sequence[str]) -> None:
    """Add one legend below all panels with each label once, in this order."""
    found = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
    shown = [label for label in dict.fromkeys(order) if label in handles]
    if not shown:
        return
    widest = 0.6 + 0.065 * max(map(len, shown))  # inches of the longest entry
    columns = max(1, min(len(shown), int(figure.get_figwidth() / widest)))
    entries = [handles[label] for label in shown]
    rows = -(-len(shown) // columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * max(0, rows - 2))
    figure.legend(entries, shown, loc="outside lower center", ncols=columns, fontsize=8)
