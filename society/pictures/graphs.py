"""Descriptions of graphs: agents with their positions and the edges between them, independent of what draws them.

The report's page draws them with JavaScript, `society draw` with matplotlib (`draw_graphs`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from society.pictures.layouts import Positions, place

if TYPE_CHECKING:
    import networkx as nx

MAX_NAMES = 60
"""Maximum number of nodes with visible names and with edges that avoid other nodes."""
CLEARANCE = 0.15
"""Distance from a node within which an edge would cross the node; distances are in units of `place`."""


@dataclass(frozen=True)
class Node:
    """An agent. Neighbours have a distance of about 1; y grows upwards."""

    name: str
    role: str
    x: float
    y: float


@dataclass(frozen=True)
class Edge:
    """`target` reads `source`; with `mutual`, `source` also reads `target` in the same way.

    `show` is what the reader sees, `label` the other attributes. `bend` is the curvature: the distance of the control
    point of a quadratic curve from the middle, in lengths of the edge, to the right if positive.
    """

    source: str
    target: str
    mutual: bool = False
    show: str = "full"
    label: str = ""
    bend: float = 0.0


@dataclass(frozen=True)
class Graph:
    """Agents and their edges. `groups` has the names of the agents of each declared group, if there are several."""

    title: str
    nodes: Sequence[Node]
    edges: Sequence[Edge]
    groups: Sequence[Sequence[str]] = ()

    @property
    def directed(self) -> bool:
        """Return whether edges need arrowheads."""
        return any(not edge.mutual for edge in self.edges)

    @property
    def positions(self) -> Positions:
        """Return the position of each node by name."""
        return {node.name: (node.x, node.y) for node in self.nodes}


def describe_graph(title: str, graph: nx.DiGraph[str], kind: str = "", groups: Sequence[Sequence[str]] = ()) -> Graph:
    """Return the description of a graph, laid out as its family `kind` is. `groups` has the agents of each group.

    Nodes may have the attribute "role"; edges, from the agent that is read to its reader, may have "show" and others.
    """
    found = [[name for name in members if name in graph] for members in groups]
    several = [members for members in found if len(members) > 1]
    several = several if len(several) > 1 else []
    positions = place(graph, kind, several)
    nodes = [Node(name, str(graph.nodes[name].get("role", "agent")), *positions[name]) for name in graph]
    order = {name: number for number, name in enumerate(graph)}
    edges = []
    for u, v, attributes in graph.edges(data=True):
        opposite = graph.has_edge(v, u)
        mutual = opposite and dict(attributes) == dict(graph.edges[v, u])
        if mutual and order[u] > order[v]:
            continue  # the edge from v to u describes both
        bend = 0.18 if opposite and not mutual else _bend(positions, u, v)
        edges.append(Edge(u, v, mutual, str(attributes.get("show") or "full"), label_edge(attributes), bend))
    return Graph(title, nodes, edges, several)


def label_edge(attributes: Mapping[str, Any]) -> str:
    """Return the attributes of an edge except "show" as text, such as "window 2, gate similarity"."""
    known = {key: value for key, value in attributes.items() if key != "show" and value not in (None, False, "")}
    texts = []
    for key, value in known.items():
        shown = value.get("kind", "") if isinstance(value, Mapping) else value
        texts.append(key if value is True else f"{key} {shown}")
    return ", ".join(texts)


def _bend(positions: Positions, u: str, v: str) -> float:
    """Return 0 for an edge that no other node obstructs, otherwise a bend around the node."""
    if len(positions) > MAX_NAMES:
        return 0.0
    (x0, y0), (x1, y1) = positions[u], positions[v]
    length = math.dist(positions[u], positions[v])
    for node, (x, y) in positions.items():
        # The node's coordinates along the edge, from 0 to 1, and to the right of the edge.
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2
        right = ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / length
        if node not in (u, v) and 0 < along < 1 and abs(right) < CLEARANCE:
            return -0.2 if right > 1e-6 else 0.2
    return 0.0
