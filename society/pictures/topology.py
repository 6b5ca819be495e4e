"""Pictures of who reads whom, as one would print them: one panel for each phase, roles by colour.

An arrow points at the reader. Where all reading is mutual, ties are plain lines. Needs the extra `draw`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.core.atomic import appearing
from society.core.errors import InputError, MissingExtraError
from society.pictures.layouts import Positions, place
from society.pictures.shapes import LINE, MOST_NAMES, STYLES, TEXT, draw_panel, font, label_edge, role_of, shorten

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by colour-blind readers too; black is left for text.
PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#999999")
SHAPES = "osD^"  # a ninth role has the first colour again, in the next shape
UNIT, LABELLED, LARGEST = 0.9, 1.7, 6.0  # inches between neighbours, with edge labels, and across at most
MARGIN, TITLE, LEGEND = 0.42, 0.35, 0.28  # inches


@dataclass(frozen=True)
class Panel:
    """One phase: nodes have the attribute "role", edges (u is read by v) "show", "window", "gate", ..."""

    title: str
    graph: nx.DiGraph[str]
    kind: str = ""  # the topology's family, which decides the layout


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Draw the panels side by side into `path`, a .svg, .png or .pdf file; the same input gives the same.

    Raises `InputError` for another extension or a path that cannot be written, `MissingExtraError` without
    matplotlib.
    """
    kind = path.suffix.lower().lstrip(".")
    undated = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}
    if kind not in undated:
        raise InputError(f"A picture cannot be a {path.suffix or 'nameless'} file.", "End it in .svg, .png or .pdf.")
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("society draw", "matplotlib", "draw") from error
    with matplotlib.rc_context({"svg.hashsalt": "society"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in a script that the font lacks
        figure = compose(panels)
        try:
            with appearing(path) as part:
                figure.savefig(part, format=kind, dpi=200, metadata=undated[kind])
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}.", "Choose another place.") from error


def compose(panels: Sequence[Panel]) -> Figure:
    """The figure: panels in rows of at most three, each of the size it needs, and one legend."""
    from matplotlib.figure import Figure

    places = [place(panel.graph, panel.kind) for panel in panels]
    boxes = [_box(placed) for placed in places]
    units = [_unit(panel, box) for panel, box in zip(panels, boxes, strict=True)]
    sizes = [_size(panel, box, unit) for panel, box, unit in zip(panels, boxes, units, strict=True)]
    columns = 2 if len(panels) == 4 else min(len(panels), 3)
    widths = [max(1.8, *(size[0] for size in sizes[i::columns])) for i in range(columns)]
    heights = [max(size[1] for size in sizes[i : i + columns]) for i in range(0, len(panels), columns)]
    handles = _legend(panels)
    foot = LEGEND * math.ceil(len(handles) / _across(sum(widths))) + 0.1
    figure = Figure(figsize=(sum(widths), sum(heights) + foot), facecolor="white")
    colours = _roles(panels)
    for i, (panel, placed, box, unit) in enumerate(zip(panels, places, boxes, units, strict=True)):
        row, column = divmod(i, columns)
        left, bottom = sum(widths[:column]), sum(heights[row + 1 :]) + foot
        area = (left, bottom, widths[column], heights[row] - TITLE)
        axes = figure.add_axes(_fraction(area, figure))
        _frame(axes, box, area, unit)
        axes.set_title(panel.title, fontsize=11, color=TEXT, parse_math=False)
        draw_panel(axes, panel.graph, placed, unit, colours)
    _add_legend(figure, handles, _across(sum(widths)))
    return figure


def _box(placed: Positions) -> tuple[float, float, float, float]:
    xs, ys = zip(*placed.values(), strict=True) if placed else ((0.0,), (0.0,))
    return min(xs), max(xs), min(ys), max(ys)


def _unit(panel: Panel, box: tuple[float, ...]) -> float:
    """Inches between neighbours: more where edges carry labels, fewer in a large picture."""
    labelled = any(label_edge(data) for *_, data in panel.graph.edges(data=True))
    return min(LABELLED if labelled else UNIT, LARGEST / max(box[1] - box[0], box[3] - box[2], 1))


def _size(panel: Panel, box: tuple[float, ...], unit: float) -> tuple[float, float]:
    """Width and height of a panel in inches, with room for the names at its sides."""
    longest = max((len(shorten(node)) for node in panel.graph), default=0) if len(panel.graph) <= MOST_NAMES else 0
    side = 0.3 + longest * font(unit) * 0.6 / 72
    return (box[1] - box[0]) * unit + 2 * side, (box[3] - box[2]) * unit + 2 * MARGIN + TITLE


def _fraction(area: tuple[float, float, float, float], figure: Figure) -> tuple[float, float, float, float]:
    width, height = figure.get_size_inches()
    return area[0] / width, area[1] / height, area[2] / width, area[3] / height


def _frame(axes: Axes, box: tuple[float, ...], area: tuple[float, ...], unit: float) -> None:
    """Centre the box in the axes, so that one unit is `unit` inches both ways."""
    axes.set_axis_off()
    middle_x, middle_y = (box[0] + box[1]) / 2, (box[2] + box[3]) / 2
    axes.set_xlim(middle_x - area[2] / unit / 2, middle_x + area[2] / unit / 2)
    axes.set_ylim(middle_y - area[3] / unit / 2, middle_y + area[3] / unit / 2)


def _roles(panels: Sequence[Panel]) -> dict[str, tuple[str, str]]:
    """Colour and shape of every role, in order of appearance, the same in all panels."""
    names = dict.fromkeys(role_of(panel.graph, node) for panel in panels for node in panel.graph)
    size = len(PALETTE)
    return {name: (PALETTE[i % size], SHAPES[i // size % len(SHAPES)]) for i, name in enumerate(names)}


def _legend(panels: Sequence[Panel]) -> list[Any]:
    """One entry for each role, and one for each way of showing if there is more than the full text."""
    from matplotlib.lines import Line2D

    roles = [
        Line2D([], [], ls="none", marker=shape, color=colour, ms=8, label=shorten(name))
        for name, (colour, shape) in _roles(panels).items()
    ]
    edges = (data for panel in panels for *_, data in panel.graph.edges(data=True))
    shown = {str(data.get("show") or "full") for data in edges}
    lines = [
        Line2D(
            [],
            [],
            ls=style,
            color=LINE,
            lw=1.2,
            label=f"shows {name}" if name != "full" else "shows full text",
        )
        for name, style in STYLES.items()
        if name in shown
    ]
    return roles + (lines if shown - {"full"} else [])


def _across(width: float) -> int:
    """Legend entries that fit beside each other in `width` inches."""
    return max(1, int(width / 1.35))


def _add_legend(figure: Figure, handles: list[Any], across: int) -> None:
    style: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": TEXT, "handletextpad": 0.6}
    legend = figure.legend(handles=handles, loc="lower center", ncols=min(across, max(len(handles), 1)), **style)
    for text in legend.get_texts():
        text.set_parse_math(False)
