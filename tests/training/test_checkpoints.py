"""Checkpoints within a finetuning, as a run sees them: removed when the result is stored, and never outside the run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.training import checkpoint_of
from society.components.plugin_files import load_plugins, set_plugins
from society.core.errors import RunFolderError, StoreError
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store import Store
from society.training.prune import prune_run
from tests.training.test_rules import GUESSER, LEARNERS, SOCIETY


@pytest.fixture
def scenario() -> Iterator[Scenario]:
    load_plugins(GUESSER)
    yield Scenario(**SOCIETY, train={"iterations": 1, "questions": 9, "learners": LEARNERS})
    set_plugins()


def write_checkpoint(folder: Path) -> None:
    place = checkpoint_of(folder) / "3"
    place.mkdir(parents=True, exist_ok=True)
    (place / "0.pt").write_bytes(b"state")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    """Let the backend write a checkpoint of each finetuning."""
    kind = type(next(iter(scenario.backends.values())).open())
    real = kind.train

    async def train(self: Any, examples: Any, settings: Any, start: Any, folder: Path, **options: Any) -> Any:
        write_checkpoint(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return await real(self, examples, settings, start, folder, **options)

    monkeypatch.setattr(kind, "train", train)


@pytest.mark.usefixtures("written")
def test_a_checkpoint_goes_when_the_result_is_stored(scenario, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise StoreError("The disk is full.", "Free space.")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add_training", fail)
        with pytest.raises(StoreError):
            run(scenario, tmp_path / "run")
    assert list(tmp_path.rglob("0.pt"))  # the finetuning can go on from there
    run(scenario, tmp_path / "run", resume=True)
    assert not list(tmp_path.rglob("0.pt"))


def test_prune_removes_checkpoints_of_finished_finetunings_alone(scenario, tmp_path):
    folder = run(scenario, tmp_path / "run").folder
    done = next(row for row in Run(folder).adapters() if row.hash)
    unfinished = folder / "adapters" / "2" / "generator" / "a"
    for path in (folder / done.path, unfinished):
        write_checkpoint(path)
    assert prune_run(folder) == ([str(checkpoint_of(Path(done.path)))], 5, "")
    assert checkpoint_of(unfinished).is_dir()
    assert (folder / done.path).is_dir()


def test_a_link_in_place_of_a_checkpoint_is_refused(scenario, tmp_path):
    folder = run(scenario, tmp_path / "whole").folder
    learned = next(row for row in Run(folder).adapters() if row.hash)
    strange = tmp_path / "strange" / learned.path
    strange.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    checkpoint_of(strange).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="link"):
        run(scenario, tmp_path / "strange", resume=True)
