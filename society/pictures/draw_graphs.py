"""Draws graphs (`society.pictures.graphs`) with matplotlib: one panel for each, roles by colour, one legend.

An arrow points at the reader. Where all reading is mutual, edges are plain lines. Needs the extra `draw`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.pictures.draw_panel import DASHES, GRAY, draw_panel, font_size, shorten_name
from society.pictures.files import PALETTE, TEXT, plotting, read_format, save
from society.pictures.graphs import MAX_NAMES, Graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHAPES = "osD^"
"""Markers of roles: from the ninth role on, the colours repeat with the next marker."""
UNIT, LABELLED, LARGEST = 0.9, 1.7, 6.0
"""Inches between neighbours, between neighbours if edges have labels, and the largest extent of a graph."""
MARGIN, TITLE, LEGEND = 0.42, 0.35, 0.28
"""Inches above and below a graph, for its title, and for a row of the legend."""
LEGEND_ENTRY = 1.35
"""Width of a legend entry, in inches."""


@dataclass(frozen=True)
class Panel:
    """A graph with its bounding box and its scale: `unit` is the size of a unit of distance in inches."""

    graph: Graph
    left: float
    right: float
    bottom: float
    top: float
    unit: float

    @property
    def size(self) -> tuple[float, float]:
        """Return width and height in inches, with room for names at the sides."""
        names = (
            [len(shorten_name(node.name)) for node in self.graph.nodes] if len(self.graph.nodes) <= MAX_NAMES else []
        )
        side = 0.3 + max(names, default=0) * font_size(self.unit) * 0.6 / 72
        width, height = (self.right - self.left) * self.unit, (self.top - self.bottom) * self.unit
        return width + 2 * side, height + 2 * MARGIN + TITLE


def draw(graphs: Sequence[Graph], path: Path) -> None:
    """Draw the graphs side by side into `path`, a .svg, .png or .pdf file. The same input gives the same file.

    Raises `InputError` for another extension or a path that cannot be written, `MissingExtraError` without matplotlib.
    """
    read_format(path)
    with plotting("society draw"):
        save(compose(graphs), path)


def compose(graphs: Sequence[Graph]) -> Figure:
    """Return a figure with the graphs in rows of at most three, each in the size that it needs, and one legend."""
    from matplotlib.figure import Figure

    panels = [_measure(graph) for graph in graphs]
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    widths = [max(1.8, *(panel.size[0] for panel in panels[i::columns])) for i in range(columns)]
    heights = [max(panel.size[1] for panel in panels[i : i + columns]) for i in range(0, len(panels), columns)]
    handles = _legend_handles(graphs)
    across = max(1, int(sum(widths) / LEGEND_ENTRY))
    foot = LEGEND * math.ceil(len(handles) / across) + 0.1
    figure = Figure(figsize=(sum(widths), sum(heights) + foot), facecolor="white")
    figure.set_layout_engine("none")
    looks = _role_looks(graphs)
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        corner = sum(widths[:column]), sum(heights[row + 1 :]) + foot
        axes = _add_axes(figure, panel, corner, (widths[column], heights[row] - TITLE))
        axes.set_title(panel.graph.title, fontsize=11, color=TEXT, parse_math=False)
        draw_panel(axes, panel.graph, panel.unit, looks)
    if handles:
        legend = figure.legend(
            handles=handles,
            loc="lower center",
            ncols=min(across, len(handles)),
            frameon=False,
            fontsize=8,
            labelcolor=TEXT,
            handletextpad=0.6,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _measure(graph: Graph) -> Panel:
    """Return the graph's panel: with more room between neighbours if edges have labels, less in a large graph."""
    xs = [node.x for node in graph.nodes] or [0.0]
    ys = [node.y for node in graph.nodes] or [0.0]
    extent = max(max(xs) - min(xs), max(ys) - min(ys), 1)
    unit = LABELLED if any(edge.label for edge in graph.edges) else UNIT
    return Panel(graph, min(xs), max(xs), min(ys), max(ys), min(unit, LARGEST / extent))


def _add_axes(figure: Figure, panel: Panel, corner: tuple[float, float], size: tuple[float, float]) -> Axes:
    """Add axes at `corner` with `size`, both in inches, and the graph in their centre."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((corner[0] / width, corner[1] / height, size[0] / width, size[1] / height))
    axes.set_axis_off()
    x, y = (panel.left + panel.right) / 2, (panel.bottom + panel.top) / 2
    axes.set_xlim(x - size[0] / panel.unit / 2, x + size[0] / panel.unit / 2)
    axes.set_ylim(y - size[1] / panel.unit / 2, y + size[1] / panel.unit / 2)
    return axes


def _role_looks(graphs: Sequence[Graph]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each role, in order of appearance."""
    names = dict.fromkeys(node.role for graph in graphs for node in graph.nodes)
    size = len(PALETTE)
    return {name: (PALETTE[i % size], SHAPES[i // size % len(SHAPES)]) for i, name in enumerate(names)}


def _legend_handles(graphs: Sequence[Graph]) -> list[Any]:
    """Return one entry for each role, and one for each kind of edge if any edge shows other than the full text."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], ls="none", marker=shape, color=colour, ms=8, label=shorten_name(name))
        for name, (colour, shape) in _role_looks(graphs).items()
    ]
    shown = {edge.show for graph in graphs for edge in graph.edges}
    if shown - {"full"}:
        for name in (name for name in DASHES if name in shown):
            label = "shows full text" if name == "full" else f"shows {name}"
            handles.append(Line2D([], [], ls=DASHES[name], color=GRAY, lw=1.2, label=label))
    return handles
