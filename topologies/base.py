"""Base classes of topologies: components that build a directed graph of agents.

An edge u -> v means that v reads u. An undirected tie is two edges.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import Field

from society.core.component import Component
from society.core.identity import derive_seed
from society.core.results import require_graph

if TYPE_CHECKING:
    import networkx as nx


Agents = Sequence[str]
"""Names of agents, in order."""
Members = Mapping[str, Sequence[str]]
"""Members of each group of agents, by the name of the group."""
Steps = tuple[str | int, ...]
"""Keys and indices that lead to a value below a part of a scenario."""
DRAWS = 16
"""Maximum number of graphs that are compared to detect a random topology."""
LARGE = 60
"""Number of agents above which only `DRAWS / 4` graphs are compared."""


Occasion = Literal["phase", "question", "sample"]
"""An occasion on which a random graph may be drawn again."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The place of a graph: the phase, and the question and the sample if the graph is drawn for them."""

    find: Callable[[str], Topology]
    """Returns the graph of this name from the scenario's `topologies`, for the same place."""
    phase: str = ""
    question: str = ""
    sample: int = 0


class Topology(Component, ABC):
    """The `topology:` of a phase. Subclasses add `kind`, their parameters and `build`."""

    random_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that have an effect only where the graph is random."""
    foreign_attributes: ClassVar[bool] = False
    """Whether the graph comes from another program, whose edges may have attributes without a meaning here."""

    @abstractmethod
    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """Return the graph over nodes 0 .. n-1 in that order, without self-loops.

        A random graph depends only on `seed`.

        Raises `InputError`, with the possible sizes, if there is no such graph over n nodes.
        """

    def graph(self, agents: Agents, groups: Members, seed: int) -> nx.DiGraph[str]:
        """Return the graph over these agents, in this order. The engine calls this method.

        `groups` maps the name of each group of agents in the scenario to its members. Edge attributes named
        like fields of `EdgeView` (`show`, `window`, ...) override those of the phase.

        Raises `ResultError` if `build` returns no directed graph over the nodes 0 to n-1.
        """
        import networkx as nx

        built = require_graph(self.build(len(agents), seed), range(len(agents)))
        return cast("nx.DiGraph[str]", nx.relabel_nodes(built, dict(enumerate(agents))))

    def parts(self) -> Sequence[Topology]:
        """Return the topologies that this one combines."""
        return ()

    def reference(self) -> str:
        """Return the name in the scenario's `topologies` that this topology stands for; "" if it is no name."""
        return ""

    def resolve(self, drawing: Drawing) -> Topology:
        """Return the topology to draw at this place: names are replaced by graphs. The engine calls this method."""
        return self

    def occasions(self) -> frozenset[Occasion]:
        """Return the occasions on which the graph is drawn again."""
        return frozenset(occasion for part in self.parts() for occasion in part.occasions())

    def declared_edges(self) -> Sequence[list[Any]]:
        """Return the edges that the scenario writes out, as [sender, reader] or [sender, reader, attributes]."""
        return ()

    def idle(self, agents: Agents, groups: Members, seed: int) -> Mapping[str, str]:
        """Return why fields change nothing over these agents, by field. Parts report themselves."""
        return {}

    def graph_seed(self, seed: int) -> int:
        """Return the seed of the one graph that this topology has in a scenario with this seed."""
        return derive_seed(seed, "graph")

    def is_random(self, agents: Agents, groups: Members) -> bool:
        """Return whether the graph over these agents depends on the seed. By default several graphs are compared.

        Raises `InputError` if there is no such graph over these agents.
        """
        draws = DRAWS if len(agents) <= LARGE else DRAWS // 4
        first = set(self.graph(agents, groups, 0).edges)
        return any(set(self.graph(agents, groups, seed).edges) != first for seed in range(1, draws))


class RandomTopology(Topology):
    """A random topology, drawn once per run: phases with equal topologies have the same graph."""

    random_fields: ClassVar[tuple[str, ...]] = ("seed", "redraw")
    seed: int | None = Field(None, ge=0, lt=2**63)
    """Seed of the graph, in addition to the seed of the scenario. Different seeds give different graphs."""
    redraw: tuple[Occasion, ...] = ()
    """Draw another graph for each `phase`, `question` or `sample`, or for each combination of those listed. By default
    there is one graph per run."""

    def occasions(self) -> frozenset[Occasion]:
        return frozenset(self.redraw)

    def resolve(self, drawing: Drawing) -> Topology:
        """Return the topology with a seed of its own for each occasion of `redraw`."""
        if not self.redraw:
            return self
        parts = [(name, getattr(drawing, name)) for name in sorted(set(self.redraw))]
        return self.model_copy(update={"seed": derive_seed(self.seed, "redraw", parts)})

    def graph_seed(self, seed: int) -> int:
        return derive_seed(seed, "graph", *(() if self.seed is None else (self.seed,)))


def placed_parts(topology: Topology) -> Iterator[tuple[Steps, Topology]]:
    """Yield the topologies in the fields of one that combines them, each with the keys that lead to it."""
    for field in type(topology).model_fields:
        value = getattr(topology, field)
        if isinstance(value, Topology):
            yield (field,), value
        for i, part in enumerate(value if isinstance(value, tuple) else ()):
            if isinstance(part, Topology):
                yield (field, i), part


def each_place(topology: Topology, below: Steps = ()) -> Iterator[tuple[Steps, Topology]]:
    """Yield the parts of a topology at any depth and then the topology itself, each with the keys that lead to it."""
    for steps, part in placed_parts(topology):
        yield from each_place(part, (*below, *steps))
    yield below, topology


def each_part(topology: Topology) -> Iterator[Topology]:
    """Yield a topology and every topology that it combines, at any depth. Names are not followed."""
    yield topology
    for part in topology.parts():
        yield from each_part(part)
