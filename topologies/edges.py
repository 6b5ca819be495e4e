"""Helpers of the topologies: building a graph from pairs, and rejecting parameters that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Literal

from society.core.errors import InputError

if TYPE_CHECKING:
    import networkx as nx

Direction = Literal["both", "out", "in"]
"""Direction of reading. `out`: the others read the root or center. `in`: it reads the others. `both`: both."""


MOST_EDGES = 1_000_000
"""Maximum number of edges of a graph. A complete graph over 1,000 agents has 999,000."""
MOST_PAIRS = 100_000_000
"""Maximum number of pairs of agents that a topology goes through: those of 10,000 agents."""


def limit_edges(count: int, n: int) -> None:
    """Raise `InputError` if a graph over `n` agents has too many edges: memory and prompts would have no end."""
    if count > MOST_EDGES:
        raise InputError(
            f"The graph over {n:,} agents has more than {MOST_EDGES:,} edges, an edge for each agent that an agent "
            "reads.",
            "Lower `count`, or use a sparser topology, such as `ring` or `k_regular` with a small `k`.",
        )


def limit_pairs(n: int) -> None:
    """Raise `InputError` if `n` agents have too many pairs to go through."""
    if n * n > MOST_PAIRS:
        raise InputError(
            f"The topology goes through all pairs of {n:,} agents, which are more than {MOST_PAIRS:,}.",
            "Lower `count`, or use a topology such as `ring`, `small_world`, or `k_regular` that is not random.",
        )


def connect(n: int, pairs: Iterable[tuple[int, int]], direction: Direction = "out") -> nx.DiGraph[int]:
    """Return the graph over nodes 0 .. n-1 with an edge u -> v (v reads u) for each pair (u, v).

    `in` reverses every edge, and `both` adds the reversed edge. Self-loops are omitted.

    Raises `InputError`, before the graph is built, if there are more than `MOST_EDGES` pairs.
    """
    import networkx as nx

    found = list(islice(pairs, MOST_EDGES + 1))
    limit_edges(len(found), n)
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(n))
    for u, v in found:
        if u != v and direction != "in":
            graph.add_edge(u, v)
        if u != v and direction != "out":
            graph.add_edge(v, u)
    return graph


def one_way(directed: bool) -> Direction:
    """Return the direction that corresponds to an option `directed`."""
    return "out" if directed else "both"


def require(fits: bool, kind: str, n: int, cause: str, remedy: str, *below: str | int) -> None:
    """Raise `InputError` if a parameter does not fit `n` agents. `below`: its name, and keys below it."""
    if not fits:
        agents = "1 agent" if n == 1 else f"{n} agents"
        raise InputError(f"A {kind} topology over {agents} is not possible: {cause}.", remedy, below)
