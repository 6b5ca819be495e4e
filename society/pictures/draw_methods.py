"""Draws the accuracy of methods below each other, with intervals and a mark for each repetition. Needs `draw`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from society.core.plain import shorten
from society.metrics.methods import MethodComparison
from society.pictures.draw_charts import COLOURS
from society.pictures.files import GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 40
"""Maximum number of characters of a label."""
ROW, FRAME, WIDTH = 0.26, 0.95, 4.8
"""Inches of a method, of the space above and below all methods, and of the figure."""


def draw_methods(found: MethodComparison) -> Figure:
    """Return a figure with one line per method; a dashed line marks the baseline's accuracy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, FRAME + ROW * len(found.methods)), facecolor="white")
    axes = figure.subplots()
    for place, method in enumerate(found.methods):
        if method.accuracy is None:
            continue
        mean = method.accuracy
        several = len(method.shares) > 1
        if several:
            axes.plot(method.shares, [place] * len(method.shares), "|", color=GREY, ms=7, mew=1, zorder=2, label="runs")
        axes.hlines(place, mean.low, mean.high, color=COLOURS[0], lw=1.4, zorder=3, label="95% interval")
        axes.plot(mean.value, place, "o", color=COLOURS[0], ms=4.5, zorder=4, label="mean" if several else "accuracy")
    if found.baseline and found.methods[0].accuracy is not None:
        axes.axvline(found.methods[0].accuracy.value, color=GREY, lw=0.9, ls="--", zorder=1, label="baseline")
    axes.set_yticks(range(len(found.methods)), [shorten(method.label, LONGEST) for method in found.methods])
    axes.set_ylim(len(found.methods) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    axes.set_xlabel("accuracy")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return figure
