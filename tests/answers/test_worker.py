"""Verdicts do not depend on the speed or load of the machine; a too costly comparison is undecided."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from society.answers import mathematics, undecided, worker
from society.answers.mathematics import same_math
from society.answers.worker import Worker
from society.core.errors import SocietyError


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """Return a function that creates a worker with one of the judges of `tests.answers.children`."""
    started: list[Worker] = []

    def start(judge: str, wall: float = 60.0) -> Worker:
        monkeypatch.setenv("JUDGE", judge)
        monkeypatch.setenv("MARK", str(tmp_path / "mark"))
        started.append(Worker("tests.answers.children", wall=wall))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_loading_libraries_has_no_limit(start) -> None:
    child = start("slow_to_start")
    assert child.ask("right") is True
    assert child.ask("wrong") is False


def test_a_question_that_is_slow_for_its_work_is_judged_all_the_same(start) -> None:
    child = start("slow_at_times")
    assert child.ask("right") is True
    assert child.ask("wrong") is False


@pytest.mark.parametrize(
    ("judge", "why"),
    [("cannot_import", "ImportError: No module named 'sympy'"), ("always_wrong", r"it judges \('right',\) as False")],
)
def test_a_process_that_cannot_judge_is_an_error_with_its_cause(start, judge: str, why: str) -> None:
    child = start(judge)
    for _ in range(2):
        with pytest.raises(SocietyError, match=why):
            child.ask("right")


def test_a_module_that_does_not_run_is_an_error_with_its_cause() -> None:
    with pytest.raises(SocietyError, match=r"No module named .*missing"):
        Worker("tests.answers.missing").ask("right")


@pytest.mark.slow
@pytest.mark.parametrize("judge", ["dies_once", "stops_once"])
def test_a_process_lost_from_outside_costs_no_verdict(start, judge: str) -> None:
    child = start(judge, wall=10.0)
    assert child.ask("right") is True
    assert child.ask("anything") is True


@pytest.mark.parametrize("judge", ["dies_always", "endless"])
def test_a_question_that_no_process_survives_is_undecided(start, judge: str) -> None:
    child = start(judge)
    assert child.ask("hostile") is None
    assert child.ask("right") is True


def test_undecided_depends_on_the_steps_of_a_question_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(rounds: int) -> bool:
        for _ in range(rounds):
            abs(rounds)
        return True

    monkeypatch.setattr(worker, "MAX_STEPS", 1000)
    assert worker._counted(judge, 400)
    with pytest.raises(worker.Overrun):
        worker._counted(judge, 600)


@pytest.mark.needs("math_verify")
def test_mathematics_on_a_slow_machine_is_as_on_a_fast_one() -> None:
    """Verdicts of a child whose quick limit is far below the time of any request."""
    code = (
        "from society.answers import worker, math_worker\n"
        "from functools import partial\n"
        "worker.QUICK_SECONDS = 1e-4\n"
        "judge = partial(worker.judge_in_time, math_worker.judge, clear_cache=math_worker.clear_cache)\n"
        "worker.serve(judge, ('x', 'x', 1e-6))\n"
    )
    pairs = '["(x+1)^2","x^2+2x+1",1e-6]\n["\\\\sqrt{8}","2\\\\sqrt{2}",1e-6]\n["x^2=4","x^2=5",1e-6]\n'
    done = subprocess.run([sys.executable, "-c", code], input=pairs, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['"ready"', "true", "true", "false"]


def test_an_undecided_comparison_is_different_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mathematics, "_verify", lambda a, b, tolerance: None)
    assert not same_math("x+17", "x+18")
    assert undecided.undecided_with("x+18", ["5", "x+17"]) == ["x+17"]
    assert undecided.undecided_with("x+19", ["5", "x+17"]) == []
