"""Personas with fields, and personas from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.core.errors import ScenarioError
from society.planning.preflight import check
from society.results import Run
from society.runs.run import Run as StoredRun
from society.scenario import check_scenario, load_scenario
from society.scenario.expand import expand
from society.session import run

YAML = """
version: 1
name: people
task: {kind: arithmetic, form: a+b, limit: 1}
backends: {one: {kind: scripted, rules: [{say: "3"}]}}
roles: {citizen: {system: "SYSTEM", prompt: "{{ question }}"}}
agents: {citizen: GROUP}
phases: [{name: answer}]
"""
CSV = 'name,age,zip\nAnn,34,01234\nBob,51,"9,9"\nCem,-7,x\n'


def write(folder: Path, group: str, system: str = "{{ persona }}") -> Path:
    path = folder / "people.yaml"
    path.write_text(YAML.replace("GROUP", group).replace("SYSTEM", system))
    return path


def personas(path: Path, *overrides: str) -> list[Any]:
    plans = expand(load_scenario(path, overrides)).phases[0].agents
    return [plan.persona for plan in plans.values()]


PEOPLE = [
    {"name": "Ann", "age": 34, "zip": "01234"},
    {"name": "Bob", "age": 51, "zip": "9,9"},
    {"name": "Cem", "age": -7, "zip": "x"},
]
FILES = {
    "people.csv": CSV,
    "people.tsv": "name\tage\tzip\nAnn\t34\t01234\nBob\t51\t9,9\nCem\t-7\tx\n",
    "people.jsonl": "\n".join(json.dumps(row) for row in PEOPLE) + "\n\n",
    "people.yml": "".join(f"- {json.dumps(row)}\n" for row in PEOPLE),
    "people.json": json.dumps(PEOPLE),
    "semicolons.csv": "\ufeffname;age;zip\r\nAnn;34;01234\r\nBob;51;9,9\r\nCem;-7;x\r\n",
}


@pytest.mark.parametrize("name", FILES)
def test_each_format_gives_the_same_personas(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name], newline="")
    path = write(tmp_path, f"{{personas: {name}}}")
    assert personas(path) == PEOPLE
    assert check_scenario(path) == []
    assert personas(path, "agents.citizen.count=2") == PEOPLE[:2]
    assert personas(path, "agents.citizen.count=5") == [*PEOPLE, *PEOPLE[:2]]


def test_prompts_show_fields_and_runs_keep_the_personas(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(CSV)
    system = "{{ persona.name }} {{ persona.age + 1 }} {{ persona['zip'] }}|{{ persona }}"
    path = write(tmp_path, "{personas: people.csv}", system)
    run(path, tmp_path / "run", progress=False)
    shown = [turn.messages[0].content for turn in Run(tmp_path / "run").turns()]
    assert shown[0] == "Ann 35 01234|name: Ann, age: 34, zip: 01234"
    (tmp_path / "people.csv").unlink()
    assert [plan.persona for plan in expand(StoredRun(tmp_path / "run").scenario).phases[0].agents.values()] == PEOPLE


def test_one_column_of_texts_is_a_text_and_a_field_of_that_name_is_shown(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("persona\na nurse\na guide\n")
    assert personas(write(tmp_path, "{personas: p.csv}")) == ["a nurse", "a guide"]
    (tmp_path / "p.csv").write_text("id,persona\n1,a nurse\n")
    assert [str(persona) for persona in personas(write(tmp_path, "{personas: p.csv}"))] == ["a nurse"]


@given(st.lists(st.text(st.sampled_from("0123456789.-e+_ ,\"ab'"), min_size=1), min_size=1, max_size=5))
def test_cells_are_kept_as_written_unless_all_are_numbers(cells: list[str]) -> None:
    from society.scenario.reading.personas import _find_kind

    kind = _find_kind(cells)
    assert kind is str or all(abs(kind(cell) - float(cell)) < 1e-9 * max(1.0, abs(float(cell))) for cell in cells)
    if kind is int:
        assert [str(int(cell)) for cell in cells] == [
            cell.replace("-0", "0") if cell == "-0" else cell for cell in cells
        ]


MISTAKES = [
    ("{personas: peple.csv}", "people.yaml:7:", "does not exist"),
    ("{personas: ../people.csv}", "people.yaml:7:", "outside the folders"),
    ("{personas: people.xlsx}", "people.yaml:7:", "is no file of personas"),
    ("{personas: people.csv, persona: x}", "people.yaml:7:", "exclude each other"),
    ("{personas: short.csv}", "short.csv:3:", "the row has 1 cells"),
    ("{personas: twice.csv}", "twice.csv:1:", "twice"),
    ("{personas: empty.csv}", "people.yaml:7:", "has no personas"),
    ("{personas: large.csv}", "people.yaml:7:", "more than 5,000,000 characters"),
    ("{personas: bad.jsonl}", "bad.jsonl:2:", "not JSON"),
    ("{personas: bad.yaml}", "bad.yaml:1:", "is no list"),
    ("{personas: deep.jsonl}", "deep.jsonl:1:", "should be"),
    ("{personas: people.csv, count: 4}", "people.yaml:7:", "exceeds the 3 personas of the file"),
    ("{persona: {age: 3}}", "people.yaml:6:", "has no field 'name'"),
    ("{persona: old}", "people.yaml:6:", "has no fields"),
]


@pytest.mark.parametrize(("group", "place", "message"), MISTAKES)
def test_mistakes_are_reported_at_their_line(group: str, place: str, message: str, tmp_path: Path) -> None:
    contents = {
        "people.csv": CSV,
        "people.xlsx": "PK",
        "short.csv": "name,age\nAnn,3\nBob\n",
        "twice.csv": "a,a\n1,2\n",
        "empty.csv": "name,age\n",
        "large.csv": "name\n" + f"{'x' * 1_000_000}\n" * 5,
        "bad.jsonl": '{"name": "Ann"}\n{"name": \n',
        "bad.yaml": "name: Ann\n",
        "deep.jsonl": '{"name": {"first": "Ann"}}\n',
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    problems = check_scenario(write(tmp_path, group, "{{ persona.name }}"))
    found = [p for p in problems if place in f"{p.file}:{p.line}:" and message in p.message]
    assert found, problems


@pytest.mark.parametrize("cell", ["", "n/a"])
def test_a_cell_that_makes_a_column_text_is_named_with_its_line(cell: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(f"name,age\nAnn,34\nBob,51\nCem,{cell}\nDan,7\n")
    [found] = check_scenario(write(tmp_path, "{personas: p.csv}"))
    assert (found.level, found.line, Path(found.file).name) == ("warning", 4, "p.csv")
    assert "the column 'age' is text" in found.message
    assert f"such as {cell!r}" in found.message


@pytest.mark.parametrize(
    ("rows", "says"), [([{"name": "Ann"}], "age"), ([{"name": "Ann", "age": "old"}], "a text and a number")]
)
def test_an_operator_says_why_it_cannot_be_applied(rows: list[dict[str, str]], says: str, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = write(tmp_path, "{personas: p.jsonl}", "{{ persona.name }} {{ persona.age + 1 }}")
    [found] = [problem for problem in check(path) if problem.level == "error"]
    assert says in found.message
    assert "small numbers" not in found.message


def test_a_field_that_is_tested_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"name": "Ann"}\n{"name": "Bob", "age": 3}\n')
    system = "{{ persona.name }}{% if persona.age is defined %}{{ persona.age }}{% endif %}"
    assert check_scenario(write(tmp_path, "{personas: p.jsonl}", system)) == []


def test_a_thousand_personas_are_read_and_checked(tmp_path: Path) -> None:
    rows = "".join(f"person {i},{20 + i % 60},job {i % 40}\n" for i in range(1000))
    (tmp_path / "people.csv").write_text(f"name,age,job\n{rows}")
    path = write(tmp_path, "{personas: people.csv}")
    assert check_scenario(path) == []
    assert len(personas(path)) == 1000
    with pytest.raises(ScenarioError):
        load_scenario(path, "agents.citizen.personas=gone.csv")


def test_a_list_in_place_of_a_file_has_the_key_for_lists() -> None:
    made = {
        "version": 1,
        "name": "listed",
        "task": {"kind": "inline", "items": ["one"]},
        "backends": {"dry": {"kind": "scripted", "rules": [{"say": "yes"}]}},
        "roles": {"v": {"prompt": "{{ persona }} {{ question }}"}},
        "agents": {"v": {"role": "v", "personas": ["a", "b"]}},
        "phases": [{"name": "act"}],
    }
    [problem] = check_scenario(made)
    assert (problem.path, "write a list of personas as `persona`" in problem.message) == ("agents.v.personas", True)
