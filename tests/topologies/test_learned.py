"""Graphs that are learned from a stored run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from society.core.errors import InputError
from society.metrics.edge_effects import score_edges
from society.results import Run
from society.scenario import check_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run
from topologies.contract import TopologyContract
from topologies.learned import Learned

Spec = dict[str, Any]
SPEC: Spec = {
    "version": 1,
    "name": "teacher",
    "task": {"kind": "arithmetic", "form": "a+b", "limit": 4},
    "backends": {
        "one": {
            "kind": "scripted",
            "rules": [
                {"system": "ann-1", "calculate": {"skill": 1.0}},
                {"system": "ann-4", "say": "It is 1000."},
                {"when": "ann-1", "calculate": {"skill": 1.0}},
                {"say": "It is 2000."},
            ],
        }
    },
    "roles": {
        "solver": {
            "system": "You are {{ name }}.",
            "prompt": "{% for m in heard %}{{ m.sender }} {% endfor %}{{ question }}",
        }
    },
    "agents": {"ann": {"count": 4}},
    "phases": [{"name": "talk", "topology": "complete", "rounds": 2}],
}
"""A debate in which agents that read ann-1 become right; only ann-4 stays wrong."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("learned")
    run(SPEC, made / "run", progress=False)
    return made


def learning(**fields: Any) -> Spec:
    topologies = {"best": {"kind": "learned", "run": "run", "keep": 0.5, **fields}}
    return {**SPEC, "topologies": topologies, "phases": [{"name": "talk", "topology": "best", "rounds": 2}]}


def load(spec: Spec, folder: Path) -> Scenario:
    return Scenario.from_dict(spec, folder=folder)


class TestContract(TopologyContract):
    @pytest.fixture
    def topology(self) -> Learned:
        return Learned(keep=0.5, scores=(("agent-0", "agent-1", 0.5), ("agent-1", "agent-2", 0.1)))


def test_edges_are_scored_by_what_their_readers_took_over(folder: Path) -> None:
    scores = {(u, v): effect for u, v, effect in score_edges(folder / "run")}
    assert len(scores) == 12
    assert {edge for edge, effect in scores.items() if effect} == {("ann-1", "ann-2"), ("ann-1", "ann-3")}
    assert scores["ann-1", "ann-2"] == 1


def test_the_best_edges_are_kept(folder: Path) -> None:
    two = expand(load(learning(keep=2 / 12), folder)).phases[0].graph()
    assert set(two.edges) == {("ann-1", "ann-2"), ("ann-1", "ann-3")}
    assert expand(load(learning(keep=1.0), folder)).phases[0].graph().number_of_edges() == 12
    inline = {**SPEC, "phases": [{**SPEC["phases"][0], "topology": {"kind": "learned", "run": "run", "keep": 0.01}}]}
    assert expand(load(inline, folder)).phases[0].graph().number_of_edges() == 1


def test_a_run_keeps_what_was_learned_and_another_run_is_refused(folder: Path, tmp_path: Path) -> None:
    scenario = load(learning(keep=2 / 12), folder)
    first = run(scenario, tmp_path / "first", progress=False)
    assert first
    reads = {(s.agent, t.id.agent) for t in Run(tmp_path / "first").turns() for s in t.reads}
    assert reads == {("ann-1", "ann-2"), ("ann-1", "ann-3")}
    run(scenario, tmp_path / "first", resume=True, progress=False)
    other = load(learning(keep=3 / 12), folder)
    with pytest.raises(InputError):
        run(other, tmp_path / "first", resume=True, progress=False)


def test_wrong_runs_are_refused_with_a_remedy(folder: Path) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    strange = {**learning(), "agents": {"bob": {"count": 4}}}
    cases = [
        (learning(run="gone"), "gone"),
        (learning(run="empty"), "empty"),
        (learning(run="../elsewhere"), "outside the folders"),
        (learning(scores=[["ann-1", "ann-2", 1.0]]), "cannot stand beside `scores`"),
        (strange, "no edge between these agents"),
        ({**learning(), "topologies": {"best": {"kind": "learned", "keep": 1.0}}}, "needs `run`"),
    ]
    for spec, message in cases:
        problems = check_scenario(spec, folder=folder)
        assert [p for p in problems if p.path.startswith("topologies.best") and message in p.message], (
            message,
            problems,
        )
