"""Graphs written out in the scenario: a list of edges, or a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, WithJsonSchema

from society.core.errors import InputError
from topologies.base import Topology
from topologies.ties import connect, require

if TYPE_CHECKING:
    import networkx as nx


def _is_edge(parts: list[Any]) -> list[Any]:
    names, attributes = parts[:2], parts[2:]
    if len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise ValueError("an edge is [sender, reader] or [sender, reader, {show: answer, ...}], with names as text")
    if len(attributes) > 1 or not all(isinstance(entry, dict) for entry in attributes):
        raise ValueError("after sender and reader an edge has one mapping of its attributes, such as {show: answer}")
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
    """Who reads whom edge by edge: [u, v] says that v reads u; a name may be a whole group's."""

    kind: Literal["edges"] = "edges"
    edges: list[Edge]
    """Each is [sender, reader] or [sender, reader, {show: answer, window: 2, ...}]; later ones refine.

    An edge between groups joins all their members; a group's edge to itself ties its members.
    """
    directed: bool = True
    """Otherwise each edge is read both ways."""

    def declared_edges(self) -> Sequence[list[Any]]:
        return self.edges

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """The graph over agents that are named by their numbers, "0" to "n-1"."""
        import networkx as nx

        named = self.graph([str(i) for i in range(n)], {}, seed)
        return cast("nx.DiGraph[int]", nx.relabel_nodes(named, int))

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        """The graph over these agents. Raises `InputError` for a name that is no agent's and no group's."""
        import networkx as nx

        members = {name: list(group) for name, group in groups.items()} | {name: [name] for name in agents}
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(agents)
        for sender, reader, *attributes in self.edges:
            pairs = _pairs(sender, reader, members)
            pairs += [] if self.directed else [(v, u) for u, v in pairs]
            graph.add_edges_from(pairs, **(attributes[0] if attributes else {}))
        return graph


def _pairs(sender: str, reader: str, members: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Every sender with every reader but itself."""
    for name in (sender, reader):
        if name not in members:
            near = get_close_matches(name, members, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"The edge [{sender}, {reader}] names {name!r}, which is no agent.", hint + _known(members)
            )
    pairs = [(u, v) for u in members[sender] for v in members[reader] if u != v]
    if sender == reader and not pairs:
        raise InputError(
            f"The edge [{sender}, {reader}] makes {sender!r} read itself.",
            "Leave it out: what an agent remembers of its own turns is its prompt's business.",
        )
    return pairs


def _known(names: Mapping[str, list[str]]) -> str:
    shown = list(names)[:12]
    return "Known are " + ", ".join(shown) + (f" and {len(names) - 12} more." if len(names) > 12 else ".")


class Matrix(Topology):
    """Who reads whom as a matrix: a 1 in row i, column j says that agent j reads agent i."""

    kind: Literal["matrix"] = "matrix"
    rows: list[list[Annotated[int, Field(ge=0, le=1)]]]
    """As many rows and columns as there are agents, in their order; zeros on the diagonal."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        size = f"rows: {n} lists of {n} numbers"
        require(len(self.rows) == n, "matrix", n, f"it has {len(self.rows)} rows", size)
        for i, row in enumerate(self.rows):
            require(len(row) == n, "matrix", n, f"row {i} has {len(row)} columns", size)
            require(not row[i], "matrix", n, f"row {i} makes agent {i} read itself", "put 0 on the diagonal")
        return connect(n, ((i, j) for i, row in enumerate(self.rows) for j, cell in enumerate(row) if cell))
