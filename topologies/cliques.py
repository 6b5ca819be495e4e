"""Graph families of densely connected groups: bipartite, barbell and disjoint groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, pairwise, permutations, product
from random import Random
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, cast

from pydantic import Field, model_validator

from society.core.errors import FieldError
from topologies.base import RandomTopology, Topology
from topologies.edges import connect, one_way, require

if TYPE_CHECKING:
    import networkx as nx


class Bipartite(Topology):
    """A complete bipartite graph: each agent reads all agents of the other side."""

    kind: Literal["bipartite"] = "bipartite"
    left: int | None = Field(None, ge=1)
    """Number of agents on the left side, which are the first ones. By default half of all, rounded up."""
    directed: bool = False
    """The right side reads the left side; the left side reads no agent."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        left = self.left or (n + 1) // 2
        fits = left < n or n == 1  # one agent alone has no other side
        require(fits, "bipartite", n, f"{left} on the left leave no agent on the right", f"left: 1 to {n - 1}", "left")
        return connect(n, product(range(left), range(left, n)), one_way(self.directed))


class Barbell(Topology):
    """Two groups whose members read each other, connected by a path."""

    kind: Literal["barbell"] = "barbell"
    path: int = Field(0, ge=0)
    """Number of agents on the path between the groups. With 0, one tie connects them.

    If an odd number of agents remains, the first group has one more.
    """

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        fits = self.path <= max(n - 2, 0)
        require(
            fits, "barbell", n, f"a path of {self.path} leaves no two groups", f"path: 0 to {max(n - 2, 0)}", "path"
        )
        first = (n - self.path + 1) // 2  # the agents 0 .. first-1, then the path, then the second group
        second = range(first + self.path, n)
        bridge = pairwise(range(first - 1, min(first + self.path + 1, n)))
        ties = chain(permutations(range(first), 2), permutations(second, 2), bridge)
        return connect(n, ties, "both")


class Groups(RandomTopology):
    """Disjoint complete graphs: each agent reads all agents of its own group."""

    random_fields: ClassVar[tuple[str, ...]] = ("seed", "shuffle", "redraw")
    kind: Literal["groups"] = "groups"
    size: int | None = Field(None, ge=1)
    """Number of agents per group, in order. The last group has the remaining agents."""
    sizes: list[Annotated[int, Field(ge=1)]] | None = Field(None, min_length=1)
    """Number of agents of each group. Without `size` and `sizes`, the groups of the scenario are used."""
    shuffle: bool = False
    """Assign the agents to the groups at random instead of in order. `redraw` assigns them again."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.size is not None and self.sizes is not None:
            raise FieldError("set `size` or `sizes`, not both", "size", "sizes")
        if self.shuffle and self.size is None and self.sizes is None:
            why = "`shuffle` needs `size` or `sizes`, as the groups of the scenario are not random"
            raise FieldError(why, "shuffle")
        if not self.shuffle and (self.seed is not None or self.redraw):
            field = "redraw" if self.seed is None else "seed"
            raise FieldError(f"`{field}` needs `shuffle: true`, as groups in order are not random", field)
        return self

    def is_random(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]]) -> bool:
        sizes = self.sizes or [min(self.size or len(agents), len(agents))]
        return self.shuffle and 1 < max(sizes) < len(agents)

    def idle(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> Mapping[str, str]:
        if self.size is None or self.size <= len(agents):
            return {}
        return {"size": f"exceeds the {len(agents)} agents, so one group has them all; lower it"}

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        total = sum(self.sizes or [n])
        require(total == n, "groups", n, f"sizes add up to {total}", f"give sizes that add up to {n}", "sizes")
        starts = [0, *accumulate(self.sizes)] if self.sizes else [*range(0, n, self.size or n), n]
        agents = list(range(n))
        if self.shuffle:
            Random(seed).shuffle(agents)
        groups = [agents[start:end] for start, end in pairwise(starts)]
        return connect(n, (pair for group in groups for pair in permutations(group, 2)))

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        """Return the graph. Without `size` and `sizes`, the groups are those of the scenario."""
        if self.size is not None or self.sizes is not None or not groups:
            return super().graph(agents, groups, seed)
        import networkx as nx

        place = {name: i for i, name in enumerate(agents)}
        found = [[place[name] for name in members if name in place] for members in groups.values()]
        graph = connect(len(agents), (pair for group in found for pair in permutations(group, 2)))
        return cast("nx.DiGraph[str]", nx.relabel_nodes(graph, dict(enumerate(agents))))
