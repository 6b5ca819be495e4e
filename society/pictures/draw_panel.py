"""Draws the nodes, names and edges of one graph with matplotlib.

Sizes are in points (1/72 inch), positions in the units of `society.pictures.layouts`; `unit` is such a unit in inches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from society.core.plain import shorten
from society.pictures.files import TEXT
from society.pictures.graphs import MAX_NAMES, Edge, Graph
from society.pictures.layouts import Positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES: Mapping[str, Any] = {
    "full": "-",
    "thought": (0, (9, 2)),
    "answer": (0, (5, 2)),
    "summary": (0, (5, 2, 1, 2)),
    "nothing": (0, (1, 2)),
}
"""Line styles of edges by what they show."""
MAX_LABELS, MAX_LENGTH = 24, 24
"""Maximum number of edges with labels of their own, and of characters in a name."""
GRAY = "#555555"


def draw_panel(axes: Axes, graph: Graph, unit: float, looks: Mapping[str, tuple[str, str]]) -> None:
    """Draw the graph into the axes; `looks` gives each role its colour and its marker."""
    named = len(graph.nodes) <= MAX_NAMES
    diameter = min(18.0, 72 * unit * 0.42) if named else max(3.0, min(8.0, 72 * unit * 0.5))
    positions = graph.positions
    _draw_edges(axes, graph, positions, diameter)
    for node in graph.nodes:
        colour, shape = looks[node.role]
        axes.plot(node.x, node.y, shape, ms=diameter, mfc=colour, mec="white", mew=min(1.2, diameter / 8), zorder=3)
    if named:
        neighbours = _neighbours(graph)
        for node in graph.nodes:
            _write_name(axes, positions, node.name, neighbours[node.name], diameter, font_size(unit))


def _draw_edges(axes: Axes, graph: Graph, positions: Positions, diameter: float) -> None:
    labels = [edge.label for edge in graph.edges]
    shared = len(set(labels)) == 1 and (len(labels) > 1 or graph.edges[0].mutual)
    if shared and labels[0]:
        text = f"every edge: {labels[0]}"
        axes.text(0.5, 0.0, text, ha="center", transform=axes.transAxes, fontsize=7, color=GRAY, parse_math=False)
    readings = sum(1 + edge.mutual for edge in graph.edges)
    labelled = sum(1 + edge.mutual for edge in graph.edges if edge.label) <= MAX_LABELS and not shared
    weight = 1.0 if readings <= 800 else 0.45  # thinner lines in dense graphs
    for edge in graph.edges:
        head = "-"
        if graph.directed:
            head = "<|-|>" if edge.mutual else "-|>"
        _draw_edge(axes, positions, edge, head, diameter, weight)
        if edge.label and labelled:
            _write_label(axes, positions, edge)


def _draw_edge(axes: Axes, positions: Positions, edge: Edge, head: str, diameter: float, weight: float) -> None:
    from matplotlib.patches import FancyArrowPatch

    gap = diameter / 2 + (1.0 if head != "-" else 0.0)
    axes.add_patch(
        FancyArrowPatch(
            positions[edge.source],
            positions[edge.target],
            arrowstyle=head,
            connectionstyle=f"arc3,rad={edge.bend}",
            linestyle=DASHES.get(edge.show, "-"),
            mutation_scale=max(5.0, diameter * 0.55),
            linewidth=max(0.5, min(1.2, diameter / 14) * weight),
            alpha=weight,
            shrinkA=gap,
            shrinkB=gap,
            color="#AAAAAA" if edge.show == "nothing" else GRAY,
            zorder=1,
        )
    )


def _write_label(axes: Axes, positions: Positions, edge: Edge) -> None:
    """Write the label at the middle of the edge, which is half of the bend away from the straight line."""
    (x0, y0), (x1, y1) = positions[edge.source], positions[edge.target]
    x, y = (x0 + x1 + edge.bend * (y1 - y0)) / 2, (y0 + y1 - edge.bend * (x1 - x0)) / 2
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    style: dict[str, Any] = {"fontsize": 6.5, "color": GRAY, "ha": "center", "va": "center", "parse_math": False}
    axes.text(x, y, edge.label, bbox=box, zorder=2, **style)


def _neighbours(graph: Graph) -> dict[str, list[str]]:
    """Return the names at the other end of each node's edges; one name for each reading."""
    found: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for edge in graph.edges:
        for _ in range(1 + edge.mutual):
            found[edge.source].append(edge.target)
            found[edge.target].append(edge.source)
    return found


def _write_name(
    axes: Axes, positions: Positions, name: str, neighbours: list[str], diameter: float, size: float
) -> None:
    """Write the agent's name into its marker if it is short, otherwise beside it where no edge is near."""
    from matplotlib.patheffects import withStroke

    style: dict[str, Any] = {"fontsize": size, "color": TEXT, "zorder": 4, "parse_math": False}
    if len(name) <= 2 and diameter > 12:
        axes.annotate(name, positions[name], ha="center", va="center", **style)
        return
    angle = _widest_gap(positions, name, set(neighbours))
    dx, dy = math.cos(angle), math.sin(angle)
    if len(neighbours) > 16:  # no gap is wide enough for the name
        style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.annotate(
        shorten_name(name),
        positions[name],
        xytext=(dx * (diameter / 2 + 2), dy * (diameter / 2 + 2)),
        textcoords="offset points",
        ha=_align(dx, "left", "right"),
        va=_align(dy, "bottom", "top"),
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        **style,
    )


def _align(direction: float, positive: str, negative: str) -> str:
    if abs(direction) < 0.4:
        return "center"
    return positive if direction > 0 else negative


def _widest_gap(positions: Positions, name: str, neighbours: set[str]) -> float:
    """Return the middle of the largest angle between the node's edges, in radians; downwards if several are equal."""
    x, y = positions[name]
    down = -math.pi / 2
    angles = sorted(math.atan2(positions[other][1] - y, positions[other][0] - x) for other in neighbours)
    if not angles:
        return down
    following = [*angles[1:], angles[0] + 2 * math.pi]
    gaps = [(b - a, (a + b) / 2) for a, b in zip(angles, following, strict=True)]
    return max(gaps, key=lambda gap: (round(gap[0], 3), math.cos(gap[1] - down)))[1]


def font_size(unit: float) -> float:
    """Return the size of names in points, from 5 to 9."""
    return max(5.0, min(9.0, 72 * unit * 0.16))


def shorten_name(name: str) -> str:
    """Return the name, cut off after `MAX_LENGTH` characters."""
    return shorten(name, MAX_LENGTH)
