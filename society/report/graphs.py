"""The topology of each phase, laid out for the page to draw."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from society.core.errors import InputError
from society.pictures.layouts import Positions, place
from society.scenario.expand import PhasePlan, Society

if TYPE_CHECKING:
    import networkx as nx

MOST_EDGES = 2000
"""Maximum number of edges; of a denser graph only the reading that took place is drawn."""
MOST_SPEAKERS = 1000
"""Maximum number of speakers whose graph is built; a complete graph of many more does not fit into memory."""


def describe_phases(society: Society) -> list[dict[str, Any]]:
    """Each phase: how it goes, where its agents stand (x, y in [0, 1], y downwards) and who may read whom."""
    return [_describe(phase) for phase in society.phases]


def _describe(phase: PhasePlan) -> dict[str, Any]:
    graph = _graph(phase)
    kind = getattr(phase.spec.topology, "kind", "")
    nodes = _fit(place(graph, kind))
    edges = [[u, v] for u, v in graph.edges] if graph.number_of_edges() <= MOST_EDGES else []
    return {
        "name": phase.name, "topology": kind, "schedule": phase.spec.schedule, "rounds": phase.spec.rounds,
        "nodes": nodes, "edges": edges,
    }  # fmt: skip


def _graph(phase: PhasePlan) -> nx.DiGraph[str]:
    """Return who may read whom; nobody where there are too many, or the run kept no copy of a graph file."""
    if len(phase.speakers) <= MOST_SPEAKERS:
        with suppress(InputError):
            return phase.graph()
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(phase.speakers)
    return graph


def _fit(placed: Positions) -> Positions:
    """The same picture, centred in a square from 0 to 1, y downwards."""
    xs, ys = [x for x, _ in placed.values()], [y for _, y in placed.values()]
    size = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    left, top = (max(xs) + min(xs) - size) / 2, (max(ys) + min(ys) + size) / 2
    return {name: (round((x - left) / size, 4), round((top - y) / size, 4)) for name, (x, y) in placed.items()}
