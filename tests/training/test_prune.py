"""Adapters that no later iteration needs are removed; the run then resumes exactly, or is refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from society.cli import main
from society.components.plugin_files import load_plugins, set_plugins
from society.core.errors import InputError, RunFolderError
from society.runs.files import PRUNED
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store.rows import AdapterRow
from society.training.prune import find_prunable, prune_run
from tests.faults.injection import contents
from tests.training.test_rules import GUESSER, LEARNERS, SOCIETY

EVALUATION = "SELECT item FROM results WHERE split = 'evaluation'"
Make = Callable[..., Scenario]


@pytest.fixture
def make() -> Iterator[Make]:
    load_plugins(GUESSER)

    def load(**train: Any) -> Scenario:
        return Scenario(**SOCIETY, train={"iterations": 3, "questions": 9, "learners": LEARNERS, **train})

    yield load
    set_plugins()


def list_adapters(folder: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(folder)) for path in folder.glob("adapters/*/**/adapter"))


def edit(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "store.sqlite")) as db, db:
        db.execute(statement)


def test_a_pruned_run_resumes_exactly(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(make(), tmp_path / "run").folder
    before, files = contents(folder), list_adapters(folder)
    assert main(["prune", str(folder), "--dry-run", "--plugins", str(GUESSER)]) == 0
    assert "To be freed" in capsys.readouterr().out
    assert list_adapters(folder) == files
    paths, size, kept = prune_run(folder)
    assert kept == ""
    assert size > 0
    assert sorted([*list_adapters(folder), *paths]) == files
    latest = {(row.learner, row.agent): row.path for row in Run(folder).adapters() if row.hash}
    assert list_adapters(folder) == sorted(latest.values())
    assert any("adapters/2/" in path for path in paths)
    run(make(), folder, resume=True)
    after = contents(folder)
    assert {**after, "meta": before["meta"]} == before
    assert prune_run(folder) == ([], 0, "")
    more = run(make(iterations=4), folder, resume=True)
    whole = run(make(iterations=4), tmp_path / "whole")
    assert {**contents(more.folder), "meta": []} == {**contents(whole.folder), "meta": []}


def test_a_run_that_needs_a_pruned_adapter_is_refused(make: Make, tmp_path: Path) -> None:
    folder = run(make(), tmp_path / "run").folder
    prune_run(folder)
    with pytest.raises(RunFolderError, match="society prune"):
        Run(folder).open_adapter(next(row for row in Run(folder).adapters() if row.hash))
    edit(folder, f"DELETE FROM turns WHERE iteration = 2 AND phase = 'debate' AND item IN ({EVALUATION})")
    before = Run(folder).count_turns()
    with pytest.raises(InputError, match=r"needs the adapter .* which `society prune` removed"):
        run(make(), folder, resume=True)
    assert Run(folder).count_turns() == before


def test_adapters_of_failed_turns_stay(make: Make, tmp_path: Path) -> None:
    folder = run(make(), tmp_path / "run").folder
    edit(folder, "UPDATE turns SET status = 'failed' WHERE rowid = (SELECT max(rowid) FROM turns WHERE iteration = 1)")
    paths = prune_run(folder).paths
    assert paths
    assert all("adapters/2/" in path for path in paths)
    run(make(), folder, resume=True)


def row(iteration: int, learner: str = "a", name: str | None = "hash") -> AdapterRow:
    return AdapterRow(iteration, learner, "*", name, f"adapters/{iteration + 1}/{learner}", "", 1, {}, (), 1, 1.0)


def test_the_latest_adapter_of_each_learner_stays() -> None:
    rows = [row(0), row(1), row(2), row(0, "b"), row(1, "b", None), row(2, "b", None)]
    assert find_prunable(rows, []) == [row(0), row(1)]
    assert find_prunable(rows, [1]) == [row(1)]
    assert find_prunable(rows, [2]) == [row(0)]
    assert find_prunable([row(0), row(1, name=None), row(2)], [2]) == []
    assert find_prunable([row(0), row(1, name=None), row(2)], [3]) == [row(0)]
    assert find_prunable([*rows[:3], row(3)], [], best=0) == rows[:3]
    assert find_prunable([*rows[:3], row(3)], [], best=2) == [row(0), row(2)]
    assert find_prunable([row(0), row(1, name=None), row(2)], [], best=2) == []
    assert json.dumps([r.path for r in find_prunable(rows, [])]) == '["adapters/1/a", "adapters/2/a"]'


def test_the_adapters_to_which_the_guard_returned_stay(make: Make, tmp_path: Path) -> None:
    guard = {"signal": "agreement", "errors": 0, "patience": 1}
    scenario = make(guard=guard, iterations=6, majority=0, quorum=1).model_copy(update={"seed": 3})
    folder = run(scenario, tmp_path / "run").folder
    kept = [row for row in Run(folder).adapters() if row.back_to]
    assert kept  # the best iteration was after a finetuning
    paths = prune_run(folder).paths
    assert paths
    assert not {row.path for row in kept} & set(paths)
    edit(folder, f"DELETE FROM turns WHERE iteration = 6 AND phase = 'debate' AND item IN ({EVALUATION})")
    run(scenario, folder, resume=True)


def guarded(make: Make, iterations: int, then: str = "best") -> Scenario:
    """Return a scenario whose guard returns to iteration 1 once it has more than two iterations."""
    guard = {"signal": "margin", "errors": 0, "patience": 1, "then": then}
    scenario = make(guard=guard, iterations=iterations, majority=0, quorum=1)
    return scenario.model_copy(update={"seed": 1})


def test_the_adapters_to_which_the_guard_may_return_stay(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(guarded(make, 2), tmp_path / "run").folder
    assert main(["prune", str(folder), "--plugins", str(GUESSER)]) == 0
    said = capsys.readouterr().out
    assert "stay: the guard may return to iteration 1" in said
    assert "adapters/1/critic/solver-1" in said
    files = list_adapters(folder)
    assert [path for path in files if path.startswith("adapters/1/")]
    more = run(guarded(make, 6), folder, resume=True)
    assert {row.back_to for row in more.adapters()} == {None, 1}
    whole = run(guarded(make, 6), tmp_path / "whole")
    assert {**contents(folder), "meta": []} == {
        **contents(whole.folder),
        "meta": [],
        "texts": contents(folder)["texts"],
    }


def test_a_guard_that_needs_pruned_adapters_ends_nothing(make: Make, tmp_path: Path) -> None:
    folder = run(guarded(make, 2), tmp_path / "run").folder
    shutil.rmtree(folder / "adapters" / "1")
    gone = json.dumps([row.path for row in Run(folder).adapters() if row.path.startswith("adapters/1/")])
    edit(folder, f"INSERT OR REPLACE INTO meta VALUES ('{PRUNED}', '{gone}')")  # as an earlier version pruned
    with pytest.raises(RunFolderError, match=r"needs its adapter .*adapters/1/.*, which `society prune` removed"):
        run(guarded(make, 6), folder, resume=True)
    assert not [row for row in Run(folder).adapters() if row.back_to is not None]


def test_without_a_return_no_adapters_are_kept_for_the_guard(make: Make, tmp_path: Path) -> None:
    folder = run(guarded(make, 2, then="stop"), tmp_path / "run").folder
    paths, _, kept = prune_run(folder)
    assert paths
    assert kept == ""


def test_a_run_without_a_guard_is_pruned_without_its_plugins(make: Make, tmp_path: Path) -> None:
    folder = run(make(iterations=2), tmp_path / "run").folder
    set_plugins()
    assert prune_run(folder).paths


def test_failed_turns_keep_all_adapters_to_which_the_guard_may_return(make: Make, tmp_path: Path) -> None:
    """Generated again, they may make another iteration the best one."""
    folder = run(guarded(make, 2), tmp_path / "run").folder
    edit(folder, "UPDATE turns SET status = 'failed' WHERE rowid = (SELECT max(rowid) FROM turns WHERE iteration = 2)")
    paths, _, kept = prune_run(folder, dry=True)
    assert paths == []
    assert "resume the run first" in kept
