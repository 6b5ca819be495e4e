"""An undecided comparison is recorded in the store, and shown by `society run`, `show` and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from society import run
from society.answers import mathematics
from society.cli import main
from society.report.trouble import find_trouble
from society.runs.records import load_records
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario

HARD = """
version: 1
name: hard
task: {kind: arithmetic, limit: 1, answer: {extract: [text], equal: math}}
backends: {scripted: {kind: scripted, rules: [{when: first, say: "x+17"}, {say: "x+18"}]}}
roles: {first: {prompt: first}, second: {prompt: second}}
agents: {first: {role: first}, second: {role: second}}
phases: [{name: debate, topology: complete, rounds: 1}]
"""


def test_answers_that_nobody_could_compare_are_told_of(
    scenario: Callable[..., Scenario],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mathematics, "_verify", lambda a, b, tolerance: None)
    loaded = scenario(HARD)
    done = run(loaded, tmp_path / "run")
    turns = list(done.turns())
    assert [turn.answer for turn in turns] == ["x+17", "x+18"]
    for turn, other in zip(turns, reversed(turns), strict=True):
        assert turn.status == "ok"
        assert turn.error.startswith(f"Whether {turn.answer!r} is ")
        assert "takes too much work to decide" in turn.error
        assert other.answer != turn.answer
    assert main(["run", str(tmp_path / "scenario.yaml"), "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert "2 replies: a pattern, or comparing their answers, takes too long" in capsys.readouterr().out
    assert main(["show", str(done.folder), "--item", "1"]) == 0
    assert "takes too much work to decide" in capsys.readouterr().out
    [trouble] = find_trouble(expand(loaded), load_records(done), 1)
    assert (trouble["question"], trouble["answer"]) == ("Was every reply read to its end?", "No")
