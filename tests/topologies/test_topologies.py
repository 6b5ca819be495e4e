"""Defining properties of every topology, for 1 to 50 agents, directed and undirected."""

from __future__ import annotations

import json
from importlib import import_module
from itertools import pairwise
from math import comb
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from society.core.errors import InputError
from society.scenario.schema.descriptions import Described
from topologies import TOPOLOGIES
from topologies.base import Topology
from topologies.cliques import Barbell, Bipartite, Groups
from topologies.dags import DagMesh, DagRandom, Layered
from topologies.edges import Direction
from topologies.explicit import Edges, Matrix
from topologies.library import GENERATORS, Generated, GraphFile
from topologies.random import ErdosRenyi, KRegular, ScaleFree, SmallWorld
from topologies.simple import Chain, Complete, Grid, Nobody, Ring, Star, Tree

sizes = st.integers(1, 50)
seeds = st.integers(0, 2**63)
chances = st.floats(0, 1)
directions: st.SearchStrategy[Direction] = st.sampled_from(["both", "out", "in"])


def build(topology: Topology, n: int, seed: int = 0) -> nx.DiGraph[int]:
    """Return the graph, after checking the properties that all graphs have."""
    graph = topology.build(n, seed)
    assert list(graph) == list(range(n))
    assert nx.number_of_selfloops(graph) == 0
    assert set(graph.edges) == set(topology.build(n, seed).edges)
    return graph


def ties(graph: nx.DiGraph[int]) -> nx.Graph[int]:
    """Return the undirected edges of a graph in which all reading must be mutual."""
    assert all(graph.has_edge(v, u) for u, v in graph.edges)
    return graph.to_undirected()


def oriented(one_way: nx.DiGraph[int], mutual: nx.DiGraph[int]) -> bool:
    """Return whether the first graph has the undirected edges of the second, each in one direction."""
    both = one_way.number_of_edges() * 2 == mutual.number_of_edges()
    return both and set(map(frozenset, one_way.edges)) == set(map(frozenset, mutual.edges))


def degrees(graph: nx.Graph[int]) -> list[int]:
    return sorted(degree for _, degree in graph.degree())


@given(sizes)
def test_none_has_no_edges(n: int) -> None:
    assert build(Nobody(), n).number_of_edges() == 0


@given(sizes)
def test_complete_has_all_edges(n: int) -> None:
    assert build(Complete(), n).number_of_edges() == n * (n - 1)


@given(sizes)
def test_ring_is_connected_and_of_degree_two(n: int) -> None:
    ring = ties(build(Ring(), n))
    assert nx.is_connected(ring)
    assert set(degrees(ring)) == {min(n - 1, 2)}


@given(st.integers(2, 50))
def test_directed_ring_reads_the_one_before(n: int) -> None:
    assert set(build(Ring(directed=True), n).edges) == {((i - 1) % n, i) for i in range(n)}


@given(sizes, directions, st.data())
def test_star_has_its_centre_in_every_tie(n: int, direction: Direction, data: st.DataObject) -> None:
    centre = data.draw(st.integers(0, n - 1))
    graph = build(Star(center=centre, direction=direction), n)
    read, reads = graph.out_degree(centre), graph.in_degree(centre)
    assert (read, reads) == {"both": (n - 1, n - 1), "out": (n - 1, 0), "in": (0, n - 1)}[direction]
    graph.remove_node(centre)
    assert graph.number_of_edges() == 0


@given(sizes)
def test_chain_is_a_path_in_order(n: int) -> None:
    assert set(ties(build(Chain(), n)).edges) == set(pairwise(range(n)))
    assert set(build(Chain(directed=True), n).edges) == set(pairwise(range(n)))


@given(sizes, st.integers(1, 8))
def test_tree_is_connected_full_and_bounded(n: int, branching: int) -> None:
    tree = ties(build(Tree(branching=branching), n))
    assert nx.is_tree(tree)
    children = [sum(child > node for child in tree[node]) for node in tree]
    assert max(children) <= branching
    inner = [count for count in children if count]
    assert all(count == branching for count in inner[:-1])


@given(sizes, st.integers(1, 8))
def test_tree_directions_are_opposite(n: int, branching: int) -> None:
    out, into = (build(Tree(branching=branching, direction=way), n) for way in ("out", "in"))
    assert set(out.edges) == {(v, u) for u, v in into.edges}
    assert oriented(out, build(Tree(branching=branching), n))
    assert [node for node in out if out.in_degree(node) == 0] == [0]


@given(sizes, st.none() | st.integers(1, 60), st.booleans())
def test_grid_ties_are_the_pairs_at_distance_one(n: int, columns: int | None, directed: bool) -> None:
    grid = Grid(columns=columns, directed=directed)
    width = grid.width(n)
    assert width == columns or columns is None or columns > n
    place = {i: divmod(i, width) for i in range(n)}
    near = {
        (u, v)
        for u in range(n)
        for v in range(n)
        if abs(place[u][0] - place[v][0]) + abs(place[u][1] - place[v][1]) == 1 and (u < v or not directed)
    }
    assert set(build(grid, n).edges) == near


@given(sizes)
def test_grid_is_as_square_as_it_can_be(n: int) -> None:
    width = Grid().width(n)
    height = -(-n // width)
    assert 0 <= width - height <= 1


@given(st.integers(3, 7), st.integers(3, 7))
def test_periodic_grid_has_no_border(rows: int, columns: int) -> None:
    torus = ties(build(Grid(columns=columns, periodic=True), rows * columns))
    assert set(degrees(torus)) == {4}
    assert nx.is_isomorphic(torus, nx.grid_2d_graph(rows, columns, periodic=True))
    one_way = build(Grid(columns=columns, periodic=True, directed=True), rows * columns)
    assert {degree for _, degree in one_way.in_degree()} == {2}


@given(sizes)
def test_periodic_grid_finds_full_rows_at_any_size(n: int) -> None:
    assert nx.is_connected(ties(build(Grid(periodic=True), n)))


@given(st.integers(2, 50), st.data())
def test_bipartite_joins_the_sides_and_nothing_else(n: int, data: st.DataObject) -> None:
    left = data.draw(st.integers(1, n - 1))
    crossing = {(u, v) for u in range(left) for v in range(left, n)}
    assert set(build(Bipartite(left=left, directed=True), n).edges) == crossing
    assert oriented(build(Bipartite(left=left, directed=True), n), build(Bipartite(left=left), n))
    assert set(degrees(ties(build(Bipartite(), n)))) == {n // 2, (n + 1) // 2}


@given(sizes, st.data())
def test_barbell_is_two_cliques_and_a_path(n: int, data: st.DataObject) -> None:
    path = data.draw(st.integers(0, max(n - 2, 0)))
    graph = ties(build(Barbell(path=path), n))
    one, two = (n - path + 1) // 2, (n - path) // 2
    assert nx.is_connected(graph)
    bridge = path + 1 if two else 0
    assert graph.number_of_edges() == comb(one, 2) + comb(two, 2) + bridge
    if one == two > 1:  # networkx builds no smaller ones
        assert nx.is_isomorphic(graph, nx.barbell_graph(one, path))


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6))
def test_groups_are_disjoint_cliques(members: list[int]) -> None:
    graph = ties(build(Groups(sizes=members), sum(members)))
    found = [sorted(group) for group in nx.connected_components(graph)]
    assert [len(group) for group in found] == members
    assert [node for group in found for node in group] == list(graph)
    assert graph.number_of_edges() == sum(comb(size, 2) for size in members)


@given(sizes, st.integers(1, 50))
def test_groups_of_one_size_leave_the_rest_to_the_last(n: int, size: int) -> None:
    found = [len(group) for group in nx.connected_components(ties(build(Groups(size=size), n)))]
    assert found == [size] * (n // size) + [n % size] * (n % size > 0)


def test_groups_of_the_scenario() -> None:
    names = ["a1", "a2", "b1", "b2", "b3"]
    graph = Groups().graph(names, {"a": names[:2], "b": names[2:]}, 0)
    assert list(graph) == names
    assert sorted(len(group) for group in nx.weakly_connected_components(graph)) == [2, 3]
    assert graph.number_of_edges() == 2 + 6


@given(sizes, seeds, st.booleans(), st.booleans(), st.data())
def test_k_regular_agents_read_exactly_k(n: int, seed: int, random: bool, directed: bool, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n - 1).filter(lambda k: directed or n * k % 2 == 0))
    graph = build(KRegular(k=k, random=random, directed=directed), n, seed)
    assert {degree for _, degree in graph.in_degree()} == {k}
    if not directed:
        ties(graph)
    if not random:
        assert {degree for _, degree in graph.out_degree()} == {k}


@given(st.integers(3, 50), seeds, chances, st.booleans(), st.data())
def test_small_world_keeps_its_ties_when_rewired(
    n: int, seed: int, p: float, directed: bool, data: st.DataObject
) -> None:
    k = 2 * data.draw(st.integers(1, (n - 1) // 2))
    graph = build(SmallWorld(k=k, p=p, directed=directed), n, seed)
    assert graph.number_of_edges() == n * k // (2 if directed else 1)
    if directed:
        assert oriented(graph, build(SmallWorld(k=k, p=p), n, seed))
    else:
        ties(graph)


@given(st.integers(3, 50), seeds, st.data())
def test_small_world_without_rewiring_is_the_ring_lattice(n: int, seed: int, data: st.DataObject) -> None:
    k = 2 * data.draw(st.integers(1, (n - 1) // 2))
    assert set(build(SmallWorld(k=k, p=0), n, seed).edges) == set(build(KRegular(k=k), n).edges)


@given(st.integers(2, 50), seeds, st.data())
def test_scale_free_new_agents_have_m_edges(n: int, seed: int, data: st.DataObject) -> None:
    m = data.draw(st.integers(1, n - 1))
    graph = ties(build(ScaleFree(m=m), n, seed))
    assert graph.number_of_edges() == m * (n - m)
    assert nx.is_connected(graph)
    newcomers = build(ScaleFree(m=m, directed=True), n, seed)
    assert nx.is_directed_acyclic_graph(newcomers)
    assert all(newcomers.in_degree(i) == m for i in range(m + 1, n))


def test_scale_free_prefers_agents_with_many_edges() -> None:
    """The largest degree over 50 agents is far above that of a uniform attachment, which stays near 10."""
    largest = [max(degrees(ties(ScaleFree(m=2).build(50, seed)))) for seed in range(40)]
    assert sum(largest) / 40 > 13


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_erdos_renyi_edges_are_binomial(p: float, directed: bool) -> None:
    n, draws = 20, 100
    topology = ErdosRenyi(p=p, directed=directed)
    edges = sum(build(topology, n, seed).number_of_edges() for seed in range(draws)) // (1 if directed else 2)
    trials = draws * n * (n - 1) // (1 if directed else 2)
    assert abs(edges - p * trials) <= 4 * (trials * p * (1 - p)) ** 0.5


@given(sizes, seeds, chances)
def test_undirected_erdos_renyi_is_mutual(n: int, seed: int, p: float) -> None:
    ties(build(ErdosRenyi(p=p), n, seed))


@given(sizes, seeds, st.data())
def test_layers_read_the_layer_before(n: int, seed: int, data: st.DataObject) -> None:
    topology = Layered(layers=data.draw(st.integers(1, n)))
    layer = [depth for depth, size in enumerate(topology.sizes(n)) for _ in range(size)]
    expected = {(u, v) for u in range(n) for v in range(n) if layer[v] == layer[u] + 1}
    assert set(build(topology, n, seed).edges) == expected
    assert max(topology.sizes(n)) - min(topology.sizes(n)) <= 1


@given(sizes, seeds, chances)
def test_dags_read_only_earlier_agents(n: int, seed: int, p: float) -> None:
    mesh, some = build(DagMesh(), n, seed), build(DagRandom(p=p), n, seed)
    assert mesh.number_of_edges() == comb(n, 2)
    assert all(u < v for u, v in mesh.edges)
    assert set(some.edges) <= set(mesh.edges)
    assert set(build(DagRandom(p=1), n, seed).edges) == set(mesh.edges)


def test_dag_random_edges_are_binomial() -> None:
    trials = 100 * comb(20, 2)
    edges = sum(DagRandom(p=0.3).build(20, seed).number_of_edges() for seed in range(100))
    assert abs(edges - 0.3 * trials) <= 4 * (trials * 0.21) ** 0.5


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] != pair[1])))
def test_edges_are_those_listed(pairs: list[tuple[int, int]]) -> None:
    listed = [[str(u), str(v)] for u, v in pairs]
    assert set(build(Edges(edges=listed), 10).edges) == set(pairs)
    assert set(build(Edges(edges=listed, directed=False), 10).edges) == {*pairs, *((v, u) for u, v in pairs)}


def test_edges_join_groups_and_carry_attributes() -> None:
    names = ["a1", "a2", "judge"]
    topology = Edges(edges=[["debaters", "judge"], ["a1", "judge", {"show": "answer"}], ["debaters", "debaters"]])
    graph = topology.graph(names, {"debaters": ["a1", "a2"]}, 0)
    assert list(graph) == names
    assert set(graph.edges) == {("a1", "judge"), ("a2", "judge"), ("a1", "a2"), ("a2", "a1")}
    assert graph.edges["a1", "judge"] == {"show": "answer"}
    assert graph.edges["a2", "judge"] == {}


@given(st.lists(st.lists(st.integers(0, 1), min_size=6, max_size=6), min_size=6, max_size=6))
def test_matrix_column_reads_row(cells: list[list[int]]) -> None:
    rows = [[0 if i == j else cell for j, cell in enumerate(row)] for i, row in enumerate(cells)]
    graph = build(Matrix(rows=rows), 6)
    assert [[int(graph.has_edge(i, j)) for j in range(6)] for i in range(6)] == rows


def test_a_weight_of_1_beside_other_weights_is_a_weight() -> None:
    """The weight that a phase gives to its edges does not replace it."""
    graph = build(Matrix(rows=[[0, 1, 0.5], [1, 0, 0], [0, 0, 0]]), 3)
    assert graph.edges[0, 1]["weight"] == 1
    assert graph.edges[0, 2]["weight"] == 0.5
    assert not build(Matrix(rows=[[0, 1], [0, 0]]), 2).edges[0, 1]


@pytest.mark.parametrize("suffix", ["graphml", "gexf"])
@pytest.mark.parametrize("directed", [False, True])
def test_a_file_returns_the_written_graph(tmp_path: Path, suffix: str, directed: bool) -> None:
    names = ["c", "a", "b"]
    drawn: Any = nx.DiGraph() if directed else nx.Graph()
    drawn.add_edge("a", "b", show="answer")
    drawn.add_edge("b", "c")
    path = tmp_path / f"graph.{suffix}"
    (nx.write_gexf if suffix == "gexf" else nx.write_graphml)(drawn, path)
    graph = load_file(path).graph(names, {}, 0)
    assert list(graph) == names
    assert set(graph.edges) == set(nx.DiGraph(drawn).edges)
    assert graph.edges["a", "b"] == {"show": "answer"}
    assert graph.edges["b", "c"] == {}


def load_file(path: Path) -> GraphFile:
    return GraphFile.model_validate({"path": path.name}, context={"folders": [path.parent]})


@given(sizes, st.booleans())
def test_file_may_number_its_nodes(tmp_path_factory: pytest.TempPathFactory, n: int, directed: bool) -> None:
    path = tmp_path_factory.mktemp("graphs") / "graph.graphml"
    ring = Ring(directed=directed).build(n, 0)
    nx.write_graphml(ring, path)
    assert set(build(load_file(path), n).edges) == set(ring.edges)
    named = load_file(path).graph([f"agent-{i}" for i in range(n)], {}, 0)
    assert set(named.edges) == {(f"agent-{u}", f"agent-{v}") for u, v in ring.edges}


@given(st.integers(3, 50), seeds)
def test_networkx_generators_give_their_graph(n: int, seed: int) -> None:
    assert set(build(Generated(generator="cycle_graph"), n).edges) == set(build(Ring(), n).edges)
    drawn = Generated(generator="gnp_random_graph", params={"p": 0.4, "directed": True})
    assert set(build(drawn, n, seed).edges) == set(nx.gnp_random_graph(n, 0.4, seed % 2**32, directed=True).edges)


EXAMPLES: dict[str, dict[str, Any]] = {
    "barabasi_albert_graph": {"m": 2},
    "barbell_graph": {"m1": 5, "m2": 2},
    "caveman_graph": {"l": 3, "k": 4},
    "circulant_graph": {"offsets": [1, 3]},
    "circular_ladder_graph": {"n": 6},
    "connected_caveman_graph": {"l": 3, "k": 4},
    "connected_watts_strogatz_graph": {"k": 4, "p": 0.2},
    "dual_barabasi_albert_graph": {"m1": 1, "m2": 3, "p": 0.5},
    "full_rary_tree": {"r": 3},
    "gnm_random_graph": {"m": 20},
    "gnp_random_graph": {"p": 0.5},
    "gnr_graph": {"p": 0.5},
    "hkn_harary_graph": {"k": 3},
    "hnm_harary_graph": {"m": 20},
    "ladder_graph": {"n": 6},
    "lollipop_graph": {"m": 8, "n": 4},
    "newman_watts_strogatz_graph": {"k": 2, "p": 0.2},
    "planted_partition_graph": {"l": 3, "k": 4, "p_in": 0.9, "p_out": 0.1},
    "powerlaw_cluster_graph": {"m": 2, "p": 0.5},
    "random_geometric_graph": {"radius": 0.5},
    "random_partition_graph": {"sizes": [4, 8], "p_in": 0.9, "p_out": 0.1},
    "random_regular_graph": {"d": 3},
    "relaxed_caveman_graph": {"l": 3, "k": 4, "p": 0.2},
    "ring_of_cliques": {"num_cliques": 3, "clique_size": 4},
    "stochastic_block_model": {"sizes": [5, 7], "p": [[0.9, 0.1], [0.1, 0.8]]},
    "tadpole_graph": {"m": 8, "n": 4},
    "turan_graph": {"r": 3},
    "watts_strogatz_graph": {"k": 4, "p": 0.2},
    "windmill_graph": {"n": 11, "k": 2},
}


@pytest.mark.parametrize("name", GENERATORS)
def test_every_listed_generator_builds_twelve_agents(name: str) -> None:
    graph = build(Generated(generator=name, params=EXAMPLES.get(name, {})), 12, seed=7)
    assert graph.number_of_edges() > 0


@given(st.sampled_from([ErdosRenyi(p=0.5), SmallWorld(), ScaleFree(), KRegular(k=4, random=True), DagRandom()]))
def test_other_seeds_give_other_graphs(topology: Topology) -> None:
    assert len({frozenset(topology.build(12, seed).edges) for seed in range(10)}) > 1


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_registry_schema_and_description(name: str) -> None:
    module, _, label = TOPOLOGIES[name].partition(":")
    topology = getattr(import_module(module), label)
    schema = json.loads(json.dumps(topology.model_json_schema(schema_generator=Described)))
    assert schema["properties"]["kind"]["const"] == name
    described = schema["properties"].items()
    assert all(key == "kind" or entry.get("description") for key, entry in described)
    assert "read" in topology.__doc__.splitlines()[0]


AGENTS = ("a", "b", "c")
REFUSED: list[tuple[Topology, int, str]] = [
    (Star(center=3), 3, "center: 0 to 2"),
    (Grid(columns=4, periodic=True), 6, "columns: one of 1, 2, 3, 6"),
    (Bipartite(left=3), 3, "left: 1 to 2"),
    (Barbell(path=3), 4, "path: 0 to 2"),
    (Groups(sizes=[2, 2]), 5, "add up to 5"),
    (KRegular(k=3), 5, "k: one of 0, 2, 4"),
    (KRegular(k=2), 1, "k: one of 0"),
    (KRegular(k=5, directed=True), 5, "k: one of 0, 1, 2, 3, 4"),
    (SmallWorld(k=4), 4, "even, 2 to 3"),
    (ScaleFree(m=3), 3, "m: 1 to 2"),
    (Layered(layers=4), 3, "layers: 1 to 3"),
    (Layered(layers=[1, 1]), 3, "add up to 3"),
    (Edges(edges=[["0", "9"]]), 3, "unknown agent '9'"),
    (Edges(edges=[["1", "1"]]), 3, "read itself"),
    (Matrix(rows=[[0, 1]]), 2, "2 lists of 2"),
    (Matrix(rows=[[0], [0, 1]]), 2, "row 0 has 1 columns"),
    (Matrix(rows=[[0, 1], [0, 1]]), 2, "put 0 on the diagonal"),
    (Generated(generator="cycle_grap"), 3, "Did you mean 'cycle_graph'"),
    (Generated(generator="watts_strogatz_graph", params={"k": 2}), 3, "needs p"),
    (Generated(generator="watts_strogatz_graph", params={"k": 2, "q": 1}), 3, "Known parameters: k, p."),
    (Generated(generator="cycle_graph", params={"n": 5}), 3, "there are no parameters"),
    (Generated(generator="gnp_random_graph", params={"p": [0.5]}), 3, "failed"),
    (Generated(generator="barbell_graph", params={"m1": 3, "m2": 0}), 5, "it generates 6 nodes"),
    (Generated(generator="caveman_graph", params={"l": 10**9, "k": 10**9}), 5, "l exceeds 5"),
]


@pytest.mark.parametrize(("topology", "n", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_parameters_that_do_not_fit_are_refused(topology: Topology, n: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        topology.build(n, 0)


def test_an_unknown_agent_raises_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="Did you mean 'judge'"):
        Edges(edges=[["solver", "jugde"]]).graph(["solver", "judge"], {}, 0)


@pytest.mark.parametrize(
    "edge", [[], ["a"], ["a", 1], ["a", "b", "c"], ["a", "b", {}, {}]], ids=lambda edge: str(len(edge))
)
def test_malformed_edges_are_refused_at_once(edge: list[Any]) -> None:
    with pytest.raises(ValidationError, match=r"an edge|after sender"):
        Edges(edges=[edge])


def test_groups_take_one_of_size_and_sizes() -> None:
    with pytest.raises(ValidationError, match="not both"):
        Groups(size=2, sizes=[2, 2])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("graph.txt", "", "not a graph file"),
        ("missing.graphml", None, "cannot be read: No such file"),
        ("broken.graphml", "<graphml", "not valid"),
        ("other.gexf", "<html></html>", "not valid"),
        (
            "foreign.graphml",
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph/></graphml>',
            "0 nodes",
        ),
    ],
)
def test_files_without_a_graph_are_refused(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load_file(tmp_path / name).graph(AGENTS, {}, 0)


def test_files_outside_the_scenario_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="outside the folders"):
        GraphFile.model_validate({"path": "../graph.gexf"}, context={"folders": [tmp_path]})
