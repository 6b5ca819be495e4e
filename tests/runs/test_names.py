"""Names for people: personas beside agents, options beside letters, questions instead of ids, on every page alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from society.cli import main
from society.core.plain import list_some
from society.metrics.overview import read_overview
from society.report.data import build_index, read_runs
from society.results import Run
from society.runs.names import Names, list_options, name_question
from society.runs.records import load_records
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.session import run

TEXT = """
version: 1
name: hall
task: {kind: inline, items: ["Ban cars?", "Lower taxes?"], choices: ["yes", "no", "it depends"]}
backends:
  local: {kind: scripted, rules: [{when: "Ada.*C. it", say: "Answer: A"}, {when: "said", say: "Answer: C"}, {choose:
    ["Answer: C", "Answer: A"]}]}
roles:
  citizen: {prompt: "{{ persona.name }}, {{ question }}{% for m in heard %} said {{ m.text }}{% endfor %}"}
agents:
  citizen: {count: 3, persona: [{name: Ada, age: 48}, {name: Bob, age: 31}, {name: Cid, age: 62}]}
phases: [{name: debate, topology: complete, rounds: 2}]
metrics: [opinions, persuasion]
"""


def make(folder: Path, *overrides: str) -> Run:
    (folder / "hall.yaml").write_text(TEXT)
    return run(load_scenario(folder / "hall.yaml", overrides), folder / f"run-{len(overrides)}", progress=False)


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make(tmp_path_factory.mktemp("hall"))


def test_options_are_the_last_lettered_lines() -> None:
    assert list_options("Which?\nA. x\nB. y. z\nC. w") == {"A": "x", "B": "y. z", "C": "w"}
    assert list_options("A. a person\nWhich?\nA. x\nB. y\nD. w") == {"A": "x", "B": "y"}
    assert list_options("Which?") == {}
    assert name_question("Ban cars?\nA. yes") == "Ban cars?"


def test_many_names_begin_with_their_number() -> None:
    assert list_some(["a", "b"], 2) == "a, b"
    assert list_some(["a", "b", "c"], 2) == "3: a, b and 1 more"


def test_agents_have_the_names_of_their_personas(hall: Run) -> None:
    names = Names(expand(hall.scenario))
    assert names.agent("citizen-1") == "citizen-1 (Ada)"
    assert names.agent("citizen-1 → citizen-2") == "citizen-1 (Ada) → citizen-2 (Bob)"
    assert names.agent("nobody") == "nobody"


def test_the_summary_names_questions_and_options(hall: Run) -> None:
    [opinions, persuasion] = read_overview(hall).metrics
    assert re.search(r"Ban cars\? At the end [A-C]\. (yes|no|it depends) \(\d+%\)", opinions.sentence)
    assert "question-1" not in opinions.sentence
    assert {one.number.group for one in opinions.estimates} == {"question-1", "question-2"}
    assert {one.number.group for one in opinions.shown} == {"Ban cars?", "Lower taxes?"}
    won = [one.number for one in persuasion.shown if one.number.group]
    assert won
    assert all(re.match(r"citizen-\d \((Ada|Bob|Cid)\)", number.group) for number in won)


def test_the_report_names_personas_and_options(hall: Run) -> None:
    [found] = build_index(read_runs([hall]))["runs"]
    assert found["personas"] == {"citizen-1": "Ada", "citizen-2": "Bob", "citizen-3": "Cid"}
    for row in found["debates"]:
        for text, _, _, name in row["answers"]:
            assert name.startswith(f"{text}. ")
    [agents] = [figure for figure in found["figures"] if figure["id"] == "agents"]
    assert agents["rows"][0][0] == "citizen-1 (Ada)"


def test_show_names_personas_and_options(hall: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(hall.folder), "--number", "1"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"citizen-2 \(Bob\)  [A-C]\. (yes|it depends)", text)
    assert re.search(r"decided  [A-C]\. (yes|it depends)", text)
    assert "of 3 voters" in text


def test_headings_of_the_list_of_debates_keep_their_words(
    hall: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["show", str(hall.folder)]) == 0
    head = capsys.readouterr().out.split("1 ")[0]
    assert {"question", "answers,", "decision", "answer"} <= set(head.split())


def test_a_distribution_names_its_options(tmp_path: Path) -> None:
    made = make(tmp_path, "decision=distribution")
    names = Names(expand(made.scenario))
    for record in load_records(made):
        assert re.match(r"[A-C]\. (yes|no|it depends) \(\d+%\)", names.reason(record))
        assert names.decision(record) == names.support(record) == ""
