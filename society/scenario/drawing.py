"""Drawing of topologies: the named graphs of a scenario, and the graph of a topology over agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from society.components.faults import faults_of
from society.components.graphs import Restricted
from society.core.results import require_graph
from topologies.base import Drawing, Topology

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True)
class Graphs:
    """The named graphs of a scenario, each with the agents over which it is drawn."""

    topologies: Mapping[str, Topology]
    agents: Mapping[str, tuple[str, ...]]

    def resolve(self, topology: Topology, phase: str = "", question: str = "", sample: int = 0) -> Topology:
        """Return the topology to draw in a phase: names are replaced by graphs, and seeds by those of the question."""

        def find(name: str) -> Topology:
            return Restricted(of=self.topologies[name].resolve(drawing), own=self.agents[name])

        drawing = Drawing(find, phase, question, sample)
        return topology.resolve(drawing)


def draw(
    topology: Topology, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int, place: str = ""
) -> nx.DiGraph[str]:
    """Return the graph of a topology over these agents.

    Raises `ComponentError` if its code fails or returns no directed graph over them.
    """
    with faults_of(topology, "build", place):
        return require_graph(topology.graph(agents, groups, seed), agents)
