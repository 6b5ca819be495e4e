"""Places of labels in a picture of a graph: no label covers a node, an arrowhead or another label.

Lengths are in points (1/72 inch), with y upwards. Nothing here draws, and matplotlib only measures texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIRECTIONS = 24
"""Number of directions from a node in which its name is tried."""
DISTANCES = (2.0, 6.0, 11.0, 16.0, 21.0, 27.0)
"""Distances of a name from its node."""
ALONG = (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78)
"""Places along an edge where its label is tried, as shares of its length."""
PADDING = 1.0
"""Space around a label."""
NEARER = 0.85
"""Maximum distance of a name from its node, as a share of that from any other node."""
MAX_CROSSED = 4.0
"""Mean number of points of edges under a name above which names make a picture unreadable; points are 3 apart."""


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        """Return whether the two rectangles have a common point inside."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top

    def contains(self, other: Box) -> bool:
        """Return whether the other rectangle lies within this one."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.bottom <= other.bottom and other.top <= self.top

    def distance(self, point: tuple[float, float]) -> float:
        """Return the distance of the rectangle from a point outside."""
        x, y = point
        return math.hypot(max(self.left - x, 0.0, x - self.right), max(self.bottom - y, 0.0, y - self.top))

    @property
    def centre(self) -> tuple[float, float]:
        """Return the middle of the rectangle."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2


def box_around(x: float, y: float, width: float, height: float) -> Box:
    """Return the rectangle with this centre."""
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


@lru_cache(maxsize=4096)
def measure(text: str, size: float) -> tuple[float, float]:
    """Return width and height of a text in matplotlib's font, with `PADDING`."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    width, height, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) * 1.03 + 2 * PADDING, max(float(height), size) + 2 * PADDING  # renderers round glyphs


class Placer:
    """Finds free places inside `area`. `obstacles` are never covered; `lines` are points on edges, of shape (n, 2).

    `nodes` are the middles of all nodes: a name is nearest to its own.
    """

    def __init__(
        self,
        area: Box,
        obstacles: Iterable[Box],
        lines: NDArray[np.float64],
        nodes: Sequence[tuple[float, float]],
    ) -> None:
        self._area, self._nodes = area, nodes
        self._taken = list(obstacles)
        self._lines = lines

    def name(self, at: tuple[float, float], radius: float, size: tuple[float, float], towards: float) -> Box | None:
        """Reserve and return the best place beside a node, or None if there is none.

        The best place covers the fewest edges; then it is near the node and in the direction `towards` (radians).
        """
        best = min(
            (
                (self._crossed(box) + distance / 8 + turn / 6, number, box)
                for number, (box, distance, turn) in enumerate(_around(at, radius, size, towards))
                if self._is_free(box) and self._belongs(box, at)
            ),
            default=None,
        )
        return None if best is None else self._take(best[2])

    def on_edge(self, path: Sequence[tuple[float, float]], size: tuple[float, float]) -> Box | None:
        """Reserve and return the first free place on an edge, or None. `path` has points on the edge in order."""
        for share in ALONG:
            box = box_around(*path[round(share * (len(path) - 1))], *size)
            if self._is_free(box):
                return self._take(box)
        return None

    def _is_free(self, box: Box) -> bool:
        return self._area.contains(box) and not any(box.overlaps(other) for other in self._taken)

    def _belongs(self, box: Box, at: tuple[float, float]) -> bool:
        """Return whether the box is clearly nearer to this node than to any other."""
        own = box.distance(at)
        return all(own < NEARER * box.distance(node) for node in self._nodes if node != at)

    def _take(self, box: Box) -> Box:
        self._taken.append(box)
        return box

    def _crossed(self, box: Box) -> int:
        """Return the number of points of edges within the box."""
        x, y = self._lines[:, 0], self._lines[:, 1]
        return int(((x > box.left) & (x < box.right) & (y > box.bottom) & (y < box.top)).sum())

    def is_crowded(self, boxes: Sequence[Box]) -> bool:
        """Return whether these labels hide too much of the edges."""
        return sum(map(self._crossed, boxes)) > MAX_CROSSED * len(boxes)


def _around(
    at: tuple[float, float], radius: float, size: tuple[float, float], towards: float
) -> Iterator[tuple[Box, float, float]]:
    """Yield rectangles of this size that touch circles around a node, with distance and turn from `towards`."""
    width, height = size
    for distance in DISTANCES:
        for step in range(DIRECTIONS):
            turn = 2 * math.pi * ((step + 1) // 2) / DIRECTIONS
            angle = towards + (turn if step % 2 else -turn)
            dx, dy = math.cos(angle), math.sin(angle)
            reach = radius + distance
            # The rectangle's point that is nearest to the node lies on the circle, on the side that faces the node.
            x = at[0] + dx * reach + width / 2 * max(-1.0, min(1.0, 2.5 * dx))
            y = at[1] + dy * reach + height / 2 * max(-1.0, min(1.0, 2.5 * dy))
            yield box_around(x, y, width, height), distance, turn
