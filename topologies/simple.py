"""Deterministic graph families: none, complete, ring, star, chain, tree and grid.

Over one agent, every family is a single node. Over two agents, a ring equals a chain.
"""

from __future__ import annotations

from itertools import permutations
from math import isqrt
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from topologies.base import Topology
from topologies.edges import Direction, connect, one_way, require

if TYPE_CHECKING:
    import networkx as nx


class Nobody(Topology):
    """No edges: no agent reads another."""

    kind: Literal["none"] = "none"

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, ())


class Complete(Topology):
    """A complete graph: each agent reads all others."""

    kind: Literal["complete"] = "complete"

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, permutations(range(n), 2))


class Ring(Topology):
    """A ring: each agent reads its two neighbors, or only its predecessor if directed."""

    kind: Literal["ring"] = "ring"
    directed: bool = False
    """Each agent reads only its predecessor; the first agent reads the last."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, ((i, (i + 1) % n) for i in range(n)), one_way(self.directed))


class Star(Topology):
    """A star: the center and each other agent read each other."""

    kind: Literal["star"] = "star"
    direction: Direction = "both"
    """Direction of reading. `out`: the others read the center. `in`: the center reads the others. `both`: both."""
    center: int = Field(0, ge=0)
    """Index of the agent in the center, from 0."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        require(
            self.center < n, "star", n, f"there is no agent number {self.center}", f"center: 0 to {n - 1}", "center"
        )
        return connect(n, ((self.center, i) for i in range(n)), self.direction)


class Chain(Topology):
    """A chain: each agent reads its predecessor and its successor, or only its predecessor if directed."""

    kind: Literal["chain"] = "chain"
    directed: bool = False
    """Each agent reads only its predecessor, so the graph is acyclic."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, ((i, i + 1) for i in range(n - 1)), one_way(self.directed))


class Tree(Topology):
    """A full tree whose parents and children read each other. The first agent is the root."""

    kind: Literal["tree"] = "tree"
    branching: int = Field(2, ge=1)
    """Number of children of each inner agent. The last inner agent may have fewer."""
    direction: Direction = "both"
    """Direction of reading. `out`: children read their parent. `in`: parents read their children. `both`: both."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, (((i - 1) // self.branching, i) for i in range(1, n)), self.direction)


class Grid(Topology):
    """A grid: each agent reads its horizontal and vertical neighbors. Agents fill the rows in order."""

    kind: Literal["grid"] = "grid"
    columns: int | None = Field(None, ge=1)
    """Number of agents per row. By default the grid is nearly square. The last row may be shorter."""
    periodic: bool = False
    """Close rows and columns to rings (a torus). All rows must be full."""
    directed: bool = False
    """Each agent reads only its left and its upper neighbor."""

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
            "columns" if self.columns is not None else "periodic",
        )
        right = ((i, i + 1) for i in range(n - 1) if (i + 1) % width)
        below = ((i, i + width) for i in range(n - width))
        wraps = [(i + width - 1, i) for i in range(0, n, width)] + [(n - width + i, i) for i in range(width)]
        ties = [*right, *below, *(wraps if self.periodic else ())]
        return connect(n, ties, one_way(self.directed))

    def width(self, n: int) -> int:
        """Return the number of columns over n agents: `columns`, or the width of a nearly square grid."""
        if self.columns is not None:
            return min(self.columns, n)
        square = isqrt(n - 1) + 1
        return next(d for d in range(square, n + 1) if not self.periodic or n % d == 0)
