"""Mistakes in graphs, personas, metrics, answers, decisions and data: found by `check` at their line, with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from society.core.problems import Problem
from society.planning.preflight import check as check_all

SCENARIO = """\
version: 1
name: mistakes
task:
  kind: file
  path: rows.csv
  question: text
  gold: truth
  answer: {equal: numeric}
backends:
  only: {kind: scripted, rules: [{say: "It is 4."}]}
roles:
  citizen:
    prompt: |
      You are {{ persona.job }}. {{ question }}
      {% for m in heard %}{{ m.sender }}: {{ m.text }} {% endfor %}
  critic:
    prompt: |
      {{ question }} {{ sender }} writes to {{ reader }}: {{ heard[0].text }}
  plain:
    prompt: |
      {{ question }} {% for m in heard %}{{ m.text }} {% endfor %}
agents:
  citizen: {role: citizen, personas: people.csv}
  critic: {role: critic}
  router: {role: plain}
  grader: {role: plain}
topologies:
  net: {kind: small_world, k: 2, p: 0.3, redraw: [question]}
  two: {kind: union, of: [net, ring]}
  less: {kind: difference, of: complete, without: [net]}
phases:
  - name: open
    agents: [citizen]
    topology: two
    rounds: 2
  - name: close
    agents: [citizen]
    topology: less
    on_edges: critic
    controllers: [{kind: route, router: router, most: 2}]
  - name: end
    agents: [grader]
    reads: [citizen]
decision: {kind: majority, voters: [citizen]}
metrics: [{kind: agreement, level: interval}, {kind: polarization, scale: [0, 10]}]
"""
MISTAKES = [
    # the text, the mistake in its place, and words of the error
    ("topology: two", "topology: tow", "two"),
    ("of: [net, ring]", "of: [nett, ring]", "net"),
    ("of: [net, ring]", "of: [two, ring]", "two"),
    ("of: [net, ring]", "of: []", "least"),
    ("of: complete", "of: compleet", "complete"),
    ("without: [net]", "witout: [net]", "without"),
    ("without: [net]", "without: net", "list"),
    ("redraw: [question]", "redraw: [questions]", "question"),
    ("redraw: [question]", "redraw: question", "[question]"),
    ("k: 2, p: 0.3", "k: 9, p: 0.3", "k"),
    ("k: 2, p: 0.3", "k: 2, p: 3", "1"),
    ("k: 2, p: 0.3", "k: 3, p: 0.3", "an even number of at least 2"),
    ("kind: small_world", "kind: smallworld", "small_world"),
    ("on_edges: critic", "on_edges: critc", "critic"),
    ("on_edges: critic", "on_edges: citizen", "citizen"),
    ("on_edges: critic", "on_edge: critic", "on_edges"),
    ("router: router", "router: rooter", "router"),
    ("router: router", "router: citizen", "citizen"),
    ("most: 2", "most: 0", "1"),
    ("most: 2", "most: 2, scope: phases", "phase"),
    ("kind: route", "kind: rout", "route"),
    ("personas: people.csv", "personas: peple.csv", "exist"),
    ("personas: people.csv", "personas: people.csv, persona: a clerk", "remove one"),
    ("personas: people.csv", "personas: people.docx", ".csv"),
    ("{{ persona.job }}", "{{ persona.jobb }}", "job"),
    ("{{ persona.job }}", "{{ person.job }}", "persona"),
    ("{{ m.text }} {% endfor %}\n  critic", "{{ m.txt }} {% endfor %}\n  critic", "text"),
    ("{{ reader }}", "{{ readr }}", "reader"),
    ("path: rows.csv", "path: row.csv", "row.csv"),
    ("question: text", "question: txt", "text"),
    ("gold: truth", "gold: truht", "truth"),
    ("gold: truth", "golds: truth", "gold"),
    ("kind: file", "kind: files", "file"),
    ("equal: numeric", "equal: numbers", "numeric"),
    ("{equal: numeric}", "{kind: judge, agent: gradr}", "grader"),
    ("{equal: numeric}", "{kind: judge, agent: citizen}", "citizen"),
    ("{equal: numeric}", "{kind: judgee}", "judge"),
    ("{equal: numeric}", "{kind: aliases, field: names}", "field"),
    ("voters: [citizen]", "voters: [citizens]", "citizen"),
    ("voters: [citizen]", "voter: [citizen]", "voters"),
    ("kind: majority", "kind: majorty", "majority"),
    ("kind: agreement", "kind: agreemnt", "agreement"),
    ("level: interval", "level: intervals", "interval"),
    ("scale: [0, 10]", "scale: [10, 0]", "lower"),
    ("scale: [0, 10]", "scale: [0]", "scale"),
    ("scale: [0, 10]", "scal: [0, 10]", "scale"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mistakes")
    (path / "people.csv").write_text("job,age\na clerk,30\na nurse,40\na cook,50\na smith,60\n")
    (path / "rows.csv").write_text("text,truth\nWhat is 2 + 2?,4\nWhat is 1 + 3?,4\n")
    return path


def check(folder: Path, text: str) -> list[Problem]:
    path = folder / "s.yaml"
    path.write_text(text)
    return check_all(path, allow=[folder])


def test_the_scenario_without_a_mistake_has_no_error(folder: Path) -> None:
    assert not [str(problem) for problem in check(folder, SCENARIO) if problem.level == "error"]


@pytest.mark.parametrize(
    ("right", "wrong", "words"), MISTAKES, ids=[f"{wrong} ({words})" for _, wrong, words in MISTAKES]
)
def test_a_mistake_is_found_at_its_line(folder: Path, right: str, wrong: str, words: str) -> None:
    assert SCENARIO.count(right) == 1
    text = SCENARIO.replace(right, wrong)
    first = text[: text.index(wrong)].count("\n") + 1
    problems = check(folder, text)
    found = [str(problem) for problem in problems if first <= problem.line <= first + wrong.count("\n")]
    assert any(words in problem for problem in found), problems


@pytest.mark.parametrize(("field", "remedy"), [("level", "level: nominal"), ("scale", "remove it")])
def test_a_metric_of_numbers_over_other_answers_is_found(folder: Path, field: str, remedy: str) -> None:
    found = check(folder, SCENARIO.replace("equal: numeric", "equal: exact"))
    (problem,) = [problem for problem in found if problem.path.endswith(f".{field}")]
    assert problem.level == "warning"
    assert remedy in problem.message


def test_a_router_that_may_leave_voters_without_an_answer_is_found(folder: Path) -> None:
    routed = SCENARIO.replace("most: 2", "most: 2, scope: phase")
    assert not [problem for problem in check(folder, routed) if problem.path.endswith(".scope")]
    only = routed.replace("  - name: open\n    agents: [citizen]\n    topology: two\n    rounds: 2\n", "")
    (problem,) = [problem for problem in check(folder, only) if problem.path.endswith(".scope")]
    assert "without an answer" in problem.message
    assert "remove `scope`" in problem.message


def test_a_cycle_in_a_large_graph_is_found(folder: Path) -> None:
    large = SCENARIO.replace("personas: people.csv", "personas: people.csv, count: 400").replace(
        "of: [net, ring]", "of: [ring, chain]"
    )
    large = large.replace("topology: two", "topology: two\n    schedule: topological")
    assert any("without cycles" in problem.message for problem in check(folder, large))


def test_too_many_graphs_are_counted(folder: Path) -> None:
    many = "".join(f"  g{i}: ring\n" for i in range(1000))
    (problem,) = check(folder, SCENARIO.replace("phases:\n", f"{many}phases:\n"))
    assert "has 1,003 entries; at most 1,000" in problem.message
