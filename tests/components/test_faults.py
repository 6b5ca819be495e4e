"""Results of components that the engine cannot use: each is one error that names the component and the result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import society
from society.components.plugin_files import load_plugins, set_plugins
from society.core.errors import ComponentError, ScenarioError
from society.scenario import load_scenario

TOPOLOGY = """
from typing import Literal
import networkx as nx
from topologies.base import Topology

class Mine(Topology):
    kind: Literal["mine"] = "mine"

    def build(self, n, seed):
        ring = nx.cycle_graph(n, nx.DiGraph)
        {code}
"""
SCENARIO = """
version: 1
name: mine
task: {kind: capitals, limit: 1}
backends: {local: {kind: scripted, rules: [{say: "It is Paris."}]}}
roles: {debater: {prompt: "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %}"}}
agents: {debater: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
GRAPHS = {
    "return nx.relabel_nodes(ring, {i: i + 1 for i in ring})": "a graph with the node 3 and without the node 0",
    "return nx.cycle_graph(n - 1, nx.DiGraph)": "a graph without the node 2, not over the 3 nodes 0 to 2",
    "return nx.cycle_graph(n + 1, nx.DiGraph)": "a graph with the node 3, not over the 3 nodes 0 to 2",
    "return nx.relabel_nodes(ring, str)": "a graph with the nodes '0', '1', '2' and without",
    "ring.add_edge(1, 1); return ring": "a graph with an edge from the node 1 to itself",
    "return nx.MultiDiGraph(ring)": "returned MultiDiGraph instead of nx.DiGraph in `build`",
    "return nx.Graph(ring)": "returned Graph instead of nx.DiGraph in `build`",
    "pass": "returned NoneType instead of nx.DiGraph in `build`",
    "raise RuntimeError('boom')": "raised RuntimeError: boom (plugins.py, line 11) in `build`",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    set_plugins()


def write(plugin: str, scenario: str) -> None:
    """Load a plugin file, and write a scenario that uses it."""
    Path("plugins.py").write_text(plugin)
    Path("mine.yaml").write_text(scenario)
    load_plugins("plugins.py")


@pytest.mark.parametrize(("code", "fault"), GRAPHS.items())
@pytest.mark.parametrize("field", ["topology", "within"])
def test_a_graph_over_other_nodes_is_one_problem_of_the_check(code: str, fault: str, field: str) -> None:
    write(TOPOLOGY.replace("{code}", code), SCENARIO)
    change = [f"phases.debate.{field}=mine"]
    [problem] = [problem for problem in society.check("mine.yaml", change) if problem.level == "error"]
    assert problem.path == f"phases.debate.{field}"
    assert "cannot be built: The topology 'mine' " in problem.message
    assert fault in problem.message
    with pytest.raises(ScenarioError, match="cannot be built"):
        load_scenario("mine.yaml", change)


def test_a_graph_that_is_wrong_for_one_seed_is_one_problem_of_the_check() -> None:
    code = "return ring if seed != 1 else nx.MultiDiGraph(ring)"
    write(TOPOLOGY.replace("{code}", code), SCENARIO.replace("topology: complete", "topology: mine, stop: [consensus]"))
    [problem] = [problem for problem in society.check("mine.yaml") if problem.level == "error"]
    assert "returned MultiDiGraph instead of nx.DiGraph in `build`" in problem.message
    assert "Correct the plugin file" in problem.message


def test_a_graph_over_other_names_is_refused() -> None:
    code = "return ring\n\n    def graph(self, agents, groups, seed):\n        return nx.DiGraph([(agents[0], 'bob')])"
    write(TOPOLOGY.replace("{code}", code), SCENARIO.replace("complete", "mine"))
    with pytest.raises(ScenarioError, match="with the node 'bob' and without the nodes 'debater-2', 'debater-3'"):
        load_scenario("mine.yaml")


CONTROLLER = """
from typing import Literal
import networkx as nx
from society.components.controllers import Controller

class Mine(Controller):
    kind: Literal["mine"] = "mine"

    async def next_graph(self, graph, context):
        graph = graph.copy()
        {code}
"""


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("graph.add_edge('debater-1', 'bob'); return graph", "returned a graph with the node 'bob'"),
        ("return 1", "returned int instead of nx.DiGraph in `next_graph` on the question"),
        ("graph.add_edge('debater-1', 'debater-1'); return graph", "an edge from the node 'debater-1' to itself"),
        (
            "return nx.MultiDiGraph(graph)",
            "returned MultiDiGraph instead of nx.DiGraph in `next_graph` on the question",
        ),
    ],
)
def test_a_controller_returns_a_graph_over_the_same_agents(code: str, fault: str) -> None:
    write(CONTROLLER.replace("{code}", code), SCENARIO.replace("rounds: 2", "rounds: 2, controllers: [mine]"))
    with pytest.raises(ComponentError) as refused:
        society.run("mine.yaml", "run")
    assert fault in str(refused.value)
    assert "Correct the plugin file" in str(refused.value)


DECISION = """
from typing import Literal
from society.components.decisions.base import DecisionRule
from society.core.types import Decision

class Mine(DecisionRule):
    kind: Literal["mine"] = "mine"

    def count(self, ballot):
        return {value}
"""


@pytest.mark.parametrize("method", ["count", "decide"])
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("None", "NoneType instead of Decision"),
        ("'Paris'", "str instead of Decision"),
        ("Decision(42, 1.0)", "a Decision with the answer 42, which is neither text nor None,"),
        ("Decision('Paris', 2.0)", "a Decision with the support 2.0, which is no number from 0 to 1,"),
        ("Decision('Paris', float('nan'))", "a Decision with the support nan, which is no number from 0 to 1,"),
        ("Decision('Paris', '1')", "a Decision with the support '1', which is no number from 0 to 1,"),
        ("Decision(None, reason=3)", "a Decision with the reason 3, which is no text,"),
        ("Decision(None, tied=[1])", "a Decision with tied answers [1], which are no tuple of texts,"),
    ],
)
def test_a_decision_of_another_type_blames_the_decision(value: str, fault: str, method: str) -> None:
    plugin = DECISION.replace("{value}", value)
    if method == "decide":
        plugin += "    decide = count"
    write(plugin, SCENARIO + "decision: mine")
    with pytest.raises(ComponentError) as refused:
        society.run("mine.yaml", "run")
    assert refused.value.cause.startswith(f"The decision 'mine' returned {fault} in `decide` on the question 'capital-")
    assert refused.value.remedy.startswith("Correct the plugin file")


BACKEND = """
from typing import Literal
from backends.scripted.backend import Scripted, ScriptedBackend

class Mine(Scripted):
    kind: Literal["mine"] = "mine"

    def open(self):
        return Open(self)

class Open(ScriptedBackend):
    async def __aexit__(self, *error):
        raise RuntimeError("boom")
"""


def test_a_backend_that_raises_when_it_is_closed_is_one_error() -> None:
    write(BACKEND, SCENARIO.replace("scripted", "mine"))
    with pytest.raises(ComponentError) as refused:
        society.run("mine.yaml", "run")
    assert refused.value.cause == (
        "The backend 'mine' raised RuntimeError: boom (plugins.py, line 13) in `__aexit__` as the backend 'local'."
    )
