"""Acyclic graphs for the topological schedule, after MacNet (Qian et al., 2025, arXiv 2406.07155).

MacNet's chain is `chain` with `directed`; its star and tree are `star` and `tree` with a `direction`.
"""

from __future__ import annotations

from itertools import accumulate, combinations, pairwise, product
from random import Random
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from topologies.base import Agents, Members, RandomTopology, Topology
from topologies.edges import connect, limit_pairs, require

if TYPE_CHECKING:
    import networkx as nx

Size = Annotated[int, Field(ge=1)]


class Layered(Topology):
    """A layered acyclic graph: each agent reads all agents of the previous layer."""

    kind: Literal["layered"] = "layered"
    layers: Size | list[Size]
    """Number of layers of equal size, or a list of sizes. If agents remain, the first layers have one more."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        sizes = self.sizes(n)
        starts = [0, *accumulate(sizes)]
        layers = [range(start, end) for start, end in pairwise(starts)]
        return connect(n, (edge for one, two in pairwise(layers) for edge in product(one, two)))

    def sizes(self, n: int) -> list[int]:
        """Return the sizes of the layers over n agents, first layer first.

        Raises `InputError` if the layers do not fit n agents.
        """
        layers = self.layers
        if isinstance(layers, list):
            total = sum(layers)
            require(total == n, "layered", n, f"layers add up to {total}", f"Give layers that add up to {n}", "layers")
            return layers
        require(layers <= n, "layered", n, f"{layers} layers cannot be filled", f"layers: 1 to {n}", "layers")
        return [n // layers + (i < n % layers) for i in range(layers)]


class DagMesh(Topology):
    """The complete acyclic graph: each agent reads all earlier agents."""

    kind: Literal["dag_mesh"] = "dag_mesh"

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        return connect(n, combinations(range(n), 2))


class DagRandom(RandomTopology):
    """A random acyclic graph: each agent reads each earlier agent with probability p."""

    kind: Literal["dag_random"] = "dag_random"
    p: float = Field(0.5, ge=0, le=1)
    """Probability of each edge, independently. 0 has no edges; 1 is the complete acyclic graph."""

    def is_random(self, agents: Agents, groups: Members) -> bool:
        return len(agents) > 1 and 0 < self.p < 1

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        limit_pairs(n)
        random = Random(seed)
        return connect(n, (edge for edge in combinations(range(n), 2) if random.random() < self.p))
