"""The plain families: nobody, everybody, and the shapes one draws by hand. None of them is random.

With one agent every family is that agent alone; with two, a ring is one tie, as a chain is.
"""

from __future__ import annotations

from itertools import permutations
from math import isqrt
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from topologies.base import Topology
from topologies.ties import Direction, connect, one_way, require

if TYPE_CHECKING:
    import networkx as nx


class Nobody(Topology):
    """Nobody reads anybody: independent agents."""

    kind: Literal["none"] = "none"

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, ())


class Complete(Topology):
    """Everybody reads everybody else."""

    kind: Literal["complete"] = "complete"

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, permutations(range(n), 2))


class Ring(Topology):
    """Each reads its two neighbours on a ring, or only the one before it when directed."""

    kind: Literal["ring"] = "ring"
    directed: bool = False
    """Each agent reads only the one before it, and the first reads the last."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, ((i, (i + 1) % n) for i in range(n)), one_way(self.directed))


class Star(Topology):
    """The centre and each of the others read each other; the others do not read one another."""

    kind: Literal["star"] = "star"
    direction: Direction = "both"
    """`out`: the centre is read by the others; `in`: the centre reads the others; `both`."""
    center: int = Field(0, ge=0)
    """The number of the agent in the centre; the first agent is 0."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        require(self.center < n, "star", n, f"there is no agent number {self.center}", f"center: 0 to {n - 1}")
        return connect(n, ((self.center, i) for i in range(n)), self.direction)


class Chain(Topology):
    """Each reads the ones before and after it, or only the one before it when directed."""

    kind: Literal["chain"] = "chain"
    directed: bool = False
    """Each agent reads only the one before it: an acyclic relay."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, ((i, i + 1) for i in range(n - 1)), one_way(self.directed))


class Tree(Topology):
    """Parents and children of a full tree read each other; the first agent is the root."""

    kind: Literal["tree"] = "tree"
    branching: int = Field(2, ge=1)
    """Children of each inner agent; the last inner agent may have fewer."""
    direction: Direction = "both"
    """`out`: children read their parent; `in`: parents read their children; `both`."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, (((i - 1) // self.branching, i) for i in range(1, n)), self.direction)


class Grid(Topology):
    """Each reads its neighbours left, right, above and below; agents fill the rows in order."""

    kind: Literal["grid"] = "grid"
    columns: int | None = Field(None, ge=1)
    """Agents in a row; by default the grid is as square as can be. The last row may be shorter."""
    periodic: bool = False
    """Close rows and columns to rings (a torus); every row must then be full."""
    directed: bool = False
    """Each agent reads only the neighbours to its left and above it."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        width = self.width(n)
        divisors = ", ".join(str(d) for d in range(1, n + 1) if n % d == 0)
        full = not self.periodic or n % width == 0
        require(
            full,
            "periodic grid",
            n,
            f"rows of {width} leave the last row short",
            f"columns: one of {divisors}",
        )
        right = ((i, i + 1) for i in range(n - 1) if (i + 1) % width)
        below = ((i, i + width) for i in range(n - width))
        wraps = [(i + width - 1, i) for i in range(0, n, width)] + [(n - width + i, i) for i in range(width)]
        ties = [*right, *below, *(wraps if self.periodic else ())]
        return connect(n, ties, one_way(self.directed))

    def width(self, n: int) -> int:
        """Columns of the grid over n agents: as given, else the least that makes it no taller than wide."""
        if self.columns is not None:
            return min(self.columns, n)
        square = isqrt(n - 1) + 1
        return next(d for d in range(square, n + 1) if not self.periodic or n % d == 0)
