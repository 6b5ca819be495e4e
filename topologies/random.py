"""Random graph families, and the circulant that `k_regular` is by default. Each depends only on its seed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from society.core.errors import FieldError
from topologies.base import Agents, Members, RandomTopology
from topologies.edges import connect, limit_edges, limit_pairs, one_way, require

if TYPE_CHECKING:
    import networkx as nx


class KRegular(RandomTopology):
    """A k-regular graph: each agent reads exactly k others, the nearest on a ring or drawn at random."""

    random_fields: ClassVar[tuple[str, ...]] = ("seed", "random", "redraw")
    kind: Literal["k_regular"] = "k_regular"
    k: int = Field(ge=0)
    """Number of agents that each agent reads, below the number of agents. If undirected, k * agents must be even."""
    random: bool = False
    """Draw from all k-regular graphs. Otherwise each agent reads the k nearest on a ring (a circulant)."""
    directed: bool = False
    """Each agent reads its k predecessors, or k random others, without being read in return."""

    @model_validator(mode="after")
    def _is_drawn(self) -> Self:
        if not self.random and (self.seed is not None or self.redraw):
            field = "redraw" if self.seed is None else "seed"
            raise FieldError(f"`{field}` needs `random: true`, as the k nearest on a ring are not random", field)
        return self

    def is_random(self, agents: Agents, groups: Members) -> bool:
        return self.random and 0 < self.k < len(agents) - 1

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        even = self.directed or n * self.k % 2 == 0
        possible = [str(k) for k in range(n) if self.directed or n * k % 2 == 0]
        cause = f"no agent can read {self.k} others" if self.k >= n else f"{n} * {self.k} is odd"
        require(self.k < n and even, "k_regular", n, cause, f"k: one of {', '.join(possible)}", "k")
        limit_edges(n * self.k, n)
        if self.random and self.directed:
            limit_pairs(n)
        if self.directed:
            return connect(n, self._draw(n, seed) if self.random else self._circulant(n, range(1, self.k + 1)))
        if self.random:
            import networkx as nx

            return connect(n, nx.random_regular_graph(self.k, n, seed=seed).edges, "both")
        opposite = [n // 2] if self.k % 2 else []
        return connect(n, self._circulant(n, [*range(1, self.k // 2 + 1), *opposite]), "both")

    def _circulant(self, n: int, offsets: range | list[int]) -> list[tuple[int, int]]:
        return [((i - offset) % n, i) for i in range(n) for offset in offsets]

    def _draw(self, n: int, seed: int) -> list[tuple[int, int]]:
        random = Random(seed)
        return [(u, v) for v in range(n) for u in random.sample([i for i in range(n) if i != v], self.k)]


class SmallWorld(RandomTopology):
    """Each agent reads its k nearest on a ring, with some edges rewired at random (Watts and Strogatz, 1998)."""

    kind: Literal["small_world"] = "small_world"
    k: int = Field(4, ge=2, multiple_of=2)
    """Number of nearest neighbors on the ring: even, and below the number of agents. Two agents have one edge."""
    p: float = Field(0.1, ge=0, le=1)
    """Probability that an edge is rewired, at a constant number of edges. 0 is the ring lattice; 1 is nearly random."""
    directed: bool = False
    """Each edge has one random direction."""

    def is_random(self, agents: Agents, groups: Members) -> bool:
        n = len(agents)
        return (self.directed and n > 1) or (self.p > 0 and n > 2 and self.k < n - 1)

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        import networkx as nx

        limit_edges(n * self.k, n)
        require(self.k < n or n <= 2, "small_world", n, f"no agent has {self.k} others", f"k: even, 2 to {n - 1}", "k")
        ties = [(i, i + 1) for i in range(n - 1)] if n <= 2 else nx.watts_strogatz_graph(n, self.k, self.p, seed).edges
        random = Random(seed)
        oriented = ((u, v) if random.random() < 0.5 else (v, u) for u, v in ties)
        return connect(n, oriented, one_way(self.directed))


class ScaleFree(RandomTopology):
    """Each new agent and m earlier ones read each other, by preferential attachment (Barabasi and Albert, 1999)."""

    kind: Literal["scale_free"] = "scale_free"
    m: int = Field(2, ge=1)
    """Number of edges of each new agent, below the number of agents. The graph has m * (agents - m) edges."""
    directed: bool = False
    """New agents read earlier agents and are not read by them, so the graph is acyclic."""

    def is_random(self, agents: Agents, groups: Members) -> bool:
        return len(agents) > self.m + 1

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        import networkx as nx

        fits = self.m < n or n == 1
        require(fits, "scale_free", n, f"a newcomer cannot find {self.m} others", f"m: 1 to {n - 1}", "m")
        ties = nx.barabasi_albert_graph(n, self.m, seed).edges if n > 1 else ()
        return connect(n, ((min(tie), max(tie)) for tie in ties), one_way(self.directed))


class ErdosRenyi(RandomTopology):
    """A random graph (Gilbert, 1959): any two agents read each other with probability p, independently."""

    kind: Literal["erdos_renyi"] = "erdos_renyi"
    p: float = Field(ge=0, le=1)
    """Probability of each tie, or of each edge if directed."""
    directed: bool = False
    """Draw each ordered pair independently, so that reading need not be mutual."""

    def is_random(self, agents: Agents, groups: Members) -> bool:
        return len(agents) > 1 and 0 < self.p < 1

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        import networkx as nx

        edges = nx.gnp_random_graph(n, self.p, seed, directed=self.directed).edges
        return connect(n, edges, one_way(self.directed))
