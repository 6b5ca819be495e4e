"""A finetuning that is interrupted goes on from its checkpoint, and ends with the weights of one that is not."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from backends.contract_tools import run  # noqa: E402
from backends.hf import HuggingFace, checkpoints  # noqa: E402
from backends.hf.checkpoints import Checkpoints  # noqa: E402
from backends.hf.loop import Loop, Share, Watch  # noqa: E402
from backends.objectives import Dpo, Kto  # noqa: E402
from backends.training import Parallel, Training, TrainSettings, checkpoint_of  # noqa: E402
from society.core.errors import BackendError  # noqa: E402
from tests.backends.hf.test_fsdp import COLOURS, example  # noqa: E402
from tests.backends.hf.tiny import make_model, one_thread  # noqa: E402

ALWAYS = {"checkpoint_minutes": 1e-9, "precision": "float32", "batch_size": 2, "accumulation": 2, "epochs": 2}
LORA = TrainSettings(**ALWAYS, learning_rate=1e-2, rank=4, dropout=0.3, warmup=0.4)
FULL = TrainSettings(**ALWAYS, learning_rate=1e-3, method="full", group_by_length=False, weight_decay=0.1)
ROWS = [example(f"{colour} ?", f"{colour} . ") for colour in COLOURS]
STEPS = 6
HOUR = 3600.0
"""ceil(9 / 2) batches, two in a step, in two epochs."""


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the program sees it."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HuggingFace]:
    with one_thread():
        yield HuggingFace(model=str(make_model(tmp_path_factory.mktemp("hf") / "model")), device="cpu")


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let checkpoints take any share of the time."""
    monkeypatch.setattr(checkpoints, "SHARE_OF_TIME", math.inf)


def train(config: HuggingFace, folder: Path, settings: TrainSettings, rows: Any = ROWS, **options: Any) -> Training:
    async def use(backend):
        return await backend.trainer.train(rows, settings, None, folder, seed=3, **options)

    return run(config, use)


def stop_in(monkeypatch: pytest.MonkeyPatch, step: int, *arguments: Any, **options: Any) -> None:
    """Train with these arguments, and kill the training in a step."""
    with monkeypatch.context() as patch:
        kill_in(patch, step)
        with pytest.raises(Killed):
            train(*arguments, **options)


def kill_in(monkeypatch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Kill the training in its `step`-th step from its start; return the list of calls of steps."""
    steps, real = [], Loop._apply

    def apply(self: Loop) -> None:
        steps.append(len(self.watch.losses))
        if len(steps) == step:
            raise Killed
        real(self)

    monkeypatch.setattr(Loop, "_apply", apply)
    return steps


KINDS: dict[str, tuple[TrainSettings, dict[str, Any]]] = {
    "lora": (LORA, {}),
    "full": (FULL, {}),
    "lora dpo": (LORA.model_copy(update={"schedule": "constant"}), {"objective": Dpo()}),
    "full kto": (FULL, {"objective": Kto()}),
    "bfloat16": (LORA.model_copy(update={"precision": "bfloat16"}), {}),
}
PREFERENCES = [example(row.messages[0].content, reply) for row in ROWS for reply in (row.messages[1].content, "the . ")]


def rows_of(kind: str) -> list[Any]:
    if kind.endswith(("dpo", "kto")):
        return [replace(row, desired=i % 2 == 0) for i, row in enumerate(PREFERENCES)]
    return ROWS


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_finetuning_ends_with_the_same_weights(config, tmp_path, monkeypatch, kind):
    settings, options = KINDS[kind]
    rows = rows_of(kind)
    whole = train(config, tmp_path / "whole", settings, rows, **options)
    begin = Watch.begin

    def begin_early(watch: Watch) -> None:
        begin(watch)
        watch._started -= HOUR

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "begin", begin_early)
        stop_in(patch, 4, config, tmp_path / "killed", settings, rows, **options)
    assert not (tmp_path / "killed").exists()
    with monkeypatch.context() as patch:
        steps = kill_in(patch, 0)
        told: list[int] = []
        again = train(
            config, tmp_path / "killed", settings, rows, on_step=lambda *step: told.append(step[0]), **options
        )
    assert steps[0] == 3  # it did not begin anew
    assert told[0] == 4
    assert again.adapter.hash == whole.adapter.hash
    assert (again.losses, again.tokens) == (whole.losses, whole.tokens)
    assert again.seconds > HOUR > whole.seconds  # the seconds before the kill count


def test_jobs_that_are_shorter_than_a_finetuning_end_it(config, tmp_path, monkeypatch):
    """Each job is killed in the step after its first checkpoint, or while the checkpoint is written."""
    whole = train(config, tmp_path / "whole", LORA)
    real, jobs, saved = torch.save, 0, []

    def save(*arguments: Any) -> None:
        real(*arguments)
        saved.append(arguments)
        if len(saved) == 2:
            raise Killed

    while not (tmp_path / "short").exists():
        saved.clear()
        jobs += 1
        assert jobs <= STEPS
        with monkeypatch.context() as patch:
            patch.setattr(torch, "save", save)
            try:
                short = train(config, tmp_path / "short", LORA)
            except Killed:
                places = sorted(path.name for path in checkpoint_of(tmp_path / "short").iterdir())
                assert len(places) == 2  # one checkpoint, and the next one in part
    assert jobs > 3
    assert short.adapter.hash == whole.adapter.hash
    left = list(checkpoint_of(tmp_path / "short").iterdir())
    assert [path.name.isdecimal() for path in left] == [True]


def test_cancelling_writes_a_checkpoint_between_two_batches(config, tmp_path):
    settings = LORA.model_copy(update={"checkpoint_minutes": 1000.0, "epochs": 400})

    async def use(backend):
        begun = asyncio.Event()
        task = asyncio.create_task(
            backend.trainer.train(ROWS, settings, None, tmp_path / "a", seed=3, on_step=lambda *_: begun.set())
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(config, use)
    (place,) = checkpoint_of(tmp_path / "a").iterdir()
    assert place.name.isdecimal()
    assert not (tmp_path / "a").exists()


def interrupted(config: HuggingFace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Interrupt a finetuning in its fourth step, and return its checkpoint."""
    stop_in(monkeypatch, 4, config, folder, LORA)
    (place,) = checkpoint_of(folder).iterdir()
    return place


def alter(place: Path, **changes: object) -> None:
    about = json.loads((place / "about.json").read_text())
    (place / "about.json").write_text(json.dumps(about | changes))


def test_a_checkpoint_of_another_finetuning_is_ignored_with_a_line(config, tmp_path, monkeypatch, caplog):
    place = interrupted(config, tmp_path / "a", monkeypatch)
    shutil.copytree(checkpoint_of(tmp_path / "a"), tmp_path / "kept")
    other = LORA.model_copy(update={"learning_rate": 2e-2})
    damage = {
        "settings": lambda: train(config, tmp_path / "a", other),
        "rows": lambda: train(config, tmp_path / "a", LORA, ROWS[:-1]),
        "objective": lambda: train(config, tmp_path / "a", LORA, rows_of("a dpo"), objective=Dpo()),
        "library versions": lambda: (alter(place, **{"library versions": {}}), train(config, tmp_path / "a", LORA)),
        "processes": lambda: (alter(place, processes=2), train(config, tmp_path / "a", LORA)),
        "cannot be read": lambda: ((place / "0.pt").write_bytes(b"PK"), train(config, tmp_path / "a", LORA)),
    }
    for reason, use in damage.items():
        shutil.rmtree(checkpoint_of(tmp_path / "a"))
        shutil.copytree(tmp_path / "kept", checkpoint_of(tmp_path / "a"))
        caplog.clear()
        with monkeypatch.context() as patch:
            steps = kill_in(patch, 0)
            use()
        assert steps[0] == 0, reason
        said = [record.message for record in caplog.records if "begins anew" in record.message]
        assert len(said) == 1, reason
        assert reason in said[0]


def test_a_checkpoint_that_was_changed_is_an_error_with_the_folder_to_delete(config, tmp_path, monkeypatch):
    place = interrupted(config, tmp_path / "a", monkeypatch)
    torch.save({"weights": [torch.zeros(1)], "reference": ([], [])}, place / "0.pt")
    with pytest.raises(BackendError, match="does not fit") as caught:
        train(config, tmp_path / "a", LORA)
    assert str(place.parent) in caught.value.remedy


def test_the_interval_may_change_and_the_line_says_where_it_goes_on(config, tmp_path, monkeypatch, caplog):
    interrupted(config, tmp_path / "a", monkeypatch)
    with caplog.at_level(logging.WARNING):
        train(config, tmp_path / "a", LORA.model_copy(update={"checkpoint_minutes": 0.0}))
    assert f"3 of {STEPS} steps" in caplog.text


def test_a_full_disk_costs_the_checkpoint_and_not_the_finetuning(config, tmp_path, monkeypatch, caplog):
    whole = train(config, tmp_path / "whole", LORA)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "move_into_place", fail)
    assert train(config, tmp_path / "a", LORA).adapter.hash == whole.adapter.hash
    assert "No space left" in caplog.text
    assert not list(checkpoint_of(tmp_path / "a").iterdir())


def test_a_checkpoint_takes_at_most_a_twentieth_of_the_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoints, "SHARE_OF_TIME", 0.05)
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(torch, "save", lambda state, path: now.__setitem__(0, now[0] + 100))
    found = Checkpoints(tmp_path / "a", 60, {}, Share())
    assert not found.due
    now[0] = 60
    assert found.due
    found.save(1, {})
    now[0] += 1999
    assert not found.due
    now[0] += 1
    assert found.due
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["1"]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [LORA, FULL], ids=["lora", "full"])
def test_processes_go_on_from_their_shards(config, tmp_path, settings, caplog):
    """One process is killed, then the training is cancelled, then it ends as if neither had happened."""
    pytest.importorskip("transformers", minversion="5.23")
    two = {"parallel": Parallel(processes=2)}
    whole = train(config, tmp_path / "whole", settings, **two)
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        started.append(real(*arguments, **options))
        return started[-1]

    place = checkpoint_of(tmp_path / "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backends.hf.launch.subprocess.Popen", start)
        with pytest.raises(BackendError, match="status -9"):
            train(config, tmp_path / "a", settings, **two, on_step=lambda step, *_: step == 2 and started[1].kill())
    assert max(int(path.name) for path in place.iterdir() if path.name.isdecimal()) in (1, 2, 3)

    async def cancel(backend):
        begun = asyncio.Event()
        task = asyncio.create_task(
            backend.trainer.train(ROWS, settings, None, tmp_path / "a", seed=3, **two, on_step=lambda *_: begun.set())
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(config, cancel)
    (newest,) = (path for path in place.iterdir() if path.name.isdecimal())
    stored = [torch.load(newest / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name in ("weights", "optimizer"):  # all processes have the same LoRA matrices, and one writes them
        assert [name in state for state in stored] == [True, settings.method == "full"]
    again = train(config, tmp_path / "a", settings, **two)
    assert "goes on from its checkpoint" in caplog.text
    assert again.adapter.hash == whole.adapter.hash
    assert (again.losses, again.tokens) == (whole.losses, whole.tokens)


@pytest.mark.parametrize("sees", [True, False])
def test_a_worker_of_a_cluster_goes_on_where_it_sees_the_run(config, tmp_path, monkeypatch, sees):
    pytest.importorskip("ray")
    from society.executors.finetune import FinetuneJob, Note, _mark_checkpoints, finetune

    mark = _mark_checkpoints(tmp_path / "a")
    job = FinetuneJob(config, ROWS, LORA, None, [], 3, None, None, mark if sees else tmp_path / "elsewhere" / "mark")
    steps = []
    for item in finetune(job):
        if isinstance(item, tuple):
            steps.append(item[0])
        elif isinstance(item, Note):
            assert "does not see" in item.text
            steps.append(0)
    assert steps == ([1, 2, 3, 4, 5, 6] if sees else [0, 1, 2, 3, 4, 5, 6])
    left = sorted(path.name for path in checkpoint_of(tmp_path / "a").iterdir())
    assert left == ([mark.name, "6"] if sees else [mark.name])
    again = [item[0] for item in finetune(job) if isinstance(item, tuple)]
    assert again == ([] if sees else [1, 2, 3, 4, 5, 6])
