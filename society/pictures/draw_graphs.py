"""Draws graphs (`society.pictures.graphs`) with matplotlib: one panel for each, roles by colour, one legend.

An arrow points at the reader. Where all reading is mutual, edges are plain lines. Where the names of a graph do not
fit, its agents have numbers, with a key below the graphs. Needs the extra `draw`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.core.plain import shorten
from society.pictures.draw_panel import DASHES, GRAY, TINT, Panel, font_size, nearest, shorten_name
from society.pictures.files import PALETTE, TEXT, plotting, read_format, save
from society.pictures.graphs import MAX_NAMES, Graph
from society.pictures.labels import measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHAPES = "osD^"
"""Markers of roles: from the ninth role on, the colours repeat with the next marker."""
UNIT, LABELLED, LARGEST = 0.9, 1.7, 6.0
"""Inches between neighbours, between neighbours if edges have labels, and the extent from which these shrink."""
CLOSEST = 0.25
"""Minimum distance in inches of two agents in a graph with names or numbers, however large it becomes."""
MARGIN, TITLE, LEGEND = 0.42, 0.35, 0.28
"""Inches above and below a graph, for its title, and for a row of the legend."""
KEY, KEY_SIZE, TITLE_SIZE = 0.16, 7.0, 11.0
"""Inches of a line of the key, and the sizes of the key and of titles in points."""
MAX_ENTRY = 48
"""Maximum number of characters of a name in the key."""


@dataclass(frozen=True)
class Frame:
    """A graph with its bounding box and its scale: `unit` is the size of a unit of distance in inches."""

    graph: Graph
    left: float
    right: float
    bottom: float
    top: float
    unit: float

    def size(self, numbered: bool) -> tuple[float, float]:
        """Return width and height in inches, with room for the title, and for names at the sides if not `numbered`."""
        named = not numbered and len(self.graph.nodes) <= MAX_NAMES
        size = font_size(self.unit)
        names = [measure(shorten_name(node.name), size)[0] / 72 for node in self.graph.nodes] if named else []
        side = 0.35 + max(names, default=0)
        width, height = (self.right - self.left) * self.unit, (self.top - self.bottom) * self.unit
        title = measure(self.graph.title, TITLE_SIZE)[0] / 72 + 0.2
        return max(width + 2 * side, title), height + 2 * MARGIN + TITLE


def draw(graphs: Sequence[Graph], path: Path) -> None:
    """Draw the graphs side by side into `path`, a .svg, .png or .pdf file. The same input gives the same file.

    Raises `InputError` for another extension or a path that cannot be written, `MissingExtraError` without matplotlib.
    """
    read_format(path)
    with plotting("society draw"):
        save(compose(graphs), path)


def compose(graphs: Sequence[Graph]) -> Figure:
    """Return a figure with the graphs in rows of at most three, each in the size that it needs, and one legend."""
    figure, crowded = _compose(graphs, frozenset())
    return _compose(graphs, crowded)[0] if crowded else figure


def _compose(graphs: Sequence[Graph], numbered: frozenset[int]) -> tuple[Figure, frozenset[int]]:
    """Return the figure, with numbers in these graphs, and the graphs whose names found no place."""
    from matplotlib.figure import Figure

    frames = [_measure(graph) for graph in graphs]
    sizes = [frame.size(i in numbered) for i, frame in enumerate(frames)]
    columns = 2 if len(frames) == 4 else min(len(frames), 3)
    widths = [max(1.8, *(size[0] for size in sizes[i::columns])) for i in range(columns)]
    heights = [max(size[1] for size in sizes[i : i + columns]) for i in range(0, len(frames), columns)]
    handles, numbers = _legend_handles(graphs), number_agents([graphs[i] for i in sorted(numbered)])
    entry = 0.5 + max((measure(handle.get_label(), 8)[0] / 72 for handle in handles), default=0)
    across = max(1, int(sum(widths) / entry))
    key = _list_key(numbers, sum(widths))
    foot = LEGEND * math.ceil(len(handles) / across) + 0.1
    base = foot + KEY * len(key)
    figure = Figure(figsize=(sum(widths), sum(heights) + base), facecolor="white", dpi=72)  # a dot is a point
    figure.set_layout_engine("none")
    looks, crowded = _role_looks(graphs), set()
    for i, frame in enumerate(frames):
        row, column = divmod(i, columns)
        corner = sum(widths[:column]), sum(heights[row + 1 :]) + base
        axes = _add_axes(figure, frame, corner, (widths[column], heights[row] - TITLE))
        axes.set_title(frame.graph.title, fontsize=TITLE_SIZE, color=TEXT, parse_math=False)
        if not Panel(axes, frame.graph, looks, numbers if i in numbered else None).draw():
            crowded.add(i)
    for i, line in enumerate(key):
        y = (base - KEY * (i + 0.8)) / figure.get_figheight()
        figure.text(0.5, y, line, ha="center", fontsize=KEY_SIZE, color=TEXT, parse_math=False)
    _add_legend(figure, handles, across)
    return figure, frozenset(crowded)


def number_agents(graphs: Sequence[Graph]) -> dict[str, int]:
    """Return a number for each agent of these graphs, from 1, in order of appearance."""
    names = dict.fromkeys(node.name for graph in graphs for node in graph.nodes)
    return {name: number for number, name in enumerate(names, 1)}


def describe_numbers(numbers: Mapping[str, int]) -> list[str]:
    """Return the entries of the key: "1 judge", and "2-31 debater-1 to debater-30" for a group in order."""
    runs: list[list[str]] = []
    for name in numbers:
        stem, dash, number = name.rpartition("-")
        before = runs[-1][-1].rpartition("-") if runs else ("", "", "")
        follows = number.isdecimal() and before[2].isdecimal() and int(number) == int(before[2]) + 1
        if dash and before[0] == stem and follows:
            runs[-1].append(name)
        else:
            runs.append([name])
    entries = []
    for run in runs:
        first, last = (" ".join(name.split()) for name in (run[0], run[-1]))
        if len(run) == 1:
            entries.append(f"{numbers[run[0]]} {shorten(first, MAX_ENTRY)}")
        else:
            spread = f"{shorten_name(first)} to {shorten_name(last)}"
            entries.append(f"{numbers[run[0]]}-{numbers[run[-1]]} {spread}")
    return entries


def _list_key(numbers: Mapping[str, int], width: float) -> list[str]:
    """Return the lines of the key for a figure of this width in inches."""
    lines: list[str] = []
    for entry in describe_numbers(numbers):
        longer = f"{lines[-1]}     {entry}" if lines else entry
        if lines and measure(longer, KEY_SIZE)[0] / 72 < width - 0.2:
            lines[-1] = longer
        else:
            lines.append(entry)
    return lines


def _add_legend(figure: Figure, handles: Sequence[Any], across: int) -> None:
    if not handles:
        return
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


def _measure(graph: Graph) -> Frame:
    """Return the graph's frame: with more room between neighbours if edges have labels, less in a large graph."""
    at = graph.positions
    points = [*at.values(), *(apex(at[edge.source], at[edge.target], edge.bend) for edge in graph.edges)]
    xs, ys = zip(*points or [(0.0, 0.0)], strict=True)
    extent = max(max(xs) - min(xs), max(ys) - min(ys), 1)
    unit = min(LABELLED if any(edge.label for edge in graph.edges) else UNIT, LARGEST / extent)
    if len(graph.nodes) <= MAX_NAMES:
        unit = max(unit, CLOSEST / nearest(graph.positions))
    return Frame(graph, min(xs), max(xs), min(ys), max(ys), unit)


def apex(start: tuple[float, float], end: tuple[float, float], bend: float) -> tuple[float, float]:
    """Return the middle of a bent edge."""
    (x0, y0), (x1, y1) = start, end
    return (x0 + x1 + bend * (y1 - y0)) / 2, (y0 + y1 - bend * (x1 - x0)) / 2


def _add_axes(figure: Figure, frame: Frame, corner: tuple[float, float], size: tuple[float, float]) -> Axes:
    """Add axes at `corner` with `size`, both in inches, and the graph in their centre."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((corner[0] / width, corner[1] / height, size[0] / width, size[1] / height))
    axes.set_axis_off()
    x, y = (frame.left + frame.right) / 2, (frame.bottom + frame.top) / 2
    axes.set_xlim(x - size[0] / frame.unit / 2, x + size[0] / frame.unit / 2)
    axes.set_ylim(y - size[1] / frame.unit / 2, y + size[1] / frame.unit / 2)
    return axes


def _role_looks(graphs: Sequence[Graph]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each role, in order of appearance."""
    names = dict.fromkeys(node.role for graph in graphs for node in graph.nodes)
    size = len(PALETTE)
    return {name: (PALETTE[i % size], SHAPES[i // size % len(SHAPES)]) for i, name in enumerate(names)}


def _legend_handles(graphs: Sequence[Graph]) -> list[Any]:
    """Return one entry for each role, for each kind of edge if any shows other than the full text, and for groups."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], ls="none", marker=shape, color=colour, ms=8, label=shorten_name(name))
        for name, (colour, shape) in _role_looks(graphs).items()
    ]
    shown = {edge.show for graph in graphs for edge in graph.edges}
    if shown - {"full"}:
        for name in (name for name in DASHES if name in shown):
            label = "shows full text" if name == "full" else f"shows {name}"
            handles.append(Line2D([], [], ls=DASHES[name], color=GRAY, lw=1.2, label=label))
    if any(graph.groups for graph in graphs):
        handles.append(Patch(color=TINT, label="group"))
    return handles
