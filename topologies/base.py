"""What a topology is: a component that builds a directed graph of agents.

An edge u -> v means that v reads u. An undirected tie is two edges.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from society.component import Component

if TYPE_CHECKING:
    import networkx as nx


class Topology(Component, ABC):
    """The `topology:` of a phase. Subclasses add `kind`, their parameters and `build`."""

    @abstractmethod
    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """The graph over nodes 0 .. n-1 in that order, without self-loops; random ones depend on `seed` only.

        Raises `InputError` when no such graph has n nodes, saying which n are possible.
        """

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        """The graph over these agents, in this order: what the engine calls.

        `groups` maps the name of each group of agents in the scenario to its members. Edge attributes named
        like fields of an edge view (`show`, `window`, ...) override the phase's.
        """
        import networkx as nx

        return cast("nx.DiGraph[str]", nx.relabel_nodes(self.build(len(agents), seed), dict(enumerate(agents))))
