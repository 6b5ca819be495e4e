"""What every topology uses: a graph made out of pairs, and a refusal of parameters that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from society.core.errors import InputError

if TYPE_CHECKING:
    import networkx as nx

Direction = Literal["both", "out", "in"]
"""`out`: the root or centre is read by the others; `in`: it reads them; `both`: they read each other."""


def connect(n: int, pairs: Iterable[tuple[int, int]], direction: Direction = "out") -> nx.DiGraph[int]:
    """The graph over 0 .. n-1 with an edge u -> v (v reads u) for each pair (u, v).

    `in` turns every edge round and `both` adds its reverse. A pair of an agent with itself is left out.
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
    """The direction that an option `directed` stands for."""
    return "out" if directed else "both"


def require(fits: bool, kind: str, n: int, cause: str, remedy: str) -> None:
    """Refuse a parameter that does not fit `n` agents. Raises `InputError`."""
    if not fits:
        agents = "1 agent" if n == 1 else f"{n} agents"
        raise InputError(f"A {kind} topology over {agents} is not possible: {cause}.", remedy)
