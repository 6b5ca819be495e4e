"""What is drawn in one panel of a picture: agents, their names, and the edges between them.

Sizes are in points (1/72 inch), places in the units of `society.pictures.layouts`; `unit` is such a unit in inches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from society.pictures.layouts import Positions

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes

STYLES: Mapping[str, Any] = {
    "full": "-",
    "answer": (0, (5, 2)),
    "summary": (0, (5, 2, 1, 2)),
    "nothing": (0, (1, 2)),
}
MOST_NAMES, MOST_LABELS, LONGEST_NAME = 60, 24, 24
LINE, TEXT = "#555555", "#222222"


def draw_panel(
    axes: Axes, graph: nx.DiGraph[str], placed: Positions, unit: float, colours: Mapping[str, tuple[str, str]]
) -> None:
    """Draw the graph into the axes; `colours` gives each role its colour and its marker."""
    named = len(placed) <= MOST_NAMES
    diameter = min(18.0, 72 * unit * 0.42) if named else max(3.0, min(8.0, 72 * unit * 0.5))  # points
    _draw_edges(axes, graph, placed, diameter)
    for node, (x, y) in placed.items():
        colour, shape = colours[role_of(graph, node)]
        axes.plot(x, y, shape, ms=diameter, mfc=colour, mec="white", mew=min(1.2, diameter / 8), zorder=3)
    if named:
        for node in placed:
            _name(axes, graph, placed, node, diameter, unit)


def _draw_edges(axes: Axes, graph: nx.DiGraph[str], placed: Positions, diameter: float) -> None:
    arrows = any(not graph.has_edge(v, u) or _differ(graph, u, v) for u, v in graph.edges)
    labels = {(u, v): label_edge(graph.edges[u, v]) for u, v in graph.edges}
    shared = len(set(labels.values())) == 1 and len(labels) > 1
    few = sum(map(bool, labels.values())) <= MOST_LABELS
    if shared and any(labels.values()):
        text = f"every edge: {next(iter(labels.values()))}"
        axes.text(0.5, 0.0, text, ha="center", transform=axes.transAxes, fontsize=7, color=LINE, parse_math=False)
    order = {node: i for i, node in enumerate(graph)}
    weight = 1.0 if graph.number_of_edges() <= 800 else 0.45
    for u, v in graph.edges:
        mutual, differ = graph.has_edge(v, u), _differ(graph, u, v)
        if mutual and not differ and order[u] > order[v]:
            continue  # drawn with its reverse, as one tie
        bend = 0.18 if differ else _bend(placed, u, v)
        head = "-" if not arrows else "<|-|>" if mutual and not differ else "-|>"
        _edge(axes, placed[u], placed[v], graph.edges[u, v], head, bend, diameter, weight)
        if labels[u, v] and few and not shared:
            _edgelabel_edge(axes, placed[u], placed[v], labels[u, v], bend)


def _differ(graph: nx.DiGraph[str], u: str, v: str) -> bool:
    return graph.has_edge(v, u) and dict(graph.edges[u, v]) != dict(graph.edges[v, u])


def label_edge(attributes: Mapping[str, Any]) -> str:
    """What an edge has beside what it shows: "window 2, gate similarity"."""
    parts = {key: value for key, value in attributes.items() if key != "show" and value not in (None, False, "")}
    kinds = {key: value.get("kind", "") if isinstance(value, Mapping) else value for key, value in parts.items()}
    return ", ".join(key if value is True else f"{key} {value}" for key, value in kinds.items())


def _bend(placed: Positions, u: str, v: str) -> float:
    """How far an edge is curved: straight, unless another node stands in its way, and then around that."""
    if len(placed) > MOST_NAMES:
        return 0.0
    (x0, y0), (x1, y1) = placed[u], placed[v]
    length = math.dist(placed[u], placed[v])
    for node, (x, y) in placed.items():
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2
        right = ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / length
        if node not in (u, v) and 0 < along < 1 and abs(right) < 0.15:
            return -0.2 if right > 1e-6 else 0.2  # a positive bend goes to the right
    return 0.0


def _edge(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    attributes: Mapping[str, Any],
    head: str,
    bend: float,
    diameter: float,
    weight: float,
) -> None:
    from matplotlib.patches import FancyArrowPatch

    show = attributes.get("show") or "full"
    gap = diameter / 2 + (1.0 if head != "-" else 0.0)
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=head,
            connectionstyle=f"arc3,rad={bend}",
            linestyle=STYLES.get(str(show), "-"),
            mutation_scale=max(5.0, diameter * 0.55),
            linewidth=max(0.5, min(1.2, diameter / 14) * weight),
            alpha=weight,
            shrinkA=gap,
            shrinkB=gap,
            color="#AAAAAA" if show == "nothing" else LINE,
            zorder=1,
        )
    )


def _edgelabel_edge(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str, bend: float) -> None:
    """At the middle of the edge, which a bend moves to its right by half of the bend."""
    x = (start[0] + end[0]) / 2 + bend / 2 * (end[1] - start[1])
    y = (start[1] + end[1]) / 2 - bend / 2 * (end[0] - start[0])
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axes.text(x, y, text, fontsize=6.5, color=LINE, ha="center", va="center", bbox=paper, zorder=2, parse_math=False)


def _name(axes: Axes, graph: nx.DiGraph[str], placed: Positions, node: str, diameter: float, unit: float) -> None:
    """The agent's name, in its circle if it is short, else where the fewest edges leave it."""
    from matplotlib.patheffects import withStroke

    size = font(unit)
    if len(node) <= 2 and diameter > 12:
        axes.annotate(
            node,
            placed[node],
            ha="center",
            va="center",
            fontsize=size,
            color=TEXT,
            zorder=4,
            parse_math=False,
        )
        return
    crowded = graph.degree(node) > 16  # no gap is wide enough for a name
    angle = _widest_gap(graph, placed, node)
    dx, dy = math.cos(angle), math.sin(angle)
    axes.annotate(
        shorten(node),
        placed[node],
        xytext=(dx * (diameter / 2 + 2), dy * (diameter / 2 + 2)),
        textcoords="offset points",
        ha="center" if abs(dx) < 0.4 else "left" if dx > 0 else "right",
        va="center" if abs(dy) < 0.4 else "bottom" if dy > 0 else "top",
        fontsize=size,
        color=TEXT,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0} if crowded else None,
        zorder=4,
        parse_math=False,
    )


def _widest_gap(graph: nx.DiGraph[str], placed: Positions, node: str) -> float:
    """The middle of the largest angle between the node's edges, in radians; downwards if nothing decides."""
    x, y = placed[node]
    near = {*graph.successors(node), *graph.predecessors(node)}
    angles = sorted(math.atan2(placed[other][1] - y, placed[other][0] - x) for other in near)
    gaps = (
        [(b - a, (a + b) / 2) for a, b in zip(angles, [*angles[1:], angles[0] + 2 * math.pi], strict=True)]
        if near
        else []
    )
    down = -math.pi / 2
    return max(gaps, key=lambda gap: (round(gap[0], 3), math.cos(gap[1] - down)), default=(0.0, down))[1]


def font(unit: float) -> float:
    """The size of names, in points."""
    return max(5.0, min(9.0, 72 * unit * 0.16))


def shorten(name: str) -> str:
    """The name as it is shown, cut where it is very long."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def role_of(graph: nx.DiGraph[str], node: str) -> str:
    """The role of an agent; "agent" where the graph does not say."""
    return str(graph.nodes[node].get("role", "agent"))
