"""Draws the nodes, names and edges of one graph with matplotlib.

Sizes are in points (1/72 inch), positions in the units of `society.pictures.layouts`. The figure has 72 dots per inch.
A point is thus a dot, and places of labels are computed from the arrows that are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from society.pictures.files import TEXT
from society.pictures.graphs import MAX_NAMES, Edge, Graph
from society.pictures.labels import Box, Placer, box_around, measure
from society.pictures.layouts import Positions

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.patches import FancyArrowPatch
    from numpy.typing import NDArray

DASHES: Mapping[str, Any] = {
    "full": "-",
    "thought": (0, (9, 2)),
    "answer": (0, (5, 2)),
    "summary": (0, (5, 2, 1, 2)),
    "nothing": (0, (1, 2)),
}
"""Line styles of edges by what they show."""
MAX_LABELS, MAX_LENGTH, MAX_KINDS = 24, 24, 4
"""Maximum number of edges with labels of their own, of characters in a name, and of labels listed below a graph."""
HEAD = 9.0
"""Minimum scale of arrowheads: they are 0.4 times as long and as wide."""
MANY = 8
"""Number of arrowheads at a node from which they keep a distance that depends on their number."""
GRAY, TINT = "#555555", "#EAF0F6"
INSIDE = 2
"""Maximum number of characters of a name within its node."""


class Panel:
    """One graph in its axes. `looks` gives each role its colour and its marker, `numbers` each agent its number."""

    def __init__(
        self, axes: Axes, graph: Graph, looks: Mapping[str, tuple[str, str]], numbers: Mapping[str, int] | None = None
    ) -> None:
        self._axes, self._graph, self._looks, self._numbers = axes, graph, looks, numbers
        self._named = len(graph.nodes) <= MAX_NAMES
        self._at: Positions = {
            node.name: (float(x), float(y))
            for node, (x, y) in zip(
                graph.nodes, axes.transData.transform([(n.x, n.y) for n in graph.nodes] or [(0, 0)]), strict=False
            )
        }
        self._spacing = nearest(self._at)
        self._diameter = min(18.0, 0.5 * self._spacing) if self._named else max(3.0, min(8.0, 0.5 * self._spacing))

    def draw(self) -> bool:
        """Draw the graph. Return False if its names find no place, so that numbers must replace them."""
        self._draw_groups()
        patches = self._draw_edges()
        for node in self._graph.nodes:
            colour, shape = self._looks[node.role]
            edge = min(1.2, self._diameter / 8)
            self._axes.plot(node.x, node.y, shape, ms=self._diameter, mfc=colour, mec="white", mew=edge, zorder=3)
        if not self._named:
            return True
        lines, heads = self._trace(patches)
        window = self._axes.get_window_extent()
        area = Box(window.x0, window.y0 + (self._footed() * 9), window.x1, window.y1)
        nodes = [box_around(*place, self._diameter + 1, self._diameter + 1) for place in self._at.values()]
        placer = Placer(area, [*nodes, *heads], _points(lines), list(self._at.values()))
        readable = self._write_names(placer)
        self._write_labels(placer, lines)
        return readable

    def _draw_groups(self) -> None:
        """Draw an outline around each declared group, if no two outlines meet and each has its own agents only."""
        from matplotlib.patches import Polygon
        from matplotlib.path import Path

        at, groups = self._graph.positions, self._graph.groups
        found = [Path(outline([at[name] for name in members]), closed=False) for members in groups]
        others = [[place for name, place in at.items() if name not in members] for members in groups]
        if any(a.intersects_path(b, filled=True) for a, b in combinations(found, 2)):
            return
        if any(shape.contains_points(points).any() for shape, points in zip(found, others, strict=True) if points):
            return
        pad = 1.7 * self._diameter
        for shape in found:
            self._axes.add_patch(Polygon(shape.vertices, closed=True, color=TINT, lw=pad, joinstyle="round", zorder=0))

    def _draw_edges(self) -> list[FancyArrowPatch]:
        readings = sum(1 + edge.mutual for edge in self._graph.edges)
        weight = 1.0 if readings <= 250 else 0.45  # thinner lines in dense graphs
        gaps = self._gaps()
        return [self._draw_edge(edge, gaps, weight) for edge in self._graph.edges]

    def _gaps(self) -> dict[str, float]:
        """Return the distance from each node's centre at which edges end: farther where many arrowheads meet."""
        heads = dict.fromkeys(self._at, 0)
        for edge in self._graph.edges:
            heads[edge.target] += self._graph.directed
            heads[edge.source] += self._graph.directed and edge.mutual
        return {name: max(self._diameter / 2 + 1, self._ring(name, number)) for name, number in heads.items()}

    def _ring(self, name: str, heads: int) -> float:
        """Return the radius around a node at which its `heads` have room, far from other nodes."""
        if heads < MANY or not self._named:
            return 0.0
        free = min(math.dist(self._at[name], place) for other, place in self._at.items() if other != name)
        return min(0.45 * free, heads * 0.5 * self._scale / (2 * math.pi))

    @property
    def _scale(self) -> float:
        return max(HEAD, self._diameter * 0.7) if self._named else 5.0

    def _draw_edge(self, edge: Edge, gaps: Mapping[str, float], weight: float) -> FancyArrowPatch:
        from matplotlib.patches import FancyArrowPatch

        head = "-"
        if self._graph.directed:
            head = "<|-|>" if edge.mutual else "-|>"
        patch = FancyArrowPatch(
            self._graph.positions[edge.source],
            self._graph.positions[edge.target],
            arrowstyle=head,
            connectionstyle=f"arc3,rad={edge.bend}",
            linestyle=DASHES.get(edge.show, "-"),
            mutation_scale=self._scale,
            linewidth=max(0.5, min(1.2, self._diameter / 14) * weight),
            alpha=weight,
            shrinkA=gaps[edge.source],
            shrinkB=gaps[edge.target],
            color="#AAAAAA" if edge.show == "nothing" else GRAY,
            zorder=1,
        )
        self._axes.add_artist(patch)  # does not compute limits, which are fixed
        return patch

    def _trace(self, patches: Sequence[FancyArrowPatch]) -> tuple[list[list[tuple[float, float]]], list[Box]]:
        """Return points along each drawn edge, and a box around each arrowhead."""
        lines, heads = [], []
        for patch in patches:
            line, *tips = parts(patch)
            lines.append(line)
            heads += [_bounds(tip) for tip in tips]
        return lines, heads

    def _write_names(self, placer: Placer) -> bool:
        """Write each name into its node if it is short or a number, otherwise beside it. False without a place."""
        size, neighbours = font_size(self._spacing / 72), _neighbours(self._graph)
        placed = []
        for name in sorted(self._at, key=lambda name: -len(neighbours[name])):  # in the densest parts first
            if self._numbers is not None or (len(name) <= INSIDE and self._diameter > 12):
                text = name if self._numbers is None else f"{self._numbers[name]}"
                self._write(text, self._at[name], min(size, self._diameter * 0.62))
                continue
            text, angle = shorten_name(name), _widest_gap(self._at, name, set(neighbours[name]))
            box = placer.name(self._at[name], self._diameter / 2, measure(text, size), angle)
            if box is None:
                return False
            placed.append(box)
            self._write(text, box.centre, size, outlined=True)
        return not placer.is_crowded(placed)

    def _write(self, text: str, at: tuple[float, float], size: float, outlined: bool = False, **given: Any) -> None:
        """Write a text with its middle at this place; an outlined one on a white ground."""
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8} if outlined else None
        place = tuple(self._axes.transData.inverted().transform(at))
        style: dict[str, Any] = {"color": TEXT, "zorder": 4} | given
        self._axes.annotate(
            text, place, ha="center", va="center", fontsize=size, parse_math=False, bbox=box, gid="label", **style
        )

    def _write_labels(self, placer: Placer, lines: Sequence[Sequence[tuple[float, float]]]) -> None:
        """Write each edge's label on it; below the graph if all are equal, or if they find no place."""
        labels, foot = [edge.label for edge in self._graph.edges], ""
        if self._shares_label():
            foot = f"every edge: {labels[0]}"
        else:
            wanted = [(label, line) for label, line in zip(labels, lines, strict=True) if label]
            boxes = [placer.on_edge(line, measure(label, 6.5)) for label, line in wanted[:MAX_LABELS]]
            if len(wanted) > MAX_LABELS or None in boxes:
                foot = describe_labels([label for label, _ in wanted], len(labels))
            else:
                for (label, _), box in zip(wanted, boxes, strict=True):
                    assert box is not None
                    self._write(label, box.centre, 6.5, outlined=True, color=GRAY, zorder=2)
        if foot:
            where = self._axes.transAxes
            self._axes.text(0.5, 0.0, foot, ha="center", transform=where, fontsize=7, color=GRAY, parse_math=False)

    def _shares_label(self) -> bool:
        labels = [edge.label for edge in self._graph.edges]
        return bool(len(set(labels)) == 1 and labels[0] and (len(labels) > 1 or self._graph.edges[0].mutual))

    def _footed(self) -> bool:
        """Return whether a line below the graph may describe its edges."""
        return any(edge.label for edge in self._graph.edges)


def describe_labels(labels: Sequence[str], edges: int) -> str:
    """Return which labels these edges have, for a line below a graph. `edges`: their number in the graph."""
    kinds = list(dict.fromkeys(labels))
    listed = "; ".join(kinds[:MAX_KINDS]) + (f"; {len(kinds) - MAX_KINDS} more" if len(kinds) > MAX_KINDS else "")
    return f"{len(labels)} of {edges} edges: {listed}"


def parts(patch: FancyArrowPatch) -> list[list[tuple[float, float]]]:
    """Return the outlines of a drawn arrow in points: its line in steps of 3 points, then its heads."""
    path = patch.get_transform().transform_path(patch.get_path())
    found: list[list[tuple[float, float]]] = []
    start = (0.0, 0.0)
    for vertices, code in path.iter_segments(curves=True, simplify=False):
        points = [(float(x), float(y)) for x, y in zip(vertices[::2], vertices[1::2], strict=True)]
        if code == path.MOVETO:
            found.append([points[-1]])
        elif code == path.CURVE3:
            found[-1] += _curve(start, *points)
        elif code != path.CLOSEPOLY:
            found[-1] += points
        start = points[-1]
    return found


def _curve(start: tuple[float, float], middle: tuple[float, float], end: tuple[float, float]) -> Iterator[Any]:
    """Yield points of a quadratic Bezier curve, about 3 points apart."""
    steps = max(2, round(math.dist(start, end) / 3))
    for t in (i / steps for i in range(1, steps + 1)):
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        yield (a * start[0] + b * middle[0] + c * end[0], a * start[1] + b * middle[1] + c * end[1])


def _points(lines: Sequence[Sequence[tuple[float, float]]]) -> NDArray[np.float64]:
    import numpy as np

    return np.array([point for line in lines for point in line], dtype=float).reshape(-1, 2)


def _bounds(points: Sequence[tuple[float, float]]) -> Box:
    xs, ys = zip(*points, strict=True)
    return Box(min(xs), min(ys), max(xs), max(ys))


def nearest(positions: Positions) -> float:
    """Return the distance of the nearest two of up to `MAX_NAMES` positions, or 72 without two."""
    pairs = combinations(list(positions.values())[: MAX_NAMES + 1], 2)
    return min((math.dist(p, q) for p, q in pairs), default=72.0) or 72.0


def outline(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the convex hull of the points, counterclockwise (Andrew 1979)."""
    hull: list[tuple[float, float]] = []
    for row in (sorted(points), sorted(points, reverse=True)):
        side: list[tuple[float, float]] = []
        for point in row:
            while len(side) > 1 and _turn(side[-2], side[-1], point) <= 1e-9:
                side.pop()
            side.append(point)
        hull += side[:-1]
    return hull


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Return a positive number if the way from a over b to c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _neighbours(graph: Graph) -> dict[str, list[str]]:
    """Return the names at the other end of each node's edges; one name for each reading."""
    found: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for edge in graph.edges:
        for _ in range(1 + edge.mutual):
            found[edge.source].append(edge.target)
            found[edge.target].append(edge.source)
    return found


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
    """Return the size of names in points, from 6 to 9. `unit` is the distance of neighbours in inches."""
    return max(6.0, min(9.0, 72 * unit * 0.16))


def shorten_name(name: str) -> str:
    """Return the name on one line; a long one with its beginning and its end, which may be a number."""
    line = " ".join(name.split())
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 9]}…{line[-8:]}"
