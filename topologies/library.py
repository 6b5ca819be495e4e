"""Graphs from other sources: a GraphML or GEXF file, or a generator of networkx."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from pydantic import Field

from society.core.errors import InputError, located
from society.core.paths import ReadablePath
from topologies.base import RandomTopology, Topology
from topologies.edges import connect, require
from topologies.graph_files import read_graph
from topologies.graph_reader import FileGraph

if TYPE_CHECKING:
    import networkx as nx

BOOKKEEPING = {"id", "label", "key", "start", "end"}
"""Edge attributes that the file formats add themselves."""


class GraphFile(Topology):
    """A graph from a GraphML or GEXF file. An edge u -> v means that v reads u."""

    foreign_attributes: ClassVar[bool] = True
    kind: Literal["file"] = "file"
    path: ReadablePath
    """Path of a .graphml or .gexf file. Its nodes are named like the agents, or 0 to n-1.

    Undirected edges are read both ways. Edge attributes named like fields of `edges` (`show`, `window`, ...) override
    those of the phase. Other attributes are ignored, and so are weights that are no numbers of at least 0.
    """

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        """Return the graph over n agents that are named "0" to "n-1"."""
        import networkx as nx

        named = self.graph([str(i) for i in range(n)], {}, seed)
        return cast("nx.DiGraph[int]", nx.relabel_nodes(named, int))

    def graph(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]], seed: int) -> nx.DiGraph[str]:
        """Return the graph over these agents. Raises `InputError` if the nodes of the file are not these agents."""
        import networkx as nx

        with located("path"):
            read = read_graph(self.path, len(agents))
        names = self._names(read, agents)
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(agents)
        for (u, v), attributes in read.edges.items():
            if u != v:
                kept = {key: value for key, value in attributes.items() if key not in BOOKKEEPING | {"weight"}}
                if _is_weight(attributes.get("weight")):
                    kept["weight"] = float(attributes["weight"])
                graph.add_edge(names[u], names[v], **kept)
        return graph

    def is_random(self, agents: Sequence[str], groups: Mapping[str, Sequence[str]]) -> bool:
        """Return False: a file has one graph."""
        return False

    def _names(self, read: FileGraph, agents: Sequence[str]) -> dict[str, str]:
        """Return the agent of each node of the file, by id, label or number.

        Raises `InputError` if the nodes do not match the agents.
        """
        numbers = {str(i): name for i, name in enumerate(agents)}
        ids = {node: node for node in read.labels}
        for known in ({name: name for name in agents}, numbers):
            for found in (ids, read.labels):
                if read.count == len(agents) and sorted(found.values()) == sorted(known):
                    return {node: known[name] for node, name in found.items()}
        strange = sorted(set(ids) - set(agents))[:5]
        missing = sorted(set(agents) - set(ids))[:5]
        raise InputError(
            f"The nodes of {self.path.name} are not the agents: "
            f"{read.count} nodes for {len(agents)} agents; no agent is called {strange}, no node {missing}.",
            f"Name the nodes like the agents, or 0 to {len(agents) - 1}.",
            ("path",),
        )


def _is_weight(value: Any) -> bool:
    """Return whether the weight of an edge is a number of at least 0, other than 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf and value != 1


GENERATORS: dict[str, str] = {
    "barabasi_albert_graph": "n",
    "barbell_graph": "",
    "caveman_graph": "",
    "circulant_graph": "n",
    "circular_ladder_graph": "",
    "complete_graph": "n",
    "connected_caveman_graph": "",
    "connected_watts_strogatz_graph": "n",
    "cycle_graph": "n",
    "dual_barabasi_albert_graph": "n",
    "full_rary_tree": "n",
    "gn_graph": "n",
    "gnc_graph": "n",
    "gnm_random_graph": "n",
    "gnp_random_graph": "n",
    "gnr_graph": "n",
    "hkn_harary_graph": "n",
    "hnm_harary_graph": "n",
    "ladder_graph": "",
    "lollipop_graph": "",
    "newman_watts_strogatz_graph": "n",
    "path_graph": "n",
    "planted_partition_graph": "",
    "powerlaw_cluster_graph": "n",
    "random_geometric_graph": "n",
    "random_labeled_tree": "n",
    "random_partition_graph": "",
    "random_regular_graph": "n",
    "relaxed_caveman_graph": "",
    "ring_of_cliques": "",
    "scale_free_graph": "n",
    "stochastic_block_model": "",
    "tadpole_graph": "",
    "turan_graph": "n",
    "watts_strogatz_graph": "n",
    "wheel_graph": "n",
    "windmill_graph": "",
}
"""Permitted generators, each with the name of its parameter for the number of nodes.

The name is empty if the size follows from other parameters. Generators that take Python objects, may not terminate or
grow exponentially are excluded.
"""
OBJECTS = {"backend", "backend_kwargs", "create_using", "initial_graph", "kernel", "nodelist", "pos", "pos_name"}
"""Parameters of generators that a scenario cannot set, as their values are Python objects."""
Number = int | float
Value = bool | Number | list[Number] | list[list[Number]]


class Generated(RandomTopology):
    """A graph from a generator of networkx. An edge u -> v means that v reads u."""

    kind: Literal["networkx"] = "networkx"
    generator: str = Field(json_schema_extra={"enum": [*GENERATORS]})
    """Name of the generator. Undirected edges are read both ways; self-loops are removed."""
    params: dict[str, Value] = Field(default_factory=dict)
    """Parameters of the generator by name. The run supplies the number of agents and the seed."""

    def build(self, n: int, seed: int) -> nx.DiGraph[int]:
        import networkx as nx

        if self.generator not in GENERATORS:
            near = get_close_matches(self.generator, GENERATORS, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            known = f"{hint}Known generators: {', '.join(GENERATORS)}."
            raise InputError(f"Unknown generator {self.generator!r}.", known, ("generator",))
        function = getattr(nx, self.generator)
        given = self._arguments(function, n, seed)
        try:
            drawn = function(**given)
        except (nx.NetworkXException, TypeError, ValueError, ArithmeticError, IndexError) as error:
            cause = f"{self.generator}({self._shown()}) failed: {error}."
            raise InputError(cause, "Change its `params`.", ("params",)) from error
        made = len(drawn)
        require(
            made == n,
            self.generator,
            n,
            f"it generates {made} nodes",
            "change its `params` or the number of agents",
            "params",
        )
        graph = nx.DiGraph(nx.convert_node_labels_to_integers(drawn))
        return connect(n, graph.edges)

    def _arguments(self, function: Any, n: int, seed: int) -> dict[str, Any]:
        """Return the keyword arguments, checked against the signature of the generator and a maximum of their size.

        Raises `InputError` for unknown, missing or too large parameters.
        """
        own, known = GENERATORS[self.generator], inspect.signature(function).parameters
        if self.seed is not None and "seed" not in known:
            field = "redraw" if self.redraw else "seed"
            cause = f"{self.generator} is not random, so `{field}` has no effect."
            raise InputError(cause, f"Remove `{field}`.", (field,))
        allowed = [name for name in known if name not in OBJECTS | {own, "seed"}]
        for name in self.params:
            if name not in allowed:
                takes = f"Known parameters: {', '.join(allowed)}." if allowed else "Remove it: there are no parameters."
                raise InputError(f"{self.generator} has no parameter {name!r}.", takes, ("params", name))
        missing = [p for p in allowed if known[p].default is inspect.Parameter.empty and p not in self.params]
        if missing:
            needs = f"{self.generator} needs {', '.join(missing)}."
            raise InputError(needs, "Set the missing parameters in `params`.", ("params",))
        most = n * n if own else n  # more would make a graph far larger than the society
        for name, value in self.params.items():
            if _largest(value) > most:
                cause = f"{self.generator}: {name} exceeds {most}, as there are {n} agents."
                raise InputError(cause, "Lower it in `params`.", ("params", name))
        supplied = {own: n, "seed": seed % 2**32}
        return dict(self.params) | {name: value for name, value in supplied.items() if name in known}

    def _shown(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.params.items())


def _largest(value: Value) -> float:
    return max((_largest(entry) for entry in value), default=0) if isinstance(value, list) else value
