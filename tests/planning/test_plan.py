"""A plan keeps no turn and parses equal replies once, and says what it says with a store and without that memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from society.planning.plan import Cost, Plan, make_plan
from society.results import Run
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.session import run
from society.store import Store

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SCRIPTED = (
    '{kind: scripted, rules: [{choose: ["It is Rome.", "It is Paris. Confidence: 90%", "No idea.", "Message 2."]}]}'
)
NAMES = ["choose_whom", "debate_summary", "dylan", "mad_conditional", "s2_mad", "tournament", "weighted_majority"]
LARGE = """
version: 1
name: large
task: {kind: arithmetic, form: a+b, limit: 2}
backends: {only: {kind: scripted, rules: [{choose: ["It is 7.", "It is 8.", "It is 9."]}]}}
roles:
  citizen: {memory: 0, prompt: "{{ question }} {% for m in heard %}{{ m.sender }} says {{ m.text }} {% endfor %}"}
agents: {citizen: {count: 1000}}
topologies: {net: {kind: scale_free, m: 2, seed: 4}}
phases: [{name: talk, topology: net, rounds: 2}]
"""


@contextmanager
def stored(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a plan keep its turns in a store, and parse every reply."""
    with Store(folder / "plan.sqlite") as store, patch.context() as patched:
        patched.setattr("society.planning.plan.Unstored", lambda: store)
        patched.setattr("society.planning.plan.parse_once", lambda parse: parse)
        yield


def untimed(plan: Plan) -> Plan:
    return plan if plan.likely is None else replace(plan, likely=replace(plan.likely, seconds=0.0))


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_is_that_with_a_store(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = SCENARIOS / f"{name}.yaml"
    scripted = [f"backends.{backend}={SCRIPTED}" for backend in load_scenario(path).backends]
    society = expand(load_scenario(path, [*scripted, "task.limit=2"]))
    found = make_plan(society)
    with stored(tmp_path, monkeypatch):
        expected = make_plan(society)
    assert untimed(found) == untimed(expected)
    assert found.likely is not None
    assert found.likely.calls > 0


def test_the_plan_of_a_large_society_keeps_its_numbers(tmp_path: Path) -> None:
    """The numbers are those of a plan that stored its turns, drew its prompts one by one and parsed each reply."""
    (tmp_path / "large.yaml").write_text(LARGE)
    plan = make_plan(expand(load_scenario(tmp_path / "large.yaml")))
    assert plan.likely is not None
    assert (plan.calibrated_on, replace(plan.likely, seconds=None)) == (2, Cost(2, 4000, 63_920, 12_000, None))
    assert plan.most == Cost(2, 4000, 2_083_872, 1_024_000, None)
    assert len(plan.worst) == 2000
    turn = plan.worst[1234]
    assert (turn.agent, turn.round, turn.prompt, turn.answer) == ("citizen-235", 2, 1038, 256)
    assert turn.reads == tuple((f"citizen-{i}", "talk", 1) for i in (24, 73, 399, 785))


@pytest.mark.parametrize(("most", "played"), [(20_000, 8), (100, 8), (17, 2), (3, 1)])
def test_few_debates_of_a_large_society_estimate_the_cost(
    most: int, played: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A debate here has 8 turns: 4 agents in two rounds."""
    (tmp_path / "small.yaml").write_text(LARGE.replace("1000", "4").replace("limit: 2", "limit: 8"))
    monkeypatch.setattr("society.planning.plan.MOST_TURNS", most)
    plan = make_plan(expand(load_scenario(tmp_path / "small.yaml")))
    assert plan.likely is not None
    assert (plan.calibrated_on, plan.likely.debates, plan.likely.calls) == (played, 8, 64)


REMEMBERING = """
version: 1
name: remembering
task: {kind: file, path: rows.jsonl, question: question, gold: null}
backends: {only: {kind: scripted, rules: [{say: "yes yes yes"}]}}
roles: {v: {prompt: "{{ now }} {% for m in memories %}{{ m.text }} {% endfor %}{{ question }}"}}
agents: {v: {role: v}}
phases: [{name: act}]
memory: {recall: {most: 20}}
clock: {field: time}
"""


@pytest.mark.parametrize(("questions", "at_least"), [(20, False), (40, True)])
def test_questions_that_build_on_each_other_are_played_in_their_order(
    questions: int, at_least: bool, tmp_path: Path
) -> None:
    rows = [f'{{"question": "Question {i}?", "time": "2024-02-{i // 24 + 1:02} {i % 24:02}:00"}}' for i in range(100)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "r.yaml").write_text(REMEMBERING)
    scenario = load_scenario(tmp_path / "r.yaml", [f"task.limit={questions}"], [tmp_path])
    plan = make_plan(expand(scenario))
    run(scenario, tmp_path / "run", progress=False)
    read = sum(turn.usage.prompt_tokens for turn in Run(tmp_path / "run").turns())
    assert plan.likely is not None
    assert plan.at_least == at_least
    assert (plan.likely.prompt_tokens < read) == at_least
    assert (plan.likely.prompt_tokens == read) != at_least


def test_a_plan_reports_turns_that_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.yaml").write_text(LARGE.replace("1000", "4"))
    monkeypatch.setattr("society.planning.plan.PAUSE", 0.0)
    said: list[str] = []
    make_plan(expand(load_scenario(tmp_path / "small.yaml")), 2, said.append)
    assert "--calibrate 0" in said[0]
    assert said[1:4] == [
        "Debating 2 questions for the estimate: at most 16 turns ...",
        *(f"  {n} turns are done." for n in (1, 2)),
    ]
