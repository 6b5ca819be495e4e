"""Trainings that a guard ends: what a resumed run removes, keeps and exports."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import society
from society.components.plugin_files import set_plugins
from society.core.errors import InputError
from society.metrics.iterations import run_iterations
from society.metrics.overview import read_overview
from society.runs.run import Run
from society.store.rows import AdapterRow
from society.training.export import TrainingExport
from tests.faults.injection import contents
from tests.training.test_prune import list_adapters
from tests.training.turning import FAILS

TURNING = Path(__file__).with_name("turning.py")
SOCIETY: dict[str, Any] = {
    "version": 1,
    "name": "turning",
    "task": {"kind": "arithmetic", "form": "a+b", "high": 9, "limit": 3},
    "backends": {"local": "turning"},
    "roles": {"proposer": {"prompt": "propose {{ question }}"}, "debater": {"prompt": "debate {{ question }}"}},
    "agents": {"solver": {"role": "proposer", "count": 3}},
    "phases": [
        {"name": "propose"},
        {"name": "debate", "topology": "complete", "bind": {"solver": {"role": "debater"}}},
    ],
}
LEARNERS = {"generator": {"phases": ["propose"], "turn": "first"}, "critic": {"phases": ["debate"]}}

Train = Callable[..., Run]


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Train]:
    """Return a function that trains a society whose agreement falls in iteration 2, or resumes its training."""
    society.load_plugins(TURNING)

    def run(name: str = "run", iterations: int = 5, **guard: Any) -> Run:
        watch = {"signal": "agreement", "errors": 0, "patience": 1, **guard}
        spec = {"iterations": iterations, "questions": 8, "guard": watch, "learners": LEARNERS}
        out = tmp_path / name
        society.run(society.Scenario(**SOCIETY, train=spec), out, progress=False, resume=out.exists())
        return Run(out)

    yield run
    set_plugins()


def trace(run: Run) -> dict[str, Any]:
    """Return the contents of a run's store, except texts that no row refers to."""
    return {table: found for table, found in contents(run.folder).items() if table not in ("texts", "meta")}


@pytest.mark.parametrize("then", ["best", "stop"])
def test_a_guard_that_ends_earlier_leaves_nothing_of_later_iterations(
    train: Train, then: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train("whole", then=then)
    with monkeypatch.context() as patched:
        patched.setenv(FAILS, "1")
        broken = train(then=then)
    assert [score.alarm for score in run_iterations(broken)] == [None] * 6
    assert max(row.iteration for row in broken.adapters()) == 4
    turns = len(broken.turns("iteration IN (3, 4)"))
    assert turns
    with caplog.at_level(logging.WARNING):
        mended = train(then=then)
    removed = f"iteration 2: 18 finetunings of this and later iterations and {turns} turns of later ones are removed"
    assert caplog.text.count(removed) == 1
    assert trace(mended) == trace(whole)
    assert list_adapters(mended.folder) == list_adapters(whole.folder)
    assert read_overview(mended).rows()[:-1] == read_overview(whole).rows()[:-1]  # all but the folder
    caplog.clear()
    assert trace(train(then=then)) == trace(whole)
    assert "removed" not in caplog.text


def test_the_export_has_the_weights_of_the_last_evaluation(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv(FAILS, "1")
        train(then="stop")
    run = train(then="stop")
    exported = {row.hash for row in TrainingExport(run, tmp_path).rows.values()}
    assert exported == {turn.adapter for turn in run.turns("iteration = 5")}
    assert "after 2 finetunings" in TrainingExport(run, tmp_path)._head()


def test_there_is_nothing_to_export_of_the_untrained_society(train: Train, tmp_path: Path) -> None:
    run = train()
    with pytest.raises(InputError, match="guard returned to the weights before any finetuning"):
        _ = TrainingExport(run, tmp_path).rows
    assert {row.iteration for row in TrainingExport(run, tmp_path, iteration=2).rows.values()} == {1}


def row(iteration: int, back_to: int | None = None) -> AdapterRow:
    path = f"adapters/{iteration + 1 if back_to is None else back_to}/a"
    return AdapterRow(iteration, "a", "*", "hash", path, "", 1, {}, (), 1, 1.0, back_to=back_to)


def test_an_export_names_the_finetunings_of_its_weights(train: Train, tmp_path: Path) -> None:
    export = TrainingExport(train(), tmp_path)
    export.__dict__["rows"] = {("a", "*"): row(3, back_to=1)}
    assert "after 1 finetuning." in export._head()
