"""The contract tests of topologies. To test a topology, derive a test class:

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
    """Tests of nodes, edges, determinism and storage. They need a fixture `topology`."""

    def test_agents_are_the_nodes_in_their_order(self, topology: Topology) -> None:
        """Every size works or raises `InputError`; at least one works."""
        worked = 0
        for n in SIZES:
            names = [f"agent-{i}" for i in range(n)]
            try:
                graph = topology.graph(names, {"agent": names}, seed=1)
            except InputError:
                continue
            worked += 1
            assert list(graph) == names
        assert worked

    def test_nobody_reads_itself(self, topology: Topology) -> None:
        """No edge u -> u exists, as an agent would wait for itself."""
        for n in SIZES:
            names = [f"agent-{i}" for i in range(n)]
            try:
                graph = topology.graph(names, {"agent": names}, seed=1)
            except InputError:
                continue
            assert not any(graph.has_edge(name, name) for name in names)

    def test_the_seed_alone_decides(self, topology: Topology) -> None:
        """The same seed gives the same graph in every draw."""
        names = [f"agent-{i}" for i in range(8)]
        try:
            drawn = [sorted(topology.graph(names, {"agent": names}, seed).edges) for seed in (1, 2, 1)]
        except InputError:
            pytest.skip("this topology does not exist for 8 agents")
        assert drawn[0] == drawn[2]

    def test_it_is_plain_data(self, topology: Topology) -> None:
        """A topology equals itself after a round trip through JSON, as a run stores its scenario."""
        again = type(topology).model_validate_json(topology.model_dump_json(exclude_unset=True))
        assert again == topology
