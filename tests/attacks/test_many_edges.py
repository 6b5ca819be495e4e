"""A graph with too many edges is one error before it is built; a large sparse graph works."""

from __future__ import annotations

import resource
import time
from typing import Any

import pytest

import society
from society.core.errors import InputError
from society.scenario.expand import expand
from tests.test_session import DATA
from topologies.cliques import Barbell, Bipartite, Groups
from topologies.dags import DagMesh, DagRandom, Layered
from topologies.edges import MOST_EDGES
from topologies.explicit import Edges
from topologies.random import KRegular, SmallWorld
from topologies.simple import Complete

CPU_SECONDS = 60
DENSE = [
    Complete(),
    Bipartite(),
    Barbell(),
    Groups(),
    Groups(size=20_000),
    DagMesh(),
    DagRandom(),
    Layered(layers=2),
    KRegular(k=5000),
    KRegular(k=5000, random=True),
    KRegular(k=2, random=True, directed=True),
    SmallWorld(k=5000),
    Edges(edges=[["everyone", "everyone"]]),
]


def scenario(count: int, phase: dict[str, Any]) -> society.Scenario:
    agents = {"debater": {"count": count}, "other": {"count": 3000}}
    phases = [{"name": "debate", "agents": ["debater"], "rounds": 2, **phase}]
    return society.Scenario.from_dict({**DATA, "agents": agents, "phases": phases})


@pytest.mark.parametrize("topology", DENSE, ids=lambda topology: f"{topology.kind}")
def test_a_graph_with_too_many_edges_is_refused_before_it_is_built(topology: Any) -> None:
    names = [f"a-{i}" for i in range(50_000)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(InputError, match=r"more than 1,000,000 edges|more than 100,000,000") as raised:
        topology.graph(names, {"everyone": names} if topology.kind == "edges" else {}, 0)
    assert "`count`" in raised.value.remedy
    assert time.process_time() - start < CPU_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 1 << 20  # 1 GiB, in KiB


@pytest.mark.parametrize(
    ("phase", "field"),
    [
        ({"topology": "complete"}, "topology"),
        ({"topology": "none", "within": "dag_mesh"}, "within"),
        ({"topology": "none", "reads": ["other"]}, "reads"),
        ({"topology": {"kind": "edges", "edges": [["debater", "debater"]]}}, "topology"),
    ],
    ids=["topology", "within", "reads", "edges"],
)
def test_a_check_names_the_place_of_too_many_edges(phase: dict[str, Any], field: str) -> None:
    with pytest.raises(society.ScenarioError, match=rf"phases\.debate\.{field}.*more than {MOST_EDGES:,} edges"):
        scenario(5000, phase)


def test_groups_of_a_scenario_are_built_without_the_pairs_between_them() -> None:
    names = [f"a-{i}" for i in range(10_000)]
    groups = {str(i): names[i : i + 10] for i in range(0, 10_000, 10)}
    assert Groups().graph(names, groups, 0).number_of_edges() == 90_000
    assert Groups(size=10).graph(names, {}, 0).number_of_edges() == 90_000


@pytest.mark.parametrize("topology", ["ring", {"kind": "k_regular", "k": 4}, "small_world", "none"])
def test_ten_thousand_agents_on_a_sparse_graph_are_expanded(topology: Any) -> None:
    made = scenario(10_000, {"topology": topology})
    [phase] = expand(made).phases
    assert len(phase.graph()) == 10_000
