"""Numbers about voters in debates in which not every agent of the scenario has a vote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from society.metrics.method_columns import COLUMNS
from society.metrics.method_tables import describe_methods
from society.metrics.methods import compare_methods
from society.metrics.overview import read_overview
from society.metrics.reported import report_metrics
from society.metrics.rounds import score_rounds
from society.metrics.summary import summarize
from society.results import Run
from society.runs.records import load_records, sameness
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run

ROUTED = """
version: 1
name: routed
task: {kind: inline, items: [{question: Q1, gold: 5}, {question: Q2, gold: 5}], answer: {equal: numeric}}
backends:
  s: {kind: scripted, rules: [{when: ROUTE, say: a-1}, {when: a-1, say: say 5}, {when: "", say: say 1}]}
roles:
  r: {prompt: "{{ name }} {{ question }}{% for m in heard %} {{ m.text }}{% endfor %}", memory: 0}
  router: {prompt: "ROUTE {{ agents }}"}
agents: {a: {count: 4, role: r}, router: {role: router}}
phases:
  - {name: first, agents: [a]}
  - {name: second, agents: [a], topology: complete, controllers: [{kind: route, router: router, most: 1}]}
decision: distribution
metrics: [opinions, agreement, drift, polarization]
"""
SKIPPED = """
version: 1
name: skipped
task: {kind: inline, items: [{question: Q1, gold: 5}], answer: {equal: numeric}}
backends: {s: {kind: scripted, rules: [{when: "", say: say 5}]}}
roles: {r: {prompt: "{{ name }} {{ question }}", memory: 0}}
agents: {a: {count: 3}, judge: {}}
phases:
  - {name: first, agents: [a]}
  - {name: debate, agents: [a], topology: complete}
  - {name: verdict, agents: [judge], when: [disagreement]}
"""

PRUNED = """
version: 1
name: pruned
task: {kind: inline, items: [{question: Q1, gold: 5}], answer: {equal: numeric}}
backends: {s: {kind: scripted, rules: [{when: RANK, say: "1"}, {when: a-1, say: say 5}, {when: "", say: say 1}]}}
roles: {r: {prompt: "{{ name }} {{ question }}", memory: 0}, ranker: {prompt: RANK}}
agents: {a: {count: 4, role: r}, ranker: {role: ranker}}
phases:
  - {name: debate, agents: [a], topology: complete, rounds: 2, controllers: [{kind: prune, ranker: ranker, keep: 1}]}
"""


def play(folder: Path, text: str) -> Run:
    (folder / "scenario.yaml").write_text(text)
    return run(load_scenario(folder / "scenario.yaml"), folder / "run", progress=False)


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return play(tmp_path_factory.mktemp("routed"), ROUTED)


def test_metrics_are_of_agents_with_a_vote(routed: Run) -> None:
    """The router asks agent 1 alone, so that the other three have no vote."""
    assert {row.decision.voters for row in routed.results()} == {("a-1",)}
    found = {metric.kind: metric for metric in report_metrics(expand(routed.scenario), load_records(routed))}
    shares = {(n.number.name, n.number.stage, n.number.group): n.number for n in found["opinions"].estimates}
    assert shares["5", "second 1", "question-1"].value == 1
    assert "1" not in {name for name, *_ in shares}
    assert found["agreement"].answer == "Not known"  # one voter makes no pair
    assert found["drift"].estimates[0].number.n == 2  # one voter in each of two debates
    assert found["polarization"].answer == "Not known"


def test_numbers_of_skipped_verdicts_are_of_those_who_decided(tmp_path: Path) -> None:
    """The judge never speaks, as the three agents agree, so these have the votes."""
    found = play(tmp_path, SKIPPED)
    records = load_records(found)
    summary = summarize(expand(found.scenario), records)
    assert (summary.alone.successes, summary.alone.n, summary.flips.total) == (3, 3, 3)
    assert summary.before.successes == summary.after.successes == 1
    same = sameness(expand(found.scenario))
    assert COLUMNS["agreement"].measure(expand(found.scenario), records, same) == 1


def test_agents_that_were_taken_out_have_no_vote_after_it(tmp_path: Path) -> None:
    """Three of four agents answer 1, and only the fourth is left in round 2, with the right answer."""
    found = play(tmp_path, PRUNED)
    records = load_records(found)
    assert (records[0].result.decision.voters, records[0].result.correct) == (("a-1",), True)
    first, second = score_rounds(expand(found.scenario), records)
    assert (first.answers.successes, first.answers.n, first.vote.successes) == (1, 4, 0)
    assert (second.answers.successes, second.answers.n, second.vote.successes) == (1, 1, 1)


def test_tables_of_methods_say_why_there_is_no_accuracy(routed: Run) -> None:
    """The questions have true answers, and the rule gives no single answer: nothing is undecided or left out."""
    notes = describe_methods(compare_methods([routed]))
    assert "The decision rules give no single answer" in notes
    assert "no true answer" not in notes
    assert "not in the accuracy" not in notes
    assert "No debate was undecided" in notes


JUPITER = """
task: {kind: inline, items: [{question: "Which planet is the largest?", gold: Jupiter}]}
backends:
  scripted:
    kind: scripted
    rules:
      - {system: a, say: "The answer is Jupiter."}
      - {system: b, say: "The answer is SECOND."}
      - {system: c, say: "The answer is Mars."}
roles: {r: {system: "{{ name }}", prompt: "{{ question }}"}}
agents: {a: {role: r}, b: {role: r}, c: {role: r}}
phases: [{name: answer}]
"""


@pytest.mark.parametrize(("second", "split"), [("among the three: Jupiter", 1), ("the Jupiter", 0), ("Venus", 0)])
def test_right_answers_that_are_different_votes_are_counted(
    tmp_path: Path, scenario: Callable[..., Scenario], second: str, split: int
) -> None:
    done = run(scenario(JUPITER.replace("SECOND", second)), tmp_path / "run", progress=False)
    overview = read_overview(done)
    assert overview.last is not None
    assert overview.last.split_right == split
    assert ("1 debate with right answers that count as different votes" in overview.text()) == bool(split)
