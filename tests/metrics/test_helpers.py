"""Turns of moderators and judges are no answers, and a judge's tokens are not the price of debating."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from society.metrics.budget import weigh_debating
from society.metrics.frames import edges_table
from society.metrics.influence import count_flows, measure_conformity
from society.metrics.lost import count_lost
from society.metrics.reported import report_metrics
from society.metrics.rounds import score_rounds
from society.metrics.tradeoff import first_answers
from society.pictures.agent_figures import agents_table
from society.results import Run
from society.runs.records import load_records
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run

MODERATED = """
task: {kind: inline, items: [{question: Q1, gold: 5}, {question: Q2, gold: 5}], answer: {equal: numeric}}
backends: {s: {kind: scripted, rules: [{when: MODERATE, say: a-1 please}, {when: "", say: say 5}]}}
roles:
  r:
    prompt: "{{ name }} {{ question }}{% for m in heard %} {{ m.text }}{% endfor %}{% if choices %} MODERATE{% endif %}"
    memory: 0
agents: {a: {count: 2, role: r}, mod: {role: r}}
phases:
  - {name: talk, agents: [a], schedule: moderated, moderator: mod, rounds: 3}
  - {name: vote, agents: [a, mod], topology: complete}
metrics: [polarization]
"""
GRADED = """
task: {kind: inline, items: [{question: Q1}, {question: Q2}], answer: {kind: judge, agent: judge}}
backends:
  s:
    kind: scripted
    rules:
      - {when: GRADE, say: "I think about it for long, and then my final verdict is this. Verdict: RIGHT"}
      - {when: a-1, say: The answer is 5}
      - {when: "", say: The answer is 1}
roles:
  r: {prompt: "{{ name }} {{ question }}", memory: 0}
  j: {prompt: "GRADE {{ question }} {{ judged.answer }}"}
agents: {a: {count: 4, role: r}, judge: {role: j}}
phases: [{name: talk, agents: [a], topology: complete, rounds: 2}]
"""


@pytest.fixture
def moderated(tmp_path: Path, scenario: Callable[..., Scenario]) -> Run:
    """Return a run in which the moderator's choice, "a-1 please", reads as the number 1."""
    return run(scenario(MODERATED), tmp_path / "run", progress=False)


def test_a_moderator_gives_no_first_answer(moderated: Run) -> None:
    pools = first_answers(load_records(moderated)).values()
    assert [{turn.id.agent for _, turn in pool} for pool in pools] == [{"a-1", "a-2"}] * 2


def test_nobody_is_convinced_by_the_choice_of_a_moderator(moderated: Run) -> None:
    society, records = expand(moderated.scenario), load_records(moderated)
    assert [(flow.sender, flow.reader, flow.differed) for flow in count_flows(society, records)] == [
        ("a-1", "a-2", 0),
        ("a-2", "a-1", 0),
    ]
    assert measure_conformity(society, records).followed.n == 0
    [polarization] = report_metrics(society, records)
    assert {one.number.value for one in polarization.estimates} <= {0, None}


def test_choices_of_a_moderator_are_neither_right_nor_unreadable(moderated: Run) -> None:
    edges = edges_table(moderated)
    assert edges[(edges.sender == "mod")].sender_right.isna().all()
    assert edges[(edges.reader == "mod")].right_before.isna().all()
    [record, _] = load_records(moderated)
    silent = replace(record, turns=tuple(replace(turn, answer=None) for turn in record.turns))
    speaking = [turn for turn in record.turns if not record.helps(turn)]
    assert count_lost(expand(moderated.scenario), [silent]).unreadable == len(speaking) == 6


def test_the_first_answer_of_an_agent_is_counted_in_whichever_round_it_comes(moderated: Run) -> None:
    """In the first question, the second agent speaks in the third round only; in the other it speaks first and errs."""
    society, (late, early) = expand(moderated.scenario), load_records(moderated)
    first = early.first(["a-2"])[0]
    assert [record.first(["a-2"])[0].id.round for record in (late, early)] == [3, 1]
    early = replace(early, turns=tuple(replace(t, answer="7") if t is first else t for t in early.turns))
    table = agents_table(society, [late, early], score_rounds(society, [late, early]))
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert (rows["a-2"]["first answer right"], rows["a-2"]["last answer right"]) == ("50.0%", "100.0%")


def test_the_grades_of_a_judge_buy_no_votes(tmp_path: Path, scenario: Callable[..., Scenario]) -> None:
    """Each debate has 8 answers of equal length, so its tokens buy 8 answers."""
    done = run(scenario(GRADED), tmp_path / "run", progress=False)
    society, records = expand(done.scenario), load_records(done)
    verdict = weigh_debating(society, records)
    assert (verdict.votes, verdict.tokens) == (8, 8 * verdict.tokens_per_answer)
    assert records[0].usage.generated_tokens > 1.5 * verdict.tokens
    assert [score.tokens for score in score_rounds(society, records)] == [verdict.tokens / 2, verdict.tokens]
