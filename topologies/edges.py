"""Helpers of the topologies: building a graph from pairs, and rejecting parameters that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from society.core.errors import InputError

if TYPE_CHECKING:
    import networkx as nx

Direction = Literal["both", "out", "in"]
"""Direction of reading. `out`: the others read the root or center. `in`: it reads the others. `both`: both."""


def connect(n: int, pairs: Iterable[tuple[int, int]], direction: Direction = "out") -> nx.DiGraph[int]:
    """Return the graph over nodes 0 .. n-1 with an edge u -> v (v reads u) for each pair (u, v).

    `in` reverses every edge, and `both` adds the reversed edge. Self-loops are omitted.
    """
    import networkx as nx

    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(n))
    for u, v in pairs:
        if u != v and direction != "in":
            graph.add_edge(u, v)
        if u != v and direction != "out":
            graph.add_edge(v, u)
    return graph


def one_way(directed: bool) -> Direction:
    """Return the direction that corresponds to an option `directed`."""
    return "out" if directed else "both"


def require(fits: bool, kind: str, n: int, cause: str, remedy: str) -> None:
    """Raise `InputError` if a parameter does not fit `n` agents."""
    if not fits:
        agents = "1 agent" if n == 1 else f"{n} agents"
        raise InputError(f"A {kind} topology over {agents} is not possible: {cause}.", remedy)
