"""Debates are listed in the order of the task's questions, not of their ids as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.core.plain import natural_order
from society.report.data import build_index, read_runs
from society.runs.records import load_records
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run

TEXT = """
task: {kind: jsonl, path: trivia.jsonl, id: id, answer: {extract: [text]}}
backends: {scripted: {kind: scripted, rules: [{choose: ["yes", "no"]}]}}
roles: {talker: {prompt: "{{ question }}"}}
agents: {t: {count: 2, role: talker}}
phases: [{name: talk, rounds: 2, topology: complete}]
"""


def play(scenario: Callable[..., Scenario], folder: Path, ids: list[str] | None) -> Run:
    rows = [{"question": f"Is it {i}?", "answer": "yes"} for i in range(12)]
    if ids is not None:
        rows = [{**row, "id": name} for row, name in zip(rows, ids, strict=True)]
    (folder / "trivia.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return run(scenario(TEXT if ids is not None else TEXT.replace("id: id, ", "")), folder / "run")


@pytest.mark.parametrize("ids", [None, [f"q-{i}" for i in range(12, 0, -1)], [*"zyxwvutsrqpo"]])
def test_debates_stand_in_the_order_of_the_file(
    scenario: Callable[..., Scenario], tmp_path: Path, ids: list[str] | None
) -> None:
    done = play(scenario, tmp_path, ids)
    asked = [f"Is it {i}?" for i in range(12)]
    records = load_records(done)
    assert [record.result.question for record in records] == asked
    assert all({turn.id.item for turn in record.turns} == {record.result.item} for record in records)
    assert all(len(record.turns) == 4 for record in records)
    [shown] = build_index(read_runs([done]))["runs"]
    assert [row["question"] for row in shown["debates"]] == asked


def test_numbers_in_ids_are_numbers_where_the_order_is_not_known(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    done = play(scenario, tmp_path, [f"q-{i}" for i in range(1, 13)])
    (done.folder / "questions.json").unlink()
    assert [row.item for row in done.results()] == [f"q-{i}" for i in range(1, 13)]


@given(st.lists(st.text(max_size=8), max_size=6))
def test_any_ids_can_be_ordered(ids: list[str]) -> None:
    ordered = sorted(ids, key=natural_order)
    assert sorted(ordered) == sorted(ids)
    assert natural_order("trivia-2") < natural_order("trivia-10") < natural_order("trivia-10b")
