"""A graph of the edges with the best effects in a stored run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self, cast

from pydantic import Field, model_validator

from society.core.errors import InputError
from topologies.base import Topology
from topologies.edges import limit_edges

if TYPE_CHECKING:
    import networkx as nx


class Learned(Topology):
    """The edges of a stored run that had the best effects on their readers, after the idea of AgentPrune.

    The effect of an edge is (gains - losses) / readings. A gain is an answer that became right after a right message, a
    loss a right one that became the wrong answer of the message. AgentPrune trains a mask over the edges instead.
    """

    kind: Literal["learned"] = "learned"
    run: str | None = None
    """Path of the run's folder, in place of `scores`. Its agents have the names of those here."""
    scores: tuple[tuple[str, str, float], ...] = ()
    """Effect of each edge, as [sender, reader, effect]. Reading a scenario with `run` fills them in."""
    keep: float = Field(gt=0, le=1)
    """Share of the edges that are kept, those with the best effects. At least one edge is kept."""

    @model_validator(mode="after")
    def _has_scores(self) -> Self:
        if not self.scores and self.run is None:
            raise ValueError("needs `run`, the folder of a run to learn from")
        return self

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """Return the graph over n agents that are named "0" to "n-1"."""
        import networkx as nx

        named = self.graph([str(i) for i in range(n)], {}, seed)
        return cast("nx.DiGraph[int]", nx.relabel_nodes(named, int))

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        """Return the graph over these agents. Raises `InputError` if the run has no edge between them."""
        import networkx as nx

        known = set(agents)
        among = [(u, v, effect) for u, v, effect in self.scores if u in known and v in known and u != v]
        if self.scores and not among and len(agents) > 1:
            names = ", ".join(dict.fromkeys(name for u, v, _ in self.scores[:6] for name in (u, v)))
            raise InputError(
                f"The run has no edge between these agents. Its agents are {names}.",
                "Name the agents as in the run, or learn from another one.",
                ("run",),
            )
        best = sorted(among, key=lambda edge: -edge[2])[: math.ceil(self.keep * len(among))]
        limit_edges(len(best), len(agents))
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(agents)
        graph.add_edges_from((u, v) for u, v, _ in best)
        return graph

    def is_random(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]]) -> bool:
        """Return False: the scores have one graph."""
        return False
