"""Families made of groups that read one another wholly: bipartite, barbell, disjoint groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations, product
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from topologies.base import Topology
from topologies.ties import connect, one_way, require

if TYPE_CHECKING:
    import networkx as nx


class Bipartite(Topology):
    """Two sides; each agent reads everybody on the other side and nobody on its own."""

    kind: Literal["bipartite"] = "bipartite"
    left: int | None = Field(None, ge=1)
    """Agents on the left side, the first ones; half of all, rounded up, by default."""
    directed: bool = False
    """The right side reads the left side, which reads nobody."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        left = self.left or (n + 1) // 2
        fits = left < n or n == 1  # one agent alone has no other side
        require(fits, "bipartite", n, f"{left} on the left leave nobody on the right", f"left: 1 to {n - 1}")
        return connect(n, product(range(left), range(left, n)), one_way(self.directed))


class Barbell(Topology):
    """Two groups in which everybody reads everybody, tied together by a path."""

    kind: Literal["barbell"] = "barbell"
    path: int = Field(0, ge=0)
    """Agents on the path between the groups; with 0 one tie joins them.

    The first group has one agent more where an odd number is left for the two.
    """

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        fits = self.path <= max(n - 2, 0)
        require(fits, "barbell", n, f"a path of {self.path} leaves no two groups", f"path: 0 to {max(n - 2, 0)}")
        first = (n - self.path + 1) // 2  # the agents 0 .. first-1, then the path, then the second group
        second = range(first + self.path, n)
        bridge = pairwise(range(first - 1, min(first + self.path + 1, n)))
        ties = [*permutations(range(first), 2), *permutations(second, 2), *bridge]
        return connect(n, ties, "both")


class Groups(Topology):
    """Everybody reads everybody in the own group, and nobody outside it."""

    kind: Literal["groups"] = "groups"
    size: int | None = Field(None, ge=1)
    """Agents in each group, in order; the last group takes what is left."""
    sizes: list[Annotated[int, Field(ge=1)]] | None = Field(None, min_length=1)
    """Agents in each group, one number a group. With neither, the scenario's own groups are used."""

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.size is not None and self.sizes is not None:
            raise ValueError("give size or sizes, not both")
        return self

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        sizes = self.sizes or [self.size or n] * n
        total = sum(sizes)
        fits = self.sizes is None or total == n
        require(fits, "groups", n, f"sizes add up to {total}", f"give sizes that add up to {n}")
        label = [group for group, size in enumerate(sizes) for _ in range(size)][:n]
        return connect(n, ((u, v) for u, v in permutations(range(n), 2) if label[u] == label[v]))

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        """As `Topology.graph`; with neither size nor sizes, each of the scenario's groups reads itself."""
        graph = super().graph(agents, groups, seed)
        if self.size is None and self.sizes is None and groups:
            graph.clear_edges()
            for members in groups.values():
                graph.add_edges_from(permutations((name for name in members if name in graph), 2))
        return graph
