"""Checks of values that a component's method returned, such as graphs and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from society.core.types import Decision

Graph = TypeVar("Graph")
MOST_NODES = 5
"""Maximum number of nodes of a graph that a message lists."""


class ResultError(Exception):
    """A result that cannot be used, in words. `society.components.faults` adds the component and the place."""


def require_decision(decision: object) -> Decision:
    """Return the decision. Raises `ResultError` if it is no `Decision`, or if one of its fields has another type."""
    if not isinstance(decision, Decision):
        raise ResultError(f"{type(decision).__name__} instead of Decision")
    support = decision.support
    if not (decision.answer is None or isinstance(decision.answer, str)):
        raise ResultError(f"a Decision with the answer {decision.answer!r:.40}, which is neither text nor None,")
    if isinstance(support, bool) or not isinstance(support, int | float) or not 0 <= support <= 1:
        raise ResultError(f"a Decision with the support {support!r:.40}, which is no number from 0 to 1,")
    if not isinstance(decision.reason, str):
        raise ResultError(f"a Decision with the reason {decision.reason!r:.40}, which is no text,")
    if not (isinstance(decision.tied, tuple) and all(isinstance(answer, str) for answer in decision.tied)):
        raise ResultError(f"a Decision with tied answers {decision.tied!r:.40}, which are no tuple of texts,")
    return decision


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
