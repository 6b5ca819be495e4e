"""Faults of a finetuning and of a real model: SIGKILL, power cuts, full disks, failing backends, Ctrl-C.

`make torture` repeats a part of them many times (tests/faults/torture.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backends.hf.decode import Batch
from backends.llama_cpp.native import Context
from society.core.interrupt import Interrupted
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run
from tests.core.test_interrupt import AfterTurns
from tests.faults.injection import Counter, check, contents, execute, restore, texts
from tests.faults.test_faults import needs_preload
from tests.faults.torture import cut, fill, kill, llama, training


@pytest.mark.slow
@needs_preload
def test_killed_in_a_finetuning_and_resumed_equals_uninterrupted() -> None:
    """Equal turns, results, hashes of adapters and origins of training rows; no half-written adapter at any time."""
    assert kill("training", 2, 0, print)["kills"] == 2


@needs_preload
def test_a_power_cut_in_a_finetuning_leaves_every_adapter_that_the_store_knows() -> None:
    """Every adapter of the store is whole, with the stored weights, whatever part of the unsynced data is lost."""
    assert cut("training", 12, 0, print)["finished"] == 2


@needs_preload
def test_no_finished_training_is_lost_to_a_power_cut(tmp_path: Path) -> None:
    """When an adapter gets its name, the store on the disk has all adapters that were trained before it."""
    recorded = training(tmp_path).record(tmp_path / "log")
    named = [i for i, c in enumerate(recorded.changes) if c.kind == "r" and "/adapters/" in c.path]
    named = [i for i in named if not Path(recorded.changes[i].path).name.startswith((".", "adapter"))]
    assert len(named) > 6
    for before, cut_at in enumerate(named):
        folder = restore(recorded.disk(cut_at, Random(0), 0.0), tmp_path / str(cut_at))
        assert len([row for row in Run(folder).adapters() if row.hash]) == before


@pytest.mark.slow
@needs_preload
def test_a_disk_that_is_full_in_a_finetuning_is_told_and_loses_nothing() -> None:
    assert fill("training", 3, 0, print)["full disks"] == 3


@pytest.mark.slow
@needs_preload
@pytest.mark.model
def test_killed_on_a_real_model_and_resumed_equals_uninterrupted() -> None:
    """llama.cpp in its reproducible mode: equal texts and answers."""
    assert kill("llama", 2, 0, print)["kills"] == 2


ONCE_MORE = ("turns", "results", "texts", "adapters", "examples")


def test_a_finetuning_that_was_copied_goes_on_elsewhere(tmp_path: Path) -> None:
    """The model and the questions are in other places too; those of the first machine are gone."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    first = training(here)
    assert first.run()[0] == 0
    expected = contents(first.folder)
    for table, iteration in (("adapters", 1), ("examples", 1), ("turns", 2), ("results", 2)):
        execute(first.folder, f"DELETE FROM {table} WHERE iteration = {iteration}")
    shutil.rmtree(first.folder / "adapters" / "2")
    there.mkdir()
    second = training(there)
    shutil.copytree(first.folder, second.folder)
    shutil.rmtree(here)
    status, said = second.run(resume=True)
    assert status == 0, said
    found = contents(second.folder)
    check(second.folder)
    assert {table: found[table] for table in ONCE_MORE} == {table: expected[table] for table in ONCE_MORE}


# A backend that fails, and Ctrl-C, on real models


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """Return debates on the small random model, without training."""
    trial = training(tmp_path_factory.mktemp("colours"))
    text = trial.scenario.read_text()
    trial.scenario.write_text(text[: text.index("train:")] + "concurrency: 2\n")
    return load_scenario(trial.scenario)


@pytest.fixture(scope="module")
def spoken(colours: Scenario, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """Return the turns of an undisturbed run."""
    return texts(run(colours, tmp_path_factory.mktemp("spoken") / "run").folder)["turns"]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, steps: range) -> list[int]:
    """Let the transformers backend raise `error` at these steps; return the sizes of the failed batches."""
    numbers, sizes = count(), []

    def advance(batch: Batch, joining: Any, real: Callable[..., Any] = Batch.advance) -> Any:
        if type(batch) is Batch and next(numbers) in steps:  # not in the check of a model that is loaded
            sizes.append(len(batch.rows) + len(joining))
            raise error
        return real(batch, joining)

    monkeypatch.setattr(Batch, "advance", advance)
    return sizes


def test_out_of_memory_in_a_batch_is_tried_again(
    colours: Scenario, spoken: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = failing(monkeypatch, MemoryError("no room for the cache"), range(2, 4))
    done = run(colours, tmp_path / "run")
    assert len(sizes) == 2
    assert min(sizes) > 0
    assert texts(done.folder)["turns"] == spoken


def test_a_batch_that_breaks_costs_its_turns_and_resuming_makes_those_alone(
    colours: Scenario, spoken: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, RuntimeError("CUDA error: device-side assert"), range(1))
    done = run(colours, tmp_path / "run")
    failed = [turn for turn in done.turns() if turn.status == "failed"]
    assert 1 <= len(failed) < len(spoken)
    assert all("RuntimeError: CUDA error" in turn.error for turn in failed)
    counter = Counter()
    run(colours, done.folder, resume=True, watcher=counter)
    assert texts(done.folder)["turns"] == spoken
    assert len(failed) <= counter.fresh < len(spoken)


@pytest.fixture(scope="module")
def capitals(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return load_scenario(llama(tmp_path_factory.mktemp("capitals")).scenario)


@pytest.fixture(scope="module")
def named(capitals: Scenario, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """Return the replies of the real model without faults."""
    return texts(run(capitals, tmp_path_factory.mktemp("named") / "run").folder)


@pytest.mark.slow
@pytest.mark.model
def test_a_worker_of_llama_cpp_that_crashes_loses_no_turn(
    capitals: Scenario, named: dict[str, list[tuple[Any, ...]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some batch no reply comes: those turns fail with the cause, and a resume generates them."""
    numbers = count()

    def decode(context: Context, *given: Any, real: Callable[..., Any] = Context.decode, **more: Any) -> Any:
        if next(numbers) >= 12:
            raise MemoryError("no memory left")
        return real(context, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Context, "decode", decode)
        done = run(capitals, tmp_path / "run")
    failed = [turn for turn in done.turns() if turn.status == "failed"]
    assert failed
    assert all("no memory left" in turn.error for turn in failed)
    run(capitals, done.folder, resume=True)
    assert texts(done.folder) == named


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_on_a_real_model(
    capitals: Scenario, named: dict[str, list[tuple[Any, ...]]], tmp_path: Path, times: int
) -> None:
    """First signal: replies in progress are stored and no others begin; second: they are given up.

    Both runs can be resumed.
    """
    with pytest.raises(Interrupted):
        run(capitals, tmp_path / "run", watcher=AfterTurns(3, times=times))
    stored = texts(tmp_path / "run")["turns"]
    assert 3 <= len(stored) < len(named["turns"])
    assert set(stored) <= set(named["turns"])
    run(capitals, tmp_path / "run", resume=True)
    assert texts(tmp_path / "run") == named
