"""Checks of values that a component's method returned, such as graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Graph = TypeVar("Graph")
MOST_NODES = 5
"""Maximum number of nodes of a graph that a message lists."""


class ResultError(Exception):
    """A result that cannot be used, in words. `society.components.faults` adds the component and the place."""


def require_graph(graph: Graph, nodes: Sequence[object], *, may_drop: bool = False) -> Graph:
    """Return the graph. `may_drop`: nodes may be missing.

    Raises `ResultError` if it is no `nx.DiGraph`, is a multigraph, has other nodes, or has a self-loop.
    """
    import networkx as nx

    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise ResultError(f"{type(graph).__name__} instead of nx.DiGraph")
    expected = frozenset(nodes)
    strange = [node for node in graph if node not in expected]
    missing = [] if may_drop else [node for node in nodes if node not in graph]
    if strange or missing:
        found = [f"{word} {_listing(names)}" for word, names in (("with", strange), ("without", missing)) if names]
        over = f"not over the {len(nodes)} nodes {nodes[0]!r} to {nodes[-1]!r}," if nodes else "not over 0 nodes,"
        raise ResultError(f"a graph {' and '.join(found)}, {over}")
    if loops := [node for node, _ in nx.selfloop_edges(graph)]:
        raise ResultError(f"a graph with an edge from {_listing(loops)} to itself")
    return graph


def _listing(nodes: Sequence[object]) -> str:
    """Return the first nodes in words."""
    noun = "the node" if len(nodes) == 1 else "the nodes"
    shown = ", ".join(f"{node!r:.40}" for node in nodes[:MOST_NODES])
    return f"{noun} {shown}{', ...' if len(nodes) > MOST_NODES else ''}"
