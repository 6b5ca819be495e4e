"""Graphs that a scenario defines itself: a list of edges, or a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, WithJsonSchema

from society.core.errors import InputError, located
from topologies.base import Topology
from topologies.edges import connect, limit_edges, require

if TYPE_CHECKING:
    import networkx as nx


def _is_edge(parts: list[Any]) -> list[Any]:
    names, attributes = parts[:2], parts[2:]
    if len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise ValueError(
            "should be an edge [sender, reader] or [sender, reader, {show: answer, ...}], with names as text"
        )
    if len(attributes) > 1 or not all(isinstance(entry, dict) for entry in attributes):
        raise ValueError(
            "should have at most one mapping of attributes after sender and reader, such as {show: answer}"
        )
    return parts


Edge = Annotated[
    list[Any],
    AfterValidator(_is_edge),
    WithJsonSchema(
        {
            "type": "array",
            "prefixItems": [{"type": "string"}, {"type": "string"}, {"type": "object"}],
            "minItems": 2,
            "maxItems": 3,
        }
    ),
]


class Edges(Topology):
    """A list of edges: [u, v] means that v reads u. Each name is an agent or a group."""

    kind: Literal["edges"] = "edges"
    edges: list[Edge]
    """Edges as [sender, reader] or [sender, reader, {show: answer, window: 2, ...}].

    If an edge is repeated, later attributes override earlier ones. An edge between two groups connects all their
    members. An edge from a group to itself connects its members.
    """
    directed: bool = True
    """Read each edge in one direction. Otherwise both ends read each other."""

    def declared_edges(self) -> Sequence[list[Any]]:
        return self.edges

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """Return the graph over n agents that are named "0" to "n-1"."""
        import networkx as nx

        named = self.graph([str(i) for i in range(n)], {}, seed)
        return cast("nx.DiGraph[int]", nx.relabel_nodes(named, int))

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        """Return the graph over these agents. Raises `InputError` for an unknown name in an edge."""
        import networkx as nx

        members = {name: list(group) for name, group in groups.items()} | {name: [name] for name in agents}
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(agents)
        for i, (sender, reader, *attributes) in enumerate(self.edges):
            with located("edges", i):
                pairs = _pairs(sender, reader, members)
            pairs += [] if self.directed else [(v, u) for u, v in pairs]
            graph.add_edges_from(pairs, **(attributes[0] if attributes else {}))
            limit_edges(graph.number_of_edges(), len(agents))
        return graph


def _pairs(sender: str, reader: str, members: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Return every pair of a sender and a different reader.

    Raises `InputError` for an unknown name and for an edge from an agent to itself.
    """
    for name in (sender, reader):
        if name not in members:
            near = get_close_matches(name, members, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise InputError(f"The edge [{sender}, {reader}] names an unknown agent {name!r}.", hint + _known(members))
    limit_edges(len(members[sender]) * len(members[reader]), len(members))
    pairs = [(u, v) for u in members[sender] for v in members[reader] if u != v]
    if sender == reader and not pairs:
        raise InputError(
            f"The edge [{sender}, {reader}] makes {sender!r} read itself.",
            "Remove this edge. The field `memory` of the role controls which of its own turns an agent sees.",
        )
    return pairs


def _known(names: Mapping[str, list[str]]) -> str:
    shown = list(names)[:12]
    return (
        "Known agents and groups: " + ", ".join(shown) + (f" and {len(names) - 12} more." if len(names) > 12 else ".")
    )


class Matrix(Topology):
    """A matrix of weights: a number above 0 in row i and column j means that agent j reads agent i."""

    kind: Literal["matrix"] = "matrix"
    rows: list[list[Annotated[int, Field(ge=0, le=1)] | Annotated[float, Field(ge=0, allow_inf_nan=False)]]]
    """Square matrix of 0, 1 or other weights, with one row and column per agent in order. The diagonal is 0. In a
    matrix of 0 and 1 alone, 1 is an edge with the `weight` of the phase's `edges`."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        size = f"rows: {n} lists of {n} numbers"
        require(len(self.rows) == n, "matrix", n, f"it has {len(self.rows)} rows", size, "rows")
        for i, row in enumerate(self.rows):
            require(len(row) == n, "matrix", n, f"row {i} has {len(row)} columns", size, "rows", i)
            require(not row[i], "matrix", n, f"row {i} makes agent {i} read itself", "put 0 on the diagonal", "rows", i)
        graph = connect(n, ((i, j) for i, row in enumerate(self.rows) for j, cell in enumerate(row) if cell))
        weighted = any(cell not in (0, 1) for row in self.rows for cell in row)
        for i, j, data in graph.edges(data=True) if weighted else ():
            data["weight"] = float(self.rows[i][j])
        return graph
