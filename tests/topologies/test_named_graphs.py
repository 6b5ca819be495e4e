"""Named graphs, their unions and differences, random groups, and graphs that are drawn for each question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from society.cli import main
from society.core.errors import ScenarioError
from society.pictures.graphs import Graph
from society.pictures.phases import describe_phases
from society.report.data import build_index, read_runs
from society.results import Run
from society.scenario import check_scenario
from society.scenario.expand import PhasePlan, Society, expand
from society.scenario.models.scenario import Scenario
from society.scenario.questions import load_items
from society.session import run
from topologies.cliques import Groups

Spec = dict[str, Any]
SPEC: Spec = {
    "version": 1,
    "name": "named",
    "task": {"kind": "arithmetic", "form": "a+b", "limit": 4},
    "backends": {"one": {"kind": "scripted", "rules": [{"choose": ["3", "7", "9"]}]}},
    "roles": {"solver": {"prompt": "{% for m in heard %}{{ m.text }} {% endfor %}{{ question }}"}},
    "agents": {"ann": {"count": 8}},
    "sampling": {"max_tokens": 9},
}
RANDOM: Spec = {"kind": "erdos_renyi", "p": 0.4}


def phase(name: str, topology: Any, **fields: Any) -> Spec:
    return {"name": name, "topology": topology, "rounds": 2, **fields}


def society(topologies: Spec, *phases: Spec, **fields: Any) -> Society:
    return expand(Scenario.from_dict({**SPEC, "topologies": topologies, "phases": [*phases], **fields}))


def edges(plan: PhasePlan, question: str = "", sample: int = 0) -> set[tuple[str, str]]:
    return set(plan.graph(question=question, sample=sample).edges)


def test_phases_with_one_name_have_the_same_edges_whoever_speaks_there() -> None:
    some = [f"ann-{i}" for i in (7, 2, 5)]
    made = society({"net": RANDOM}, phase("one", "net"), phase("two", "net"), phase("three", "net", agents=some))
    one, two, three = map(edges, made.phases)
    assert one == two
    assert three == {(u, v) for u, v in one if u in some and v in some}
    assert 0 < len(one) < 56


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), own=st.integers(0, 2**63 - 1))
def test_other_seeds_give_other_graphs_and_equal_topologies_equal_ones(seed: int, own: int) -> None:
    net = {"kind": "erdos_renyi", "p": 0.5}
    made = society({"a": net, "b": {**net, "seed": own}}, *[phase(n, n) for n in "ab"], phase("c", net), seed=seed)
    a, b, c = map(edges, made.phases)
    assert a == c != b


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_union_and_difference_are_those_of_sets(seed: int) -> None:
    parts = {"net": RANDOM, "both": {"kind": "union", "of": ["net", "ring"]}}
    rest = {"kind": "difference", "of": "both", "without": ["ring", {"kind": "star"}]}
    made = society(parts, phase("net", "net"), phase("both", "both"), phase("rest", rest), seed=seed)
    ring, star = (edges(society({}, phase("x", kind)).phases[0]) for kind in ("ring", "star"))
    net, both, left = map(edges, made.phases)
    assert both == net | ring
    assert left == net - ring - star


def test_later_parts_of_a_union_override_attributes() -> None:
    parts = [{"kind": "edges", "edges": [["ann-1", "ann-2", {"show": show}]]} for show in ("full", "answer")]
    graph = society({}, phase("x", {"kind": "union", "of": parts})).phases[0].graph()
    assert graph.edges["ann-1", "ann-2"] == {"show": "answer"}


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), size=st.integers(1, 9), seed=st.integers(0, 2**63))
def test_shuffled_groups_are_disjoint_cliques_of_the_same_sizes(n: int, size: int, seed: int) -> None:
    ordered, shuffled = (Groups(size=size, shuffle=flag).build(n, seed) for flag in (False, True))
    sizes = [sorted(map(len, nx.weakly_connected_components(graph))) for graph in (ordered, shuffled)]
    assert sizes[0] == sizes[1]
    for group in nx.weakly_connected_components(shuffled):
        assert shuffled.subgraph(group).number_of_edges() == len(group) * (len(group) - 1)


def test_groups_are_reshuffled_between_phases_where_asked_for() -> None:
    groups = {"kind": "groups", "size": 2, "shuffle": True}
    fixed = society({"teams": groups}, phase("one", "teams"), phase("two", "teams"))
    mixed = society({"teams": {**groups, "redraw": ["phase"]}}, phase("one", "teams"), phase("two", "teams"))
    assert edges(fixed.phases[0]) == edges(fixed.phases[1])
    assert edges(mixed.phases[0]) != edges(mixed.phases[1])


def test_each_occasion_has_a_graph_of_its_own_and_no_other_matters() -> None:
    for redraw in (["question"], ["sample"], ["question", "sample"]):
        plan = society({"net": {**RANDOM, "redraw": redraw}}, phase("one", "net")).phases[0]
        base = edges(plan, "q-1", 0)
        assert edges(plan, "q-1", 0) == base
        assert (edges(plan, "q-2", 0) != base) == ("question" in redraw)
        assert (edges(plan, "q-1", 1) != base) == ("sample" in redraw)
        assert plan.occasions == set(redraw)


def read_in(folder: Path) -> dict[str, frozenset[tuple[str, str]]]:
    """Return who read whom in the second rounds of a run, by question."""
    found: dict[str, frozenset[tuple[str, str]]] = {}
    for turn in Run(folder).turns():
        found[turn.id.item] = found.get(turn.id.item, frozenset()) | {(r.agent, turn.id.agent) for r in turn.reads}
    return found


def test_a_graph_per_question_follows_the_question_in_any_order_and_batch(tmp_path: Path) -> None:
    spec = {**SPEC, "topologies": {"net": {**RANDOM, "redraw": ["question"]}}, "phases": [phase("talk", "net")]}
    run(spec, tmp_path / "all", progress=False)
    seen = read_in(tmp_path / "all")
    made = expand(Scenario.from_dict(spec)).phases[0]
    assert len(set(seen.values())) == 4
    assert all(pairs == edges(made, question) for question, pairs in seen.items())
    part = {**spec, "task": {**spec["task"], "offset": 2, "limit": 2}, "concurrency": 1}
    run(part, tmp_path / "part", progress=False)
    assert read_in(tmp_path / "part").items() <= seen.items()


def test_the_picture_says_that_a_graph_is_drawn_again() -> None:
    made = society({"net": {**RANDOM, "redraw": ["question"]}}, phase("one", "net"))
    assert describe_phases(made)[0].title == "one (simultaneous, 2 rounds, drawn for each question)"
    made = society({"net": {**RANDOM, "redraw": ["sample", "question", "phase"]}}, phase("one", "net"))
    [shown] = describe_phases(made, "q-1")
    title = "drawn for each phase, question and sample; here for q-1"
    assert shown.title == f"one (simultaneous, 2 rounds, {title})"


def test_the_picture_has_the_graph_of_the_first_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {**SPEC, "topologies": {"net": {**RANDOM, "redraw": ["question"]}}, "phases": [phase("talk", "net")]}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    drawn: list[Graph] = []
    monkeypatch.setattr("society.pictures.draw_graphs.draw", lambda graphs, path: drawn.extend(graphs))
    assert main(["draw", str(tmp_path / "s.yaml"), "-o", str(tmp_path / "s.svg")]) == 0
    run(spec, tmp_path / "run", progress=False)
    first = load_items(expand(Scenario.from_dict(spec))).evaluation[0].id
    shown = {pair for e in drawn[0].edges for pair in [(e.source, e.target), (e.target, e.source)][: 1 + e.mutual]}
    assert shown == read_in(tmp_path / "run")[first]


def test_the_report_draws_no_edge_of_another_question(tmp_path: Path) -> None:
    spec = {**SPEC, "topologies": {"net": {**RANDOM, "redraw": ["question"]}, "one": RANDOM},
            "phases": [phase("talk", "net"), phase("more", "one")]}  # fmt: skip
    run(spec, tmp_path / "run", progress=False)
    [found] = build_index(read_runs([Run(tmp_path / "run")]))["runs"]
    assert [bool(shown["edges"]) for shown in found["phases"]] == [False, True]


FAULTY: list[tuple[Spec, str, str]] = [
    ({"a": {"kind": "edges", "edges": [["ann-1", "ann-2", {"weight": -1}]]},
      "b": {"kind": "union", "of": ["a", "ring"]}},
     "topologies.a.edges.0.2.weight", "'weight' should be a number of at least 0, not -1"),
    ({"b": {"kind": "union", "of": ["a", "ring"]}, "a": {"kind": "edges", "edges": [["ann-1", "ro"]]}},
     "topologies.a.edges.0.1", "there is no agent 'ro'"),
    ({"b": {"kind": "difference", "of": "ring", "without": [{"kind": "edges", "edges": [["ann-1", "ro"]]}]}},
     "topologies.b.without.0.edges.0.1", "there is no agent 'ro'"),
    ({"b": {"kind": "union", "of": ["c", "ring"]}, "c": {"kind": "union", "of": ["b", "star"]}}, "topologies.b.of.0",
     "is made of itself"),
]  # fmt: skip


@pytest.mark.parametrize(("topologies", "path", "message"), FAULTY)
def test_a_mistake_in_a_part_is_reported_once(topologies: Spec, path: str, message: str) -> None:
    within = {"kind": "union", "of": ["b", "star"]}
    found = check_scenario({**SPEC, "topologies": topologies, "phases": [phase("x", "b"), phase("y", within)]})
    wrong = [problem for problem in found if problem.path != "topologies.c.of.0"]  # the cycle's other name
    assert [(problem.path, message in problem.message) for problem in wrong] == [(path, True)], found


MISTAKES: list[tuple[Spec, Any, str, str]] = [
    ({"net": RANDOM}, "nett", "phases.x.topology", "unknown topology 'nett'"),
    ({"net": RANDOM}, {"kind": "named", "name": "nett"}, "phases.x.topology", "there is no graph 'nett'"),
    ({"net": {"kind": "union", "of": ["ring", "nett"]}}, "net", "topologies.net.of.1", "unknown topology 'nett'"),
    ({"a": {"kind": "union", "of": ["b", "ring"]}, "b": {"kind": "union", "of": ["a", "ring"]}}, "a",
     "topologies.a.of.0", "is made of itself: a -> b -> a"),
    ({"ring": RANDOM}, "star", "topologies.ring", "is a kind of topology"),
    ({"net": RANDOM}, "star", "topologies.net", "is not used by any phase"),
    ({"net": {"kind": "layered", "layers": 9}}, "net", "topologies.net.layers", "9 layers cannot be filled"),
    ({"net": {"kind": "edges", "edges": [["ann-1", "bob"]]}}, "net", "topologies.net.edges.0.1", "no agent 'bob'"),
    ({"net": {"kind": "erdos_renyi", "p": 0}}, "net", "topologies.net", "has no edge over the 8 agents"),
    ({"net": {"kind": "erdos_renyi", "p": 1, "seed": 3}}, "net", "topologies.net.seed", "only one such graph"),
    ({"net": {"kind": "groups", "size": 2, "redraw": ["phase"]}}, "net", "topologies.net.redraw",
     "needs `shuffle: true`"),
    ({"net": {"kind": "groups", "size": 9}}, "net", "topologies.net.size", "exceeds the 8 agents"),
    ({}, {"kind": "union", "of": ["ring", {"kind": "groups", "size": 9}]}, "phases.x.topology.of.1.size", "exceeds"),
    ({"net": "ring"}, {"kind": "difference", "of": "net", "without": ["none"]}, "phases.x.topology.without",
     "removes no edge"),
    ({"net": {"kind": "groups", "shuffle": True}}, "net", "topologies.net.shuffle", "`shuffle` needs `size`"),
]  # fmt: skip


@pytest.mark.parametrize(("topologies", "topology", "path", "message"), MISTAKES)
def test_mistakes_are_reported_at_their_place(topologies: Spec, topology: Any, path: str, message: str) -> None:
    problems = check_scenario({**SPEC, "topologies": topologies, "phases": [phase("x", topology)]})
    assert [p for p in problems if p.path == path and message in p.message], problems


@pytest.mark.parametrize(
    "topology",
    [
        {"kind": "groups", "size": 8},
        {"kind": "difference", "of": "complete", "without": ["ring"]},
        {"kind": "difference", "of": "ring", "without": [{"kind": "erdos_renyi", "p": 0.01, "redraw": ["question"]}]},
        {"kind": "difference", "of": "complete", "without": ["none", "star"]},
    ],
)
def test_a_part_that_may_change_the_graph_has_no_warning(topology: Any) -> None:
    assert check_scenario({**SPEC, "phases": [phase("x", topology)]}) == []


def test_a_cycle_is_found_in_a_named_graph_of_a_topological_phase() -> None:
    [problem] = check_scenario(
        {**SPEC, "topologies": {"net": "ring"}, "phases": [phase("x", "net", schedule="topological")]}
    )
    assert problem.path == "phases.x.topology"
    assert "needs a graph without cycles" in problem.message


def test_a_stored_scenario_keeps_names() -> None:
    made = Scenario.from_dict({**SPEC, "topologies": {"net": RANDOM}, "phases": [phase("x", "net")]})
    again = Scenario.model_validate_json(made.model_dump_json(exclude_unset=True), context={"stored": None})
    assert again.phases == made.phases
    with pytest.raises(ScenarioError):
        Scenario.from_dict({**SPEC, "phases": [phase("x", {"kind": "named", "name": "net"})]})


@pytest.mark.parametrize("parts", [1, 2])
def test_chains_of_names_end(parts: int) -> None:
    chain: Spec = {f"g{i}": {"kind": "union", "of": [f"g{i + 1}"] * parts + ["ring"]} for i in range(400)}
    spec = {**SPEC, "topologies": {**chain, "g400": "star"}, "phases": [phase("x", "g0")]}
    problems = check_scenario(spec)
    assert [p for p in problems if p.path == "topologies.g0" and "more than 100 topologies" in p.message]
    many = {"kind": "union", "of": ["ring"] * 200}
    assert "more than 100 topologies" in check_scenario({**SPEC, "phases": [phase("x", many)]})[0].message
