"""The engine against theory, and against what each schedule promises about who reads what, when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import comb
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from backends.base import Backend
from society.core.types import GenerateOutput, GenerateRequest
from society.runs.records import DebateRecord, load_records
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run
from society.simulation.simulate import DebateResult, simulate
from society.simulation.speaker import Speaker
from society.store import Store

Play = Callable[..., list[DebateRecord]]

VOTERS = """
task: {{kind: arithmetic, form: a+b, limit: 600}}
backends: {{scripted: {{kind: scripted, rules: [{{calculate: {{skill: {skill}}}}}]}}}}
roles: {{solver: {{prompt: "{{{{ question }}}}"}}}}
agents: {{solver: {{count: {count}}}}}
phases: [{{name: vote}}]
"""


@pytest.mark.parametrize(("count", "skill"), [(1, 0.6), (3, 0.6), (5, 0.7), (7, 0.4)])
def test_majority_of_independent_agents_follows_condorcet(debates: Play, count: int, skill: float) -> None:
    records = debates(VOTERS.format(count=count, skill=skill))
    right = sum(record.result.correct for record in records)
    theory = sum(comb(count, k) * skill**k * (1 - skill) ** (count - k) for k in range(count // 2 + 1, count + 1))
    interval = binomtest(right, len(records)).proportion_ci(0.999, method="wilson")
    assert interval.low < theory < interval.high


def test_agents_err_independently(debates: Play) -> None:
    """Equal agents must not say the same: seeds derive from who speaks."""
    records = debates(VOTERS.format(count=2, skill=0.5))
    alike = sum(len({turn.answer for turn in record.turns}) == 1 for record in records)
    interval = binomtest(alike, len(records)).proportion_ci(0.999, method="wilson")
    assert interval.low < 0.5 < interval.high


DEGROOT = """
task: {kind: arithmetic, form: a+b, limit: 1}
backends: {scripted: {kind: scripted, rules: [{average: {}}]}}
roles:
  person:
    memory: 0
    prompt: "{% if own %}{{ own[-1].text }} {% endif %}{% for m in heard %}{{ m.text }} {% endfor %}"
agents: {a: {}, b: {}, c: {}, d: {}}
phases:
  - name: talk
    rounds: 80
    topology: {kind: edges, edges: [[a, b], [b, c], [c, a], [a, d], [d, b], [c, b]]}
"""


def test_degroot_converges_to_the_left_eigenvector(debates: Play) -> None:
    [record] = debates(DEGROOT)
    names = ["a", "b", "c", "d"]
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "d"), ("d", "b"), ("c", "b")]
    trust = np.eye(4)
    for sender, reader in edges:
        trust[names.index(reader), names.index(sender)] = 1
    trust /= trust.sum(axis=1, keepdims=True)
    values, vectors = np.linalg.eig(trust.T)
    influence = np.real(vectors[:, np.argmax(np.real(values))])
    influence /= influence.sum()
    first = [float(record.of(name)[0].text) for name in names]
    last = [float(record.of(name)[-1].text) for name in names]
    assert max(last) - min(last) < 1e-9
    assert last[0] == pytest.approx(influence @ first, abs=1e-9)
    assert max(first) - min(first) > 0.05  # they did not begin in agreement


TALK = """
task: {{kind: arithmetic, form: a+b, limit: 2}}
roles: {{talker: {{prompt: "{{{{ question }}}} {{% for m in heard %}}[{{{{ m.sender }}}}]{{% endfor %}}"}}}}
agents: {{t: {{count: 4}}}}
phases: [{{name: talk, topology: {topology}, rounds: {rounds}, schedule: {schedule}{more}}}]
"""


def reads(record: DebateRecord, agent: str, number: int) -> list[tuple[str, int]]:
    [turn] = [t for t in record.turns if t.id.agent == agent and t.id.round == number]
    return [(source.agent, source.round) for source in turn.reads]


def test_simultaneous_agents_read_the_round_before(debates: Play) -> None:
    for record in debates(TALK.format(topology="complete", rounds=3, schedule="simultaneous", more="")):
        assert reads(record, "t-2", 1) == []
        assert reads(record, "t-2", 3) == [("t-1", 2), ("t-3", 2), ("t-4", 2)]


def test_sequential_agents_read_what_was_said_before_them(debates: Play) -> None:
    for record in debates(TALK.format(topology="complete", rounds=2, schedule="sequential", more="")):
        assert reads(record, "t-1", 1) == []
        assert reads(record, "t-3", 1) == [("t-1", 1), ("t-2", 1)]
        assert reads(record, "t-3", 2) == [("t-1", 2), ("t-2", 2), ("t-4", 1)]


def test_reversed_order(debates: Play) -> None:
    for record in debates(TALK.format(topology="complete", rounds=1, schedule="sequential", more=", order: reversed")):
        assert reads(record, "t-1", 1) == [("t-4", 1), ("t-3", 1), ("t-2", 1)]


def test_shuffled_order_differs_between_questions_but_not_between_runs(debates: Play) -> None:
    text = TALK.format(topology="complete", rounds=4, schedule="sequential", more=", order: shuffled")
    orders = [[len(reads(r, f"t-{i}", 1)) for i in range(1, 5)] for r in debates(text)]
    assert orders == [[len(reads(r, f"t-{i}", 1)) for i in range(1, 5)] for r in debates(text)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)


def test_topological_agents_read_the_same_round(debates: Play) -> None:
    edges = "{kind: edges, edges: [[t-1, t-2], [t-1, t-3], [t-2, t-4], [t-3, t-4]]}"
    for record in debates(TALK.format(topology=edges, rounds=1, schedule="topological", more="")):
        assert reads(record, "t-1", 1) == []
        assert reads(record, "t-4", 1) == [("t-2", 1), ("t-3", 1)]


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    n=st.integers(1, 6),
    rounds=st.integers(1, 4),
    schedule=st.sampled_from(["simultaneous", "sequential"]),
)
def test_every_message_reaches_exactly_its_readers_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, n: int, rounds: int, schedule: str
) -> None:
    """On any graph and schedule, a reader reads each in-neighbour's latest turn that it may read, and no other."""
    names = [f"t-{i}" for i in range(1, n + 1)] if n > 1 else ["t"]
    pairs = [[u, v] for u in names for v in names if u != v]
    edges = data.draw(st.lists(st.sampled_from(pairs), unique_by=tuple)) if pairs else []
    folder = tmp_path_factory.mktemp("any")
    path = folder / "s.yaml"
    path.write_text(
        "version: 1\nname: any\nbackends: {s: {kind: scripted}}\n"
        + TALK.format(topology=f"{{kind: edges, edges: {edges}}}", rounds=rounds, schedule=schedule, more="").replace(
            "count: 4", f"count: {n}"
        )
    )
    graph = nx.DiGraph([tuple(edge) for edge in edges])
    graph.add_nodes_from(names)
    for record in load_records(run(load_scenario(path), folder / "run")):
        assert len(record.turns) == n * rounds
        for turn in record.turns:
            i = turn.id
            expected = []
            for sender in names:
                if graph.has_edge(sender, i.agent):
                    earlier = schedule == "sequential" and names.index(sender) < names.index(i.agent)
                    number = i.round if earlier else i.round - 1
                    if number >= 1:
                        expected.append((sender, number))
            assert [(source.agent, source.round) for source in turn.reads] == expected


PAIRS = """
task: {kind: arithmetic, form: a+b, limit: 1}
roles: {talker: {prompt: "{{ name }} {{ round }}"}}
agents: {quick: {count: 2}, late: {count: 2}}
phases: [{name: talk, topology: {kind: groups, size: 2}, rounds: 3}]
"""


class LateUntilQuickIsDone(Backend):
    """Answers late agents only when both quick ones have spoken three times: a barrier would never end."""

    model_hash = "late"

    def __init__(self) -> None:
        self.quick_turns = 0
        self.quick_done = asyncio.Event()

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        if request.messages[-1].content.startswith("quick"):
            self.quick_turns += 1
            if self.quick_turns == 6:
                self.quick_done.set()
        else:
            await self.quick_done.wait()
        return GenerateOutput("1")


def test_nobody_waits_for_those_it_does_not_read(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    society = expand(scenario(PAIRS))
    task = society.scenario.task
    results: list[DebateResult] = []

    async def play() -> None:
        with Store(tmp_path / "store.sqlite") as store:
            speaker = Speaker({"scripted": LateUntilQuickIsDone()}, {}, store, 0, task.parse, lambda turn, old: None)
            await asyncio.wait_for(simulate(society, task, task.load(0), speaker, results.append), timeout=30)

    asyncio.run(play())
    assert len(results) == 1
