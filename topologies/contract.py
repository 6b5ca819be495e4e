"""What every topology promises, as tests that outside authors run on theirs.

class TestMine(TopologyContract):
    @pytest.fixture
    def topology(self): return Mine()
"""

from __future__ import annotations

import pytest

from society.core.errors import InputError
from topologies.base import Topology

SIZES = range(1, 26)


class TopologyContract:
    """Subclass it and give a fixture `topology`."""

    def test_agents_are_the_nodes_in_their_order(self, topology: Topology) -> None:
        """Every size either works, or is refused as bad input; at least one works."""
        worked = 0
        for n in SIZES:
            names = [f"agent-{i}" for i in range(n)]
            try:
                graph = topology.graph(names, {"agent": names}, seed=1)
            except InputError:
                continue
            worked += 1
            assert [node for node in graph if node in names] == list(graph)
            assert set(graph) <= set(names)
        assert worked

    def test_nobody_reads_itself(self, topology: Topology) -> None:
        """An edge u -> u would have an agent wait for itself."""
        for n in SIZES:
            names = [f"agent-{i}" for i in range(n)]
            try:
                graph = topology.graph(names, {"agent": names}, seed=1)
            except InputError:
                continue
            assert not any(graph.has_edge(name, name) for name in names)

    def test_the_seed_alone_decides(self, topology: Topology) -> None:
        """The same seed gives the same graph, however often it is drawn."""
        names = [f"agent-{i}" for i in range(8)]
        try:
            drawn = [sorted(topology.graph(names, {"agent": names}, seed).edges) for seed in (1, 2, 1)]
        except InputError:
            pytest.skip("this topology does not exist for 8 agents")
        assert drawn[0] == drawn[2]

    def test_it_is_plain_data(self, topology: Topology) -> None:
        """A run stores its scenario: what is written must be read back as the same."""
        again = type(topology).model_validate_json(topology.model_dump_json(exclude_unset=True))
        assert again == topology
