"""Agents that choose whom they hear, routers, and edges that follow a track record, in whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from society.core.types import Turn
from society.metrics.summary import summarize
from society.planning.preflight import check
from society.results import Run
from society.runs.records import load_records
from society.scenario import check_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run
from tests.interrupted import run_interrupted

Spec = dict[str, Any]
SPEC: Spec = {
    "version": 1,
    "name": "choosing",
    "task": {"kind": "arithmetic", "form": "a+b", "limit": 3},
    "backends": {"one": {"kind": "scripted", "rules": []}},
    "roles": {
        "solver": {
            "system": "You are {{ name }}.",
            "prompt": "{% for m in heard %}<{{ m.sender }} {{ m.weight }}> {% endfor %}{{ question }}",
        },
        "chooser": {"system": "You are {{ name }}.", "prompt": "Whom?{% for m in heard %} {{ m.sender }}{% endfor %}"},
        "router": {"prompt": "Who answers {{ question }}: {{ agents | join(' ') }}?"},
    },
    "agents": {"ann": {"count": 4, "role": "solver"}, "bob": {"role": "router"}},
    "phases": [{"name": "talk", "agents": ["ann"], "topology": "complete", "rounds": 2}],
    "sampling": {"max_tokens": 30},
}
ANSWERS = [{"choose": ["It is 3.", "It is 7.", "It is 9."]}]
Turns = dict[tuple[str, int, str], Turn]


def spec(controller: Spec, *rules: Spec, phases: list[Spec] | None = None, **fields: Any) -> Spec:
    first = {**SPEC["phases"][0], "controllers": [controller]}
    backends = {"one": {"kind": "scripted", "rules": [*rules, *ANSWERS]}}
    phases = [first, *(phases or [])]
    named = {"solver", "router"} if controller["kind"] == "route" else {"solver", controller.get("role")}
    agents = {name: agent for name, agent in SPEC["agents"].items() if name == "ann" or controller["kind"] == "route"}
    roles = {name: role for name, role in SPEC["roles"].items() if name in named}
    return {**SPEC, "roles": roles, "agents": agents, "backends": backends, "phases": phases, **fields}


def play(made: Spec, folder: Path) -> Turns:
    assert check_scenario(made) == []
    run(made, folder, progress=False)
    return {(t.id.item, t.id.round, t.id.agent): t for t in Run(folder).turns()}


def senders(turns: Turns, number: int, agent: str) -> list[list[str]]:
    return [[s.agent for s in t.reads] for (_, n, name), t in turns.items() if (n, name) == (number, agent)]


def unclear(folder: Path, made: Spec) -> int:
    records = load_records(Run(folder), 0, "evaluation")
    return summarize(expand(Scenario.from_dict(made)), records).unclear


def test_a_remark_says_how_many_agents_may_be_named(tmp_path: Path) -> None:
    play(spec(CHOOSE, {"when": "Whom", "say": "ann-4 ann-3 ann-2 ann-1"}), tmp_path / "run")
    remarks = {turn.error for turn in Run(tmp_path / "run").turns() if turn.id.agent == "ann-1/choice"}
    assert remarks == {"Too many agents are named (ann-4, ann-3, ann-2; at most 2 may be): it hears ann-4, ann-3."}


CHOOSE: Spec = {"kind": "choose", "role": "chooser", "most": 2}


def test_agents_hear_those_that_they_name(tmp_path: Path) -> None:
    made = spec(CHOOSE, {"when": "Whom", "system": "ann-1", "say": "I trust ann-3 and ann-2."},
                {"when": "Whom", "say": "Only ann-1, please."})  # fmt: skip
    turns = play(made, tmp_path / "run")
    assert senders(turns, 2, "ann-1") == [["ann-2", "ann-3"]] * 3
    assert senders(turns, 2, "ann-4") == [["ann-1"]] * 3
    asked = [turn for (_, _, agent), turn in turns.items() if agent == "ann-1/choice"]
    assert [turn.messages[-1].content for turn in asked] == ["Whom? ann-2 ann-3 ann-4"] * 3
    assert all(turn.messages[-2].content == turns[turn.id.item, 1, "ann-1"].text for turn in asked)
    assert len([0 for _, _, agent in turns if agent == "ann-1/choice"]) == 3
    assert unclear(tmp_path / "run", made) == 0


@pytest.mark.parametrize(("said", "heard"), [("Nobody.", ["ann-2", "ann-3", "ann-4"]),
                                             ("ann-4 ann-3 ann-2", ["ann-3", "ann-4"]),
                                             ("ann-40", ["ann-2", "ann-3", "ann-4"])])  # fmt: skip
def test_unclear_choices_are_counted_and_explained(said: str, heard: list[str], tmp_path: Path) -> None:
    made = spec(CHOOSE, {"when": "Whom", "system": "ann-1", "say": said}, {"when": "Whom", "say": "ann-1"})
    turns = play(made, tmp_path / "run")
    assert senders(turns, 2, "ann-1") == [heard] * 3
    unclear_words = ("No agent is named", "Too many agents are named")
    assert all(t.error.startswith(unclear_words) for (_, _, a), t in turns.items() if a == "ann-1/choice")
    assert unclear(tmp_path / "run", made) == 3


def test_a_choice_is_limited_to_the_topology_and_keeps_outsiders(tmp_path: Path) -> None:
    made = spec({"kind": "choose", "role": "chooser"}, {"when": "Whom", "say": "ann-1 ann-2 ann-3"})
    made["phases"] = [{"name": "first", "agents": ["cat"]}, {**made["phases"][0], "topology": "ring", "reads": ["cat"]}]
    made["agents"] = {**made["agents"], "cat": {"role": "solver"}}
    turns = play(made, tmp_path / "run")
    assert senders(turns, 2, "ann-1") == [["cat", "ann-2"]] * 3  # of ann-2 and ann-4, which it may read


def test_two_controllers_leave_out_edges_together(tmp_path: Path) -> None:
    made = spec(CHOOSE, {"when": "Whom", "say": "ann-1 ann-2 ann-3 ann-4"}, *RIGHT)
    made["phases"][0]["controllers"] = [{**CHOOSE, "most": 2}, {"kind": "track_record", "keep": 1}]
    turns = play(made, tmp_path / "run")
    assert senders(turns, 2, "ann-4") == [["ann-2"]] * 3  # of ann-1 and ann-2, the first two that it names


ROUTE: Spec = {"kind": "route", "router": "bob", "most": 2}


EVERYBODY = {f"ann-{i}" for i in range(1, 5)}
ROUTED = [("ann-3", {"ann-3"}, 0), ("All.", EVERYBODY, 3), ("ann-4, ann-2, ann-1", {"ann-4", "ann-2"}, 3)]


@pytest.mark.parametrize(("said", "speak", "odd"), ROUTED)
def test_a_router_names_who_speaks_and_votes(said: str, speak: set[str], odd: int, tmp_path: Path) -> None:
    made = spec(ROUTE, {"when": "Who answers", "say": said})
    turns = play(made, tmp_path / "run")
    assert {agent for _, _, agent in turns} == {*speak, "bob"}
    assert unclear(tmp_path / "run", made) == odd
    for result in Run(tmp_path / "run").results():
        assert set(result.decision.voters or speak) == speak


def test_agents_that_a_router_leaves_out_may_speak_in_later_phases(tmp_path: Path) -> None:
    later = [{"name": "all", "agents": ["ann"]}]
    made = spec({**ROUTE, "scope": "phase"}, {"when": "Who answers", "say": "ann-3"}, phases=later)
    run(made, tmp_path / "run", progress=False)
    by_phase = [{t.id.agent for t in Run(tmp_path / "run").turns() if t.id.phase == name} for name in ("talk", "all")]
    assert by_phase == [{"ann-3", "bob"}, {f"ann-{i}" for i in range(1, 5)}]


RIGHT: list[Spec] = [
    {"system": "ann-1", "calculate": {"skill": 1.0}},
    {"system": "ann-2", "say": "It is 1000."},
    {"system": "ann-3", "say": "It is 1000."},
    {"system": "ann-4", "say": "It is 1000."},
]


def test_the_record_over_questions_follows_the_true_answers(tmp_path: Path) -> None:
    controller = {"kind": "track_record", "over": "questions", "by": "gold", "keep": 1}
    made = spec(controller, *RIGHT, decision={"kind": "weighted", "by": "edges"})
    turns = play(made, tmp_path / "run")
    items = list(dict.fromkeys(t.id.item for t in Run(tmp_path / "run").turns()))
    order = [result.item for result in Run(tmp_path / "run").results()]
    assert sorted(order) == sorted(items)
    heard = [[s.agent for s in turns[item, 2, "ann-4"].reads] for item in order]
    assert heard == [["ann-1", "ann-2", "ann-3"], ["ann-1"], ["ann-1"]]
    prompts = [turns[item, 2, "ann-4"].messages[-1].content for item in order]
    assert [prompt.split(">")[0] for prompt in prompts[1:]] == [f"<ann-1 {2 / 3}", f"<ann-1 {3 / 4}"]
    assert [result.correct for result in Run(tmp_path / "run").results()] == [False, True, True]


def test_the_record_over_rounds_is_agreement_with_most_agents(tmp_path: Path) -> None:
    made = spec({"kind": "track_record", "keep": 2}, *RIGHT)
    turns = play(made, tmp_path / "run")
    assert senders(turns, 2, "ann-1") == [["ann-2", "ann-3"]] * 3
    assert senders(turns, 2, "ann-2") == [["ann-3", "ann-4"]] * 3
    for (_, number, agent), turn in turns.items():
        if (number, agent) == (2, "ann-1"):
            assert f"<ann-2 {2 / 3}>" in turn.messages[-1].content


def test_choices_before_each_round_are_kept_and_stand_before_it(tmp_path: Path) -> None:
    made = spec({"kind": "choose", "role": "chooser", "most": 1}, {"when": "Whom", "say": "ann-2 or ann-1"})
    made = {**made, "phases": [{"name": "first"}, *made["phases"]], "task": {**SPEC["task"], "limit": 1}}
    play(made, tmp_path / "run")
    spoken = [(turn.id.phase, turn.id.round, turn.id.agent) for turn in Run(tmp_path / "run").turns()]
    names = [f"ann-{i}" for i in (1, 2, 3, 4)]
    expected = [("first", 1, name) for name in names]
    for number in (1, 2):
        expected += [("talk", number, f"{name}/choice") for name in names]
        expected += [("talk", number, name) for name in names]
    assert spoken == expected


def test_the_router_stands_before_the_agents_that_it_names(tmp_path: Path) -> None:
    play(spec(ROUTE, {"when": "Who answers", "say": "ann-1"}), tmp_path / "run")
    assert next(iter(Run(tmp_path / "run").turns())).id.agent == "bob"


def test_the_record_multiplies_the_weight_that_the_phase_gives(tmp_path: Path) -> None:
    made = spec({"kind": "track_record"}, *RIGHT)
    made["phases"][0]["edges"] = {"weight": 10}
    turns = play(made, tmp_path / "run")
    prompts = [turn.messages[-1].content for (_, number, name), turn in turns.items() if (number, name) == (2, "ann-1")]
    assert len(prompts) == 3
    assert all(f"<ann-2 {10 * (2 / 3)}>" in prompt for prompt in prompts), prompts


def test_the_record_multiplies_a_weight_once_after_another_controller(tmp_path: Path) -> None:
    """An edge that `drop` keeps has no weight of the round before."""
    made = spec({"kind": "track_record"}, *RIGHT)
    made["phases"][0]["rounds"] = 4
    alone = play(made, tmp_path / "alone")
    made["phases"][0]["controllers"].insert(0, {"kind": "drop", "p": 1e-9})
    both = play(made, tmp_path / "both")
    assert {place: turn.messages for place, turn in both.items()} == {
        place: turn.messages for place, turn in alone.items()
    }


OVER = {"kind": "track_record", "over": "questions", "keep": 1}
OPEN = {"kind": "inline", "items": ["Q1", "Q2", {"question": "Q3", "gold": "3"}], "answer": {"equal": "numeric"}}


@pytest.mark.parametrize(("changes", "says"), [({"by": "gold"}, "1 of 3 questions with a true answer"),
                                               ({"after": 3}, "it has 3 questions, and begins after 3"),
                                               ({"after": 2}, ""), ({"over": "rounds"}, "")])  # fmt: skip
def test_a_record_that_the_questions_cannot_fill_is_reported(changes: Spec, says: str) -> None:
    made = spec({**OVER, **changes}, task=OPEN)
    found = [problem for problem in check(made) if problem.path.startswith("phases.talk.controllers.0")]
    assert [says in problem.message for problem in found] == [True] * bool(says), found


@settings(max_examples=6, deadline=None)
@given(concurrency=st.integers(1, 5), samples=st.integers(1, 2), stop=st.integers(0, 20))
def test_questions_in_order_are_the_same_in_any_batch_and_after_a_resume(
    concurrency: int, samples: int, stop: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    controller = {"kind": "track_record", "over": "questions", "keep": 1}
    made = {**spec(controller), "samples": samples}
    run(made, folder / "whole", progress=False)
    run_interrupted({**made, "concurrency": concurrency}, folder / "part", stop)
    whole, part = ({t.id: (t.text, t.reads, t.key) for t in Run(folder / name).turns()} for name in ("whole", "part"))
    assert whole == part


def unweighed(controller: Spec) -> Spec:
    made = spec(controller)
    prompt = made["roles"]["solver"]["prompt"].replace("{{ m.weight }}", "")
    return {**made, "roles": {"solver": {"prompt": prompt}}}


def unlinked(controller: Spec) -> Spec:
    made = spec(controller)
    return {**made, "phases": [{**made["phases"][0], "topology": "none"}]}


MISTAKES = [
    (spec({**CHOOSE, "role": "choser"}), "phases.talk.controllers.0.role", "there is no role 'choser'"),
    (spec({**CHOOSE, "most": 3}), "phases.talk.controllers.0.most", "at most 3 senders"),
    (spec({**ROUTE, "router": "dog"}), "phases.talk.controllers.0.router", "there is no agent 'dog'"),
    (spec({**ROUTE, "most": 4}), "phases.talk.controllers.0.most", "4 speak in this phase"),
    (spec({"kind": "track_record", "by": "gold"}), "phases.talk.controllers.0.by", "needs `over: questions`"),
    (spec({"kind": "track_record", "after": 2}), "phases.talk.controllers.0.after", "no round after round 2"),
    (spec({"kind": "track_record", "keep": 3}), "phases.talk.controllers.0.keep", "leaves out no edge"),
    (spec(OVER, decision={"kind": "distribution"}), "phases.talk.controllers.0.over", "no decision is a single answer"),
    (unweighed({"kind": "track_record"}), "phases.talk.controllers.0", "no prompt of the phase shows `weight`"),
    *(
        (unlinked(one), "phases.talk.controllers.0", "no edge among the speakers")
        for one in (CHOOSE, {"kind": "drop", "p": 0.5}, {"kind": "track_record", "keep": 2})
    ),
]


@pytest.mark.parametrize(("made", "path", "message"), MISTAKES)
def test_mistakes_are_reported_at_their_place(made: Spec, path: str, message: str) -> None:
    problems = check_scenario(made)
    assert [p for p in problems if p.path == path and message in p.message], problems
