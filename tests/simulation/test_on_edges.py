"""Agents on edges see both ends, and weights of edges reach prompts and votes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from society.core.types import Decision, Turn
from society.metrics.influence import count_flows
from society.results import Run
from society.runs.records import DebateRecord, load_records, sameness, vote_on
from society.runs.run import Run as StoredRun
from society.scenario import check_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run

Spec = dict[str, Any]
SOLVER = "{% for m in heard %}<{{ m.sender }} {{ m.weight }}: {{ m.text }}>{% endfor %}{{ question }}"
CRITIC = (
    "Between {{ sender }} and {{ reader }}:"
    "{% for m in heard %} ({{ m.sender }} {{ m.text }}){% endfor %} {{ question }}"
)
SPEC: Spec = {
    "version": 1,
    "name": "edges",
    "task": {"kind": "arithmetic", "form": "a+b", "limit": 2},
    "backends": {"one": {"kind": "scripted", "rules": [
        {"when": "Between", "say": "Check the sum."}, {"choose": ["It is 3.", "It is 7.", "It is 9."]},
    ]}},
    "roles": {
        "solver": {"prompt": SOLVER},
        "critic": {"prompt": CRITIC},
    },
    "agents": {"ann": {"count": 4, "role": "solver"}, "cat": {"role": "critic"}},
    "phases": [{"name": "talk", "topology": "ring", "rounds": 2, "on_edges": "cat"}],
    "sampling": {"max_tokens": 30},
}  # fmt: skip


def changed(**phase: Any) -> Spec:
    return {**SPEC, "phases": [{**SPEC["phases"][0], **phase}]}


def turns_of(spec: Spec, folder: Path) -> dict[tuple[str, int, str], Turn]:
    run(spec, folder, progress=False)
    return {(t.id.item, t.id.round, t.id.agent): t for t in Run(folder).turns()}


def test_the_agent_on_an_edge_sees_both_ends_and_the_reader_sees_it(tmp_path: Path) -> None:
    turns = turns_of(SPEC, tmp_path / "run")
    items = {item for item, _, _ in turns}
    pairs = {(1, 2), (2, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 1), (1, 4)}
    for item in items:
        on_edges = {agent: t for (i, n, agent), t in turns.items() if i == item and "/" in agent}
        assert set(on_edges) == {f"cat/ann-{u}>ann-{v}" for u, v in pairs}
        for u, v in pairs:
            turn = on_edges[f"cat/ann-{u}>ann-{v}"]
            said = {w: turns[item, 1, f"ann-{w}"].text for w in (u, v)}
            assert [source.agent for source in turn.reads] == [f"ann-{u}", f"ann-{v}"]
            expected = f"Between ann-{u} and ann-{v}: (ann-{u} {said[u]}) (ann-{v} {said[v]})"
            assert turn.messages[-1].content.startswith(expected)
        first = turns[item, 2, "ann-1"]
        assert [s.agent for s in first.reads] == ["ann-2", "cat/ann-2>ann-1", "ann-4", "cat/ann-4>ann-1"]
        assert first.messages[-1].content.count("<cat 1.0: Check the sum.>") == 2
        assert not turns[item, 1, "ann-1"].reads


def test_in_a_topological_phase_it_sees_the_sender_before_the_reader_speaks(tmp_path: Path) -> None:
    turns = turns_of(changed(topology="dag_mesh", schedule="topological", rounds=1), tmp_path / "run")
    for (_, _, agent), turn in turns.items():
        if "/" in agent:
            assert [s.agent for s in turn.reads] == [agent.partition("/")[2].partition(">")[0]]
    assert sum("/" in agent for _, _, agent in turns) == 2 * 6


def test_an_edge_may_have_several_exchanges(tmp_path: Path) -> None:
    """Replies and drafts alternate. The reader is shown the last of each, and the turns behind them count as read."""
    turns = turns_of(changed(topology="chain", exchanges=3), tmp_path / "run")
    for item in {item for item, _, _ in turns}:
        told = {agent: [s.agent for s in t.reads] for (i, n, agent), t in turns.items() if (i, n) == (item, 2)}
        assert told["cat/ann-1>ann-2"] == ["ann-1", "ann-2"]
        assert told["ann-2/ann-1>ann-2"] == ["ann-1", "cat/ann-1>ann-2"]
        assert told["cat/ann-1>ann-2/2"] == ["ann-1", "ann-2/ann-1>ann-2"]
        assert told["ann-2/ann-1>ann-2/2"] == ["ann-1", "cat/ann-1>ann-2/2"]
        assert told["cat/ann-1>ann-2/3"] == ["ann-1", "ann-2/ann-1>ann-2/2"]
        assert told["ann-2"][:3] == ["ann-1", "ann-2/ann-1>ann-2/2", "cat/ann-1>ann-2/3"]
        third = turns[item, 2, "cat/ann-1>ann-2/3"]
        assert [m.role for m in third.messages] == ["user", "assistant"] * 2 + ["user"]
        draft = turns[item, 2, "ann-2/ann-1>ann-2/2"]
        assert [m.content for m in draft.messages if m.role == "assistant"] == [
            turns[item, 1, "ann-2"].text,
            turns[item, 2, "ann-2/ann-1>ann-2"].text,
        ]
    stored = StoredRun(tmp_path / "run")
    flows = count_flows(expand(stored.scenario), load_records(stored))
    assert {(flow.sender, flow.reader) for flow in flows} == {
        (f"ann-{u}", f"ann-{v}") for u, v in [(1, 2), (2, 1), (2, 3), (3, 2), (3, 4), (4, 3)]
    }


def test_turns_on_edges_have_no_vote_and_a_resumed_run_keeps_them(tmp_path: Path) -> None:
    first = turns_of(SPEC, tmp_path / "run")
    run(SPEC, tmp_path / "run", resume=True, progress=False)
    assert {(t.id.item, t.id.round, t.id.agent): t for t in Run(tmp_path / "run").turns()} == first
    for result in Run(tmp_path / "run").results():
        votes = [first[result.item, 2, f"ann-{i}"].answer for i in range(1, 5)]
        assert result.decision.answer is None or votes.count(result.decision.answer) >= 1
        assert result.decision.support * 4 == pytest.approx(round(result.decision.support * 4))


WEIGHTED: Spec = {
    **SPEC,
    "phases": [{"name": "talk", "rounds": 2, "topology": {"kind": "matrix", "rows": [
        [0, 2.5, 0, 0], [0.25, 0, 0.25, 0.25], [0, 0.25, 0, 0], [0, 0.25, 0, 0],
    ]}}],
    "backends": {"one": {"kind": "scripted", "rules": [
        {"system": "ann-1", "say": "It is 3."}, {"say": "It is 7."},
    ]}},
    "roles": {"solver": {**SPEC["roles"]["solver"], "system": "You are {{ name }}."}},
    "agents": {"ann": {"count": 4}},
    "decision": {"kind": "weighted", "by": "edges"},
}  # fmt: skip


def first_vote(record: DebateRecord) -> Decision:
    society = expand(Scenario.from_dict(WEIGHTED))
    return vote_on(society, record, record.first(society.voters), sameness(society))


def test_weights_are_shown_and_weigh_votes(tmp_path: Path) -> None:
    turns = turns_of(WEIGHTED, tmp_path / "run")
    [prompt, *_] = [t.messages[-1].content for (_, n, agent), t in turns.items() if n == 2 and agent == "ann-2"]
    assert "<ann-1 2.5: It is 3.>" in prompt
    assert "<ann-3 0.25: It is 7.>" in prompt
    assert {r.decision.answer for r in Run(tmp_path / "run").results()} == {"3"}  # 2.5 against 1.25
    records = load_records(StoredRun(tmp_path / "run"))
    assert [vote.answer for vote in map(first_vote, records)] == ["7", "7"]  # before anybody is read, votes are equal
    even = {**WEIGHTED, "decision": "majority"}
    run(even, tmp_path / "even", progress=False)
    assert {r.decision.answer for r in Run(tmp_path / "even").results()} == {"7"}


def test_an_agents_own_turns_do_not_weigh_its_vote(tmp_path: Path) -> None:
    phase = {**WEIGHTED["phases"][0], "hear_own": True}
    run({**WEIGHTED, "phases": [phase]}, tmp_path / "run", progress=False)
    assert {r.decision.answer for r in Run(tmp_path / "run").results()} == {"3"}  # as without `hear_own`


def test_the_agent_on_an_edge_remembers_all_its_replies_there(tmp_path: Path) -> None:
    spec = changed(topology="chain", exchanges=2, rounds=4)
    spec["backends"] = {"one": {"kind": "scripted", "rules": [{"choose": [f"It is {i}." for i in range(99)]}]}}
    turns = turns_of(spec, tmp_path / "run")
    for item in {item for item, _, _ in turns}:
        names = ("cat/ann-1>ann-2", "cat/ann-1>ann-2/2")
        replies = [turns[item, number, name].text for number in (2, 3) for name in names]
        last = turns[item, 4, names[0]]
        assert [m.content for m in last.messages if m.role == "assistant"] == replies


def test_a_failed_turn_is_not_among_the_own_turns_of_a_draft(tmp_path: Path) -> None:
    spec = changed(topology="chain", exchanges=2)
    prompt = "{{ name }} {{ round }} {{ own | length }}"
    spec["roles"] = {**spec["roles"], "solver": {"prompt": prompt}}
    fails = {"when": "^ann-2 1", "fail": {"kind": "error", "rate": 1.0}}
    spec["backends"] = {"one": {"kind": "scripted", "rules": [fails, {"say": "It is 3."}]}}
    turns = turns_of(spec, tmp_path / "run")
    drafts = [turn.messages[-1].content for (_, _, agent), turn in turns.items() if agent == "ann-2/ann-1>ann-2"]
    assert drafts == ["ann-2 2 0"] * 2


MISTAKES = [
    (changed(on_edges="dog"), "phases.talk.on_edges", "there is no agent 'dog'"),
    (changed(on_edges="ann"), "phases.talk.on_edges", "is a group"),
    (changed(on_edges="ann-1", agents=["ann"]), "phases.talk.on_edges", "also speaks in this phase"),
    (changed(topology="none"), "phases.talk.on_edges", "has no effect: no speaker reads another one"),
    (changed(on_edges=""), "roles.critic", ""),
    ({**WEIGHTED, "phases": [{"name": "talk"}]}, "decision.by", "no agent reads a voter"),
    ({**WEIGHTED, "decision": {"kind": "weighted", "by": "edges", "floor": 0.5}}, "decision.floor", "has no effect"),
    (changed(edges={"weight": -1}), "phases.talk.edges.weight", "at least 0"),
]


@pytest.mark.parametrize(("spec", "path", "message"), MISTAKES)
def test_mistakes_are_reported_at_their_place(spec: Spec, path: str, message: str) -> None:
    problems = check_scenario(spec)
    assert [p for p in problems if p.path.startswith(path) and message in p.message], problems
