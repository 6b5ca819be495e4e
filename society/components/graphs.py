"""Topologies made of other topologies: graphs of the scenario's `topologies`, their unions and differences.

Named        the graph of a name in `topologies`
Union        all edges of several graphs
Difference   the edges of one graph that others lack
Restricted   a named graph, restricted to the speakers of one phase
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from society.components.registry import Registered, rebuild_with_kinds
from society.core.errors import InputError, located
from topologies import TOPOLOGIES as FAMILIES
from topologies.base import Drawing, Topology, placed_parts
from topologies.edges import connect

if TYPE_CHECKING:
    import networkx as nx

TOPOLOGIES: dict[str, str] = {
    **FAMILIES,
    "named": "society.components.graphs:Named",
    "union": "society.components.graphs:Union",
    "difference": "society.components.graphs:Difference",
}
"""The built-in topologies by kind."""
AnyTopology = Annotated[Topology, Registered("topology", reference="topologies")]
"""A topology of any kind, or a name in the scenario's `topologies`."""


class Named(Topology):
    """A graph of the scenario's `topologies`. `topology: NAME` is short for it."""

    kind: Literal["named"] = "named"
    name: str
    """Name of the graph."""

    def reference(self) -> str:
        return self.name

    def resolve(self, drawing: Drawing) -> Topology:
        return drawing.find(self.name)

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """Raise `InputError`: a name alone has no graph."""
        raise InputError(f"The graph {self.name!r} is known only within a scenario.", "Define it in `topologies`.")


class _Combined(Topology):
    """A topology that combines the edges of its parts. Equal random parts have the same graph."""

    def graph_seed(self, seed: int) -> int:
        return seed

    def is_random(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]]) -> bool:
        return any(part.is_random(agents, groups) for part in self.parts())

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """Return the graph over n agents that are named "0" to "n-1"."""
        names = [str(i) for i in range(n)]
        return connect(n, ((int(u), int(v)) for u, v in self.graph(names, {}, seed).edges))

    def _graphs(
        self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int
    ) -> Iterator[nx.DiGraph[str]]:
        for steps, part in placed_parts(self):
            with located(*steps):
                graph = part.graph(agents, groups, part.graph_seed(seed))
            yield graph


class Union(_Combined):
    """All edges of several graphs. Where two graphs share an edge, the attributes of the later one override."""

    model_config = ConfigDict(defer_build=True)
    kind: Literal["union"] = "union"
    of: tuple[AnyTopology, ...] = Field(min_length=2)
    """The graphs: names in `topologies`, or topologies."""

    def parts(self) -> Sequence[Topology]:
        return self.of

    def resolve(self, drawing: Drawing) -> Topology:
        return self.model_copy(update={"of": tuple(part.resolve(drawing) for part in self.of)})

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        first, *others = self._graphs(agents, groups, seed)
        whole = first.copy()
        for other in others:
            whole.add_edges_from(other.edges(data=True))
        return whole


class Difference(_Combined):
    """The edges of one graph that other graphs do not have."""

    model_config = ConfigDict(defer_build=True)
    kind: Literal["difference"] = "difference"
    of: AnyTopology
    """The graph whose edges are kept: a name in `topologies`, or a topology."""
    without: tuple[AnyTopology, ...] = Field(min_length=1)
    """The graphs whose edges are left out."""

    def parts(self) -> Sequence[Topology]:
        return self.of, *self.without

    def resolve(self, drawing: Drawing) -> Topology:
        without = tuple(part.resolve(drawing) for part in self.without)
        return self.model_copy(update={"of": self.of.resolve(drawing), "without": without})

    def idle(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> Mapping[str, str]:
        first, *others = self._graphs(agents, groups, seed)
        if any(first.has_edge(*edge) for other in others for edge in other.edges) or self.is_random(agents, groups):
            return {}
        return {"without": "removes no edge: `of` has none of these edges; change it, or remove it"}

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        first, *others = self._graphs(agents, groups, seed)
        left = first.copy()
        for other in others:
            left.remove_edges_from(other.edges)
        return left


class Restricted(Topology):
    """A topology drawn over its own agents, of which each phase has the part among its speakers."""

    of: Any
    """The topology."""
    own: tuple[str, ...]
    """The agents over which the topology is drawn."""

    @cached_property
    def kind(self) -> str:
        return str(getattr(self.of, "kind", ""))

    def parts(self) -> Sequence[Topology]:
        return (self.of,)

    def graph_seed(self, seed: int) -> int:
        return int(self.of.graph_seed(seed))

    def is_random(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]]) -> bool:
        return bool(self.of.is_random(self.own, groups))

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return self.of.build(n, seed)  # type: ignore[no-any-return]

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        import networkx as nx

        drawn = self.of.graph(self.own, groups, seed)
        if tuple(agents) == self.own:
            return drawn  # type: ignore[no-any-return]
        part: nx.DiGraph[str] = nx.DiGraph()
        part.add_nodes_from(agents)
        part.add_edges_from((u, v, data) for u, v, data in drawn.edges(data=True) if u in part and v in part)
        return part


rebuild_with_kinds(Union, Difference)
