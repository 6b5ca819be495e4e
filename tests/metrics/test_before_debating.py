"""Answers and votes before debating, and the vote after each round, on scripted runs worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from society.metrics.flips import Flips
from society.metrics.rounds import score_rounds
from society.metrics.summary import Summary, summarize
from society.report.verdict import weigh_change
from society.runs.records import DebateRecord, load_records, sameness
from society.runs.votes import rebuild_ballot
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.session import run

Make = Callable[..., Scenario]
JUDGED = """
task: {kind: inline, items: [{question: Q1, gold: 5}, {question: Q2, gold: 5}], answer: {equal: numeric}}
backends:
  s: {kind: scripted, rules: [{when: JUDGE, say: say 5}, {when: a-1, say: say 5}, {when: "", say: say 1}]}
roles:
  r: {prompt: "{{ name }} {{ question }}"}
  j: {prompt: "JUDGE {{ question }}{% for m in heard %} {{ m.text }}{% endfor %}"}
agents: {a: {count: 4, role: r}, judge: {role: j}}
phases:
  - {name: first, agents: [a]}
  - {name: verdict, agents: [judge], reads: [a]}
decision: {kind: judge, agent: judge}
"""
STUBBORN = """
task: {kind: inline, items: [ITEMS], answer: {equal: numeric}}
backends: {s: {kind: scripted, rules: [{when: a-1, say: The answer is 5}, {when: "", say: The answer is 1}]}}
roles: {r: {prompt: "{{ name }} {{ question }}", memory: 0}}
agents: {a: {count: 2, role: r}}
phases: [{name: talk, topology: complete, rounds: 2}]
decision: {kind: majority, ties: random}
"""
FORGETFUL = """
task: {kind: inline, items: [{question: Q1, gold: 5}, {question: Q2, gold: 5}], answer: {equal: numeric}}
backends: {s: {kind: scripted, rules: [{when: HEARD, say: no idea}, {when: "", say: The answer is 5}]}}
roles: {r: {prompt: "{{ name }} {{ question }}{% for m in heard %} HEARD{% endfor %}", memory: 0}}
agents: {a: {count: 3, role: r}}
phases: [{name: talk, topology: complete, rounds: 2}]
decision: {kind: majority, unparsed: earlier}
"""


def play(scenario: Scenario, folder: Path) -> tuple[Society, list[DebateRecord], Summary]:
    done = run(scenario, folder / "run", progress=False)
    society, records = expand(done.scenario), load_records(done)
    return society, records, summarize(society, records)


def test_one_agent_alone_is_no_judge_that_has_read_the_others(tmp_path: Path, scenario: Make) -> None:
    """One of four agents is right, and the judge, which reads them, always."""
    society, records, summary = play(scenario(JUDGED), tmp_path)
    assert (summary.alone.successes, summary.alone.n) == (2, 8)
    assert (summary.before.successes, summary.after.successes, summary.after.n) == (0, 2, 2)
    assert summary.moved == Flips(wrong_to_right=2)
    change = weigh_change(society, records)
    assert change is not None
    assert (change.before, change.difference.value) == (0, 1)


def test_a_drawn_tie_is_the_same_before_and_after_if_nobody_moves(tmp_path: Path, scenario: Make) -> None:
    """Nobody ever changes an answer, so the votes before, between and after have the same draws."""
    items = ", ".join(f"{{question: Q{i}, gold: 5}}" for i in range(20))
    society, records, summary = play(scenario(STUBBORN.replace("ITEMS", items)), tmp_path)
    right = sum(record.result.correct for record in records)
    assert 0 < right < 20
    assert summary.before.successes == summary.after.successes == right
    assert summary.moved == Flips(kept_right=right, kept_wrong=20 - right)
    assert [score.vote.successes for score in score_rounds(society, records)] == [right, right]
    rule, same = society.scenario.decision, sameness(society)
    again = [rule.decide(rebuild_ballot(society, record, same)) for record in records]
    assert again == [record.result.decision for record in records]


def test_votes_after_rounds_take_earlier_answers_where_the_decision_does(tmp_path: Path, scenario: Make) -> None:
    society, records, summary = play(scenario(FORGETFUL), tmp_path)
    assert (summary.last.successes, summary.after.successes) == (0, 2)
    assert [score.vote.successes for score in score_rounds(society, records)] == [2, 2]
    assert [score.answers.successes for score in score_rounds(society, records)] == [6, 0]
