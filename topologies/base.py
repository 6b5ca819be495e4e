"""What a topology is: a component that builds a directed graph of agents.

An edge u -> v means that v reads u. An undirected tie is two edges.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import Field

from society.core.component import Component
from society.core.identity import derive_seed

if TYPE_CHECKING:
    import networkx as nx


Agents = Sequence[str]
"""Names of agents in their order."""
Members = Mapping[str, Sequence[str]]
"""From the name of each group of agents to its members."""
DRAWS = 16
"""Maximum number of graphs that are compared to find out whether a topology is random."""
LARGE = 60
"""Agents above which only `DRAWS / 4` graphs are compared."""


class Topology(Component, ABC):
    """The `topology:` of a phase. Subclasses add `kind`, their parameters and `build`."""

    random_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that have an effect only where the graph is random."""
    foreign_attributes: ClassVar[bool] = False
    """Whether the graph comes from another program, whose edges may have attributes without a meaning here."""

    @abstractmethod
    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """The graph over nodes 0 .. n-1 in that order, without self-loops; random ones depend on `seed` only.

        Raises `InputError` when no such graph has n nodes, saying which n are possible.
        """

    def graph(self, agents: Agents, groups: Members, seed: int) -> nx.DiGraph[str]:
        """The graph over these agents, in this order: what the engine calls.

        `groups` maps the name of each group of agents in the scenario to its members. Edge attributes named
        like fields of an edge view (`show`, `window`, ...) override the phase's.
        """
        import networkx as nx

        return cast("nx.DiGraph[str]", nx.relabel_nodes(self.build(len(agents), seed), dict(enumerate(agents))))

    def declared_edges(self) -> Sequence[list[Any]]:
        """Return the edges that the scenario writes out, as [sender, reader] or [sender, reader, attributes]."""
        return ()

    def graph_seed(self, seed: int) -> int:
        """Return the seed of the one graph that this topology has in a scenario with this seed."""
        return derive_seed(seed, "graph")

    def is_random(self, agents: Agents, groups: Members) -> bool:
        """Return whether the graph over these agents depends on the seed. By default some graphs are compared.

        Raises `InputError` when there is no such graph over these agents.
        """
        draws = DRAWS if len(agents) <= LARGE else DRAWS // 4
        first = set(self.graph(agents, groups, 0).edges)
        return any(set(self.graph(agents, groups, seed).edges) != first for seed in range(1, draws))


class RandomTopology(Topology):
    """A topology that is drawn at random: equal ones have the same graph in every phase, unless they differ in `seed`.

    It is drawn once for the run.
    """

    random_fields: ClassVar[tuple[str, ...]] = ("seed",)
    seed: int | None = Field(None, ge=0, lt=2**63)
    """Any number: draws another graph than the same topology with another `seed`, or without one."""

    def graph_seed(self, seed: int) -> int:
        return derive_seed(seed, "graph", *(() if self.seed is None else (self.seed,)))
