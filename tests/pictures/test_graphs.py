"""Graphs: every family has a layout without overlaps, and files have the requested format."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon
from matplotlib.path import Path as Outline

from society.core.errors import InputError, MissingExtraError
from society.pictures.draw_graphs import compose, describe_numbers, draw
from society.pictures.draw_panel import parts, shorten_name
from society.pictures.files import PALETTE
from society.pictures.graphs import MAX_NAMES, Edge, Graph, describe_graph
from society.pictures.labels import Box
from society.pictures.layouts import Positions, circle, components, place
from topologies.base import Topology
from topologies.cliques import Barbell, Bipartite, Groups
from topologies.dags import DagMesh, DagRandom, Layered
from topologies.random import ErdosRenyi, KRegular, ScaleFree, SmallWorld
from topologies.simple import Chain, Complete, Grid, Nobody, Ring, Star, Tree

FAMILIES: list[Any] = [
    *(Nobody(), Complete(), Ring(), Ring(directed=True), Star(direction="in"), Chain(), Tree(branching=3)),
    *(Grid(), Grid(periodic=True), Bipartite(), Barbell(), Groups(size=4), KRegular(k=0), SmallWorld(k=2, p=0.5)),
    *(ScaleFree(m=1), ErdosRenyi(p=0.2), Layered(layers=1), DagMesh(), DagRandom(p=0.3)),
]


def build(topology: Topology, n: int, roles: Sequence[str] = ("debater",)) -> nx.DiGraph[str]:
    names = [f"agent-{i + 1}" for i in range(n)]
    graph = topology.graph(names, {}, 1)
    nx.set_node_attributes(graph, {name: roles[i % len(roles)] for i, name in enumerate(names)}, "role")
    return graph


def describe(topology: Topology, n: int, roles: Sequence[str] = ("debater",), title: str = "debate") -> Graph:
    return describe_graph(title, build(topology, n, roles), getattr(topology, "kind", ""))


def positions(topology: Topology, n: int) -> Positions:
    return place(build(topology, n), getattr(topology, "kind", ""))


def arrows(graph: Graph) -> list[FancyArrowPatch]:
    patches = compose([graph]).axes[0].patches
    return [patch for patch in patches if isinstance(patch, FancyArrowPatch)]


def heads(graph: Graph) -> list[str]:
    return sorted(type(arrow.get_arrowstyle()).__name__ for arrow in arrows(graph))


@settings(max_examples=40)
@given(st.sampled_from(FAMILIES), st.integers(1, 20))
def test_no_two_agents_have_the_same_position(topology: Topology, n: int) -> None:
    placed = positions(topology, n)
    assert set(placed) == set(build(topology, n))
    assert all(math.dist(p, q) > 0.3 for p, q in combinations(placed.values(), 2))
    assert placed == positions(topology, n)


@pytest.mark.parametrize("topology", FAMILIES, ids=repr)
def test_families_with_removed_and_added_edges_have_a_layout(topology: Topology) -> None:
    graph = build(topology, 9)
    for change in (graph.clear_edges, lambda: nx.add_cycle(graph, ["agent-1", "agent-2", "agent-5"])):
        change()
        placed = place(graph, getattr(topology, "kind", ""))
        assert all(math.dist(p, q) > 0.3 for p, q in combinations(placed.values(), 2))


@given(st.integers(2, 8), st.integers(2, 8))
def test_grid_is_on_its_lattice(rows: int, columns: int) -> None:
    graph = build(Grid(columns=columns), rows * columns)
    placed = place(graph, "grid")
    assert all(math.dist(placed[u], placed[v]) == pytest.approx(1) for u, v in graph.edges)


def test_a_deep_graph_with_many_edges_is_a_circle() -> None:
    placed = positions(DagRandom(p=0.5), 50).values()
    x, y = (sum(values) / 50 for values in zip(*placed, strict=True))
    radii = [math.dist(place, (x, y)) for place in placed]
    assert max(radii) == pytest.approx(min(radii))


@given(st.integers(2, 40))
def test_directed_families_read_from_left_to_right(n: int) -> None:
    for topology in (Tree(direction="out"), Layered(layers=2), Bipartite(directed=True)):
        placed = positions(topology, n)
        assert all(placed[u][0] < placed[v][0] for u, v in build(topology, n).edges)


@pytest.mark.parametrize(
    "graph", [nx.path_graph(9), nx.barabasi_albert_graph(50, 2, seed=0), nx.connected_caveman_graph(4, 5)]
)
def test_distances_in_the_plane_are_as_near_to_those_of_the_graph_as_networkx_finds_them(graph: nx.Graph[int]) -> None:
    names = nx.relabel_nodes(graph, {node: f"agent-{node}" for node in graph})
    theirs = nx.kamada_kawai_layout(names, pos=circle(names))
    assert stress(names, components(names.to_directed())) < 1.01 * stress(names, theirs) + 0.02


def stress(graph: nx.Graph[str], placed: Positions) -> float:
    """Sum of (distance / steps - 1)^2 over pairs, at the scale that is best for it."""
    steps = dict(nx.all_pairs_shortest_path_length(graph))
    ratios = [math.dist(placed[u], placed[v]) / steps[u][v] for u, v in combinations(graph, 2)]
    scale = sum(ratios) / sum(ratio * ratio for ratio in ratios)
    return sum((scale * ratio - 1) ** 2 for ratio in ratios)


def test_centre_of_a_star_is_in_the_middle() -> None:
    assert positions(Star(center=3), 9)["agent-4"] == (0, 0)


def test_mutual_reading_has_plain_lines_and_one_way_has_arrows() -> None:
    assert heads(describe(Ring(), 5)) == ["Curve"] * 5
    assert heads(describe(Ring(directed=True), 5)) == ["CurveFilledB"] * 5
    mixed = build(Ring(directed=True), 3)
    mixed.add_edge("agent-2", "agent-1")
    assert heads(describe_graph("mixed", mixed)) == ["CurveFilledAB", "CurveFilledB", "CurveFilledB"]


def test_a_description_has_each_reading_once() -> None:
    graph = build(Ring(), 5)
    graph.remove_edge("agent-1", "agent-2")
    described = describe_graph("ring", graph, "ring")
    pairs = [(edge.source, edge.target) for edge in described.edges]
    pairs += [(edge.target, edge.source) for edge in described.edges if edge.mutual]
    assert sorted(pairs) == sorted(graph.edges)
    assert described.directed
    assert not describe(Ring(), 5).directed


def test_an_edge_bends_around_the_agent_in_its_way() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph([("agent-1", "agent-2"), ("agent-2", "agent-3"), ("agent-1", "agent-3")])
    bends = {(edge.source, edge.target): edge.bend for edge in describe_graph("skip", graph, "chain").edges}
    assert bends["agent-1", "agent-3"] != 0
    assert bends["agent-1", "agent-2"] == bends["agent-2", "agent-3"] == 0


def test_an_arrow_points_at_the_reader() -> None:
    placed = positions(Chain(directed=True), 2)
    (arrow,) = arrows(describe(Chain(directed=True), 2))
    start, end = arrow._posA_posB  # type: ignore[attr-defined]  # matplotlib has no getter
    assert (tuple(start), tuple(end)) == (placed["agent-1"], placed["agent-2"])


def test_edges_differ_by_what_they_show() -> None:
    graph = build(Chain(directed=True), 4)
    for u, v, show in (("1", "2", "full"), ("2", "3", "answer"), ("3", "4", "nothing")):
        graph.edges[f"agent-{u}", f"agent-{v}"]["show"] = show
    graph.edges["agent-2", "agent-3"].update(window=2, gate={"kind": "similarity"})
    described = describe_graph("chain", graph, "chain")
    assert described.edges[1] == Edge("agent-2", "agent-3", False, "answer", "window 2, gate similarity")
    figure = compose([described])
    assert len({str(arrow.get_linestyle()) for arrow in arrows(described)}) == 3
    assert "window 2, gate similarity" in [text.get_text() for text in figure.axes[0].texts]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["debater", "shows full text", "shows answer", "shows nothing"]


def test_edges_that_differ_by_direction_are_two_arrows() -> None:
    graph = build(Chain(), 2)
    graph.edges["agent-1", "agent-2"]["show"] = "answer"
    assert heads(describe_graph("chain", graph)) == ["CurveFilledB", "CurveFilledB"]


def test_a_label_that_all_edges_share_is_written_once() -> None:
    graph = build(Ring(), 6)
    nx.set_edge_attributes(graph, dict.fromkeys(graph.edges, 3), "window")
    texts = [text.get_text() for text in compose([describe_graph("ring", graph)]).axes[0].texts]
    assert [text for text in texts if "window" in text] == ["every edge: window 3"]


def test_roles_keep_their_colour_in_all_panels() -> None:
    one, two = describe(Ring(), 4, ["solver", "critic"]), describe(Star(), 3, ["critic"])
    figure = compose([one, two])
    colours = [[to_hex(line.get_markerfacecolor()).upper() for line in axes.lines] for axes in figure.axes]
    assert colours == [[PALETTE[0], PALETTE[1]] * 2, [PALETTE[1]] * 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["solver", "critic"]


def test_names_are_shown_up_to_a_size_and_numbers_up_to_another() -> None:
    sizes = (50, MAX_NAMES, MAX_NAMES + 1)
    few, more, many = (compose([describe(Ring(), n)]).axes[0].texts for n in sizes)
    assert [text.get_text() for text in few] == [f"agent-{i + 1}" for i in range(50)]
    assert [text.get_text() for text in more] == [f"{i + 1}" for i in range(MAX_NAMES)]
    assert list(many) == []


def test_names_lie_inside_the_picture() -> None:
    graph = nx.relabel_nodes(build(Ring(), 8), lambda name: f"a-very-long-name-{name}")
    figure = compose([describe_graph("long", graph, "ring"), describe(Complete(), 3)])
    window = figure.bbox
    for text in [text for axes in figure.axes for text in axes.texts]:
        box = text.get_window_extent()
        assert window.x0 <= box.x0 < box.x1 <= window.x1
        assert window.y0 <= box.y0 < box.y1 <= window.y1


def test_panels_wrap() -> None:
    figure = compose([describe(Ring(), 3, title=str(i)) for i in range(5)])
    tops = [round(axes.get_position().y0, 3) for axes in figure.axes]
    assert tops[0] == tops[1] == tops[2] > tops[3] == tops[4]


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_same_input_gives_the_same_file(tmp_path: Path, suffix: str, start: bytes) -> None:
    shown = [describe(SmallWorld(), 12, ["solver", "judge"]), describe(Star(), 4)]
    paths = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
    for path in paths:
        draw(shown, path)
    assert paths[0].read_bytes().startswith(start)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_odd_names_are_text(tmp_path: Path) -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_node("$\\frac$", role="$x$")
    graph.add_edge("$\\frac$", "東京 <b>")
    draw([describe_graph("$\\bad{", graph)], tmp_path / "odd.svg")
    assert (tmp_path / "odd.svg").stat().st_size > 0


def test_empty_pictures_are_drawn(tmp_path: Path) -> None:
    draw([describe_graph("nobody", nx.DiGraph(), "complete")], tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 0


@pytest.mark.parametrize("name", ["picture.jpg", "picture", "missing/picture.png"])
def test_unusable_paths_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"\.png|cannot be written"):
        draw([describe(Ring(), 3)], tmp_path / name)


def test_missing_library_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"society-of-models\[draw\]"):
        draw([describe(Ring(), 3)], tmp_path / "ring.png")


def labels_of(axes: Axes) -> list[tuple[str, Box]]:
    """Return the labels of a panel with their boxes, in points."""
    found = [(text.get_text(), text.get_window_extent()) for text in axes.texts if text.get_gid() == "label"]
    return [(name, Box(box.x0, box.y0, box.x1, box.y1)) for name, box in found]


def tips(axes: Axes) -> list[Box]:
    """Return the boxes of the arrowheads that are drawn, in points."""
    drawn = [head for patch in axes.patches if isinstance(patch, FancyArrowPatch) for head in parts(patch)[1:]]
    sides = [tuple(zip(*head, strict=True)) for head in drawn]
    return [Box(min(xs), min(ys), max(xs), max(ys)) for xs, ys in sides]


def discs(axes: Axes) -> list[tuple[tuple[float, float], float]]:
    """Return the middle and the radius of each node, in points."""
    found: list[Any] = [(axes.transData.transform(line.get_xydata())[0], line.get_markersize()) for line in axes.lines]
    return [((float(x), float(y)), size / 2) for (x, y), size in found]


def require_clear(figure: Figure) -> None:
    """Fail if a label covers another, a node or an arrowhead, or if an arrowhead lies in a node."""
    for axes in figure.axes:
        labels, heads, nodes, window = labels_of(axes), tips(axes), discs(axes), axes.get_window_extent()
        panel = Box(window.x0, window.y0, window.x1, window.y1)
        for (name, box), (other, second) in combinations(labels, 2):
            assert not box.overlaps(second), (name, other)
        for name, box in labels:
            assert not any(box.overlaps(head) for head in heads), name
            assert not any(0 < box.distance(at) < radius for at, radius in nodes), name
            assert panel.contains(box), name
        for head in heads:
            assert max(head.right - head.left, head.top - head.bottom) > 3, "a visible head"
            assert all(math.dist(head.centre, at) > radius for at, radius in nodes)


@pytest.mark.slow
@settings(max_examples=15)
@given(
    st.sampled_from([*FAMILIES, Star(direction="in"), Complete(), ErdosRenyi(p=0.1), Tree(direction="out")]),
    st.integers(2, 50),
    st.sampled_from(["a", "agent-", "debater_with_a_very_long_name-", "Übergröße "]),
)
def test_no_label_covers_another_or_an_arrowhead(topology: Topology, n: int, stem: str) -> None:
    graph = nx.relabel_nodes(build(topology, n), lambda name: f"{stem}{name.rpartition('-')[2]}")
    require_clear(compose([describe_graph("debate", graph, getattr(topology, "kind", ""))]))


@pytest.mark.slow
@pytest.mark.parametrize("topology", [Star(direction="in"), DagMesh(), Layered(layers=1), DagRandom(p=0.5)], ids=repr)
def test_fifty_agents_are_clear(topology: Topology) -> None:
    require_clear(compose([describe(topology, 50)]))


def test_names_that_do_not_fit_become_numbers_with_a_key() -> None:
    graph = nx.relabel_nodes(build(ErdosRenyi(p=0.3), 50), lambda name: f"debater_with_a_very_long_name-{name[6:]}")
    graph.add_edge("judge", "debater_with_a_very_long_name-1")
    figure = compose([describe_graph("long", graph), describe(Ring(), 4)])
    first, second = map(labels_of, figure.axes)
    assert sorted(int(name) for name, _ in first) == list(range(1, 52))
    assert [name for name, _ in second] == [f"agent-{i}" for i in range(1, 5)]
    [key] = [text.get_text() for text in figure.texts]
    assert key.split("     ") == ["1-50 debater_with_a_…g_name-1 to debater_with_a_…_name-50", "51 judge"]


def test_a_long_name_keeps_its_number() -> None:
    assert shorten_name("debater_with_a_very_long_name-17") == "debater_with_a_…_name-17"
    assert describe_numbers({"a-1": 1, "a-2": 2, "b": 3, "c-2": 4}) == ["1-2 a-1 to a-2", "3 b", "4 c-2"]


def test_groups_are_drawn_as_groups() -> None:
    """Two groups read two scribes: each group is a cluster with an outline, and no outline holds a stranger."""
    groups = [[f"left-{i}" for i in range(1, 5)], [f"right-{i}" for i in range(1, 5)]]
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from([*groups[0], *groups[1], "scribe-1", "scribe-2"])
    graph.add_edges_from((scribe, name) for scribe in ("scribe-1", "scribe-2") for name in (*groups[0], *groups[1]))
    described = describe_graph("exchange", graph, "none", groups)
    at = described.positions
    widest = max(math.dist(at[u], at[v]) for members in groups for u, v in combinations(members, 2))
    assert min(math.dist(at[u], at[v]) for u in groups[0] for v in groups[1]) > 1.2
    assert widest < 1.6
    [axes] = compose([described]).axes
    outlines = [patch for patch in axes.patches if isinstance(patch, Polygon)]
    assert len(outlines) == 2
    for shape, members in zip(outlines, groups, strict=True):
        held = {name for name, place in at.items() if Outline(shape.get_xy()).contains_point(place, radius=0.1)}
        assert held == set(members)


def test_groups_that_would_hold_strangers_have_no_outline() -> None:
    names = [f"agent-{i}" for i in range(1, 9)]
    described = describe_graph("ring", build(Ring(), 8), "ring", [names[::2], names[1::2]])
    assert described.groups
    assert not [p for p in compose([described]).axes[0].patches if isinstance(p, Polygon)]


def test_labels_that_find_no_place_are_listed_below() -> None:
    graph = build(Complete(), 20)
    for number, edge in enumerate(graph.edges):
        graph.edges[edge]["window"] = 2 + number % 7
    [axes] = compose([describe_graph("dense", graph, "complete")]).axes
    [text] = [text.get_text() for text in axes.texts if "edges: " in text.get_text()]
    assert text.endswith(" edges: window 2; window 3; window 4; window 5; 3 more")
