"""A training spread over two processes (FSDP2, gloo, CPU) learns what one process learns."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", minversion="5.23")  # older ones cannot shard a model

from safetensors.torch import load_file

from backends.contract_tools import run
from backends.hf import HuggingFace, loop
from backends.hf.batches import Batches
from backends.hf.launch import make_environment
from backends.hf.trainer import sharded_trainer
from backends.training import Parallel, Training, TrainSettings
from society.core.errors import BackendError, InputError, ScenarioError
from society.core.types import Adapter, ChatMessage, Example, TurnId
from society.scenario.models.scenario import Scenario
from tests.backends.hf.tiny import make_model, one_thread

TWO = Parallel(processes=2)
LORA = TrainSettings(
    epochs=2, batch_size=2, accumulation=2, learning_rate=1e-2, rank=4, precision="float32", schedule="constant"
)
FULL = TrainSettings(
    method="full",
    epochs=2,
    batch_size=2,
    accumulation=2,
    learning_rate=1e-3,
    precision="float32",
    gradient_checkpointing=True,
)
COLOURS = ("red", "green", "blue", "one", "two", "three", "four", "cat", "dog")


def example(question: str, reply: str) -> Example:
    messages = ChatMessage("user", question), ChatMessage("assistant", reply)
    return Example(messages, TurnId(0, "q", "debate", 1, "a"), "test")


ROWS = [example("the cat " * (i % 3) + f"{colour} ?", f"{colour} . " * (1 + i % 2)) for i, colour in enumerate(COLOURS)]
"""Nine of unequal length: three batches and a last row, so that an epoch's batches do not go round."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HuggingFace]:
    with one_thread():
        yield HuggingFace(model=str(make_model(tmp_path_factory.mktemp("fsdp") / "model")), device="cpu")


def train(config: HuggingFace, folder: Path, settings: TrainSettings, **options: object) -> Training:
    async def use(backend):
        start, rows = options.pop("start", None), options.pop("rows", ROWS)
        return await backend.trainer.train(rows, settings, start, folder, seed=3, **options)

    result: Training = run(config, use)
    return result


def weights(adapter: Adapter) -> dict[str, object]:
    (path,) = Path(adapter.path).glob("*.safetensors")
    return dict(load_file(path))


def distance(a: Adapter, b: Adapter) -> float:
    """Return the largest difference of any weight; both must have the same ones."""
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def clip_some(config: HuggingFace, folder: Path, settings: TrainSettings) -> TrainSettings:
    """Return the settings with a limit that clips the gradients of some steps and not of others.

    Adam forgives gradients that are all too large or all too small, and so does clipping, unless it clips only some.
    """
    norms, real = [], loop.clip_grad_norm_

    def clip(*arguments: Any) -> Any:
        norm = real(*arguments)
        norms.append(float(norm))
        return norm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "clip_grad_norm_", clip)
        train(config, folder, settings.model_copy(update={"clip": 1e9}))
    middle = sorted(norms)[len(norms) // 2]
    assert min(norms) < 0.95 * middle < 1.05 * middle < max(norms)
    return settings.model_copy(update={"clip": middle})


def check_sensitive(config: HuggingFace, folder: Path, settings: TrainSettings, right: Training) -> None:
    """Raise `AssertionError` unless gradients of half and twice the size would give other weights."""
    for factor in (0.5, 2):
        other = settings.model_copy(update={"clip": settings.clip / factor})  # which is the same to Adam
        assert distance(train(config, folder / str(factor), other).adapter, right.adapter) > 1e-4


@pytest.fixture(scope="module")
def lora(config: HuggingFace, tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    return clip_some(config, tmp_path_factory.mktemp("norms") / "lora", LORA)


@pytest.fixture(scope="module")
def one(config: HuggingFace, lora: TrainSettings, tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train(config, tmp_path_factory.mktemp("one") / "lora", lora)


@pytest.mark.slow
def test_lora_over_two_processes(config, lora, one, tmp_path):
    told: list[tuple[int, int, float, int]] = []
    two = train(config, tmp_path / "two", lora, parallel=TWO, on_step=lambda *step: told.append(step))
    assert two.losses == pytest.approx(one.losses, abs=1e-5)
    assert len(two.losses) == 6  # ceil(ceil(9 / 2) / 2) an epoch
    assert distance(two.adapter, one.adapter) < 1e-5
    assert (two.tokens, two.examples) == (one.tokens, one.examples)
    assert [step for step, *_ in told] == [1, 2, 3, 4, 5, 6]
    assert told[-1][3] == one.tokens  # each row counted once, whoever computed it
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(
        p.name for p in Path(one.adapter.path).iterdir()
    )
    check_sensitive(config, tmp_path, lora, one)


@pytest.mark.slow
def test_going_on_from_an_adapter(config, one, tmp_path):
    alone = train(config, tmp_path / "alone", LORA, start=one.adapter)
    shared = train(config, tmp_path / "shared", LORA, start=one.adapter, parallel=TWO)
    assert shared.losses == pytest.approx(alone.losses, abs=1e-5)
    assert shared.losses[0] < one.losses[0]  # else it began anew


@pytest.mark.slow
def test_full_finetuning_over_two_processes(config, tmp_path):
    full = clip_some(config, tmp_path / "norms", FULL)
    alone = train(config, tmp_path / "alone", full)
    shared = train(config, tmp_path / "shared", full, parallel=TWO)
    assert shared.losses == pytest.approx(alone.losses, abs=1e-5)
    assert distance(shared.adapter, alone.adapter) < 1e-5
    assert shared.losses[-1] < 0.95 * shared.losses[0]
    check_sensitive(config, tmp_path, full, alone)

    async def speak(backend):
        await backend.adapters.load(shared.adapter)
        await backend.adapters.load(alone.adapter)
        chat = [ChatMessage("user", "red ?")]
        return [await backend.likelihood.logprob(chat, "red", a.hash) for a in (shared.adapter, alone.adapter)]

    (first, _), (second, _) = run(config, speak)
    assert first == pytest.approx(second, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
def test_full_finetuning_of_a_bfloat16_base_over_two_processes(tmp_path, tied):
    """Gemma scales its embeddings by a buffer that is rounded where the weights are bfloat16."""
    gemma = make_model(tmp_path / "gemma", 1, "gemma3_text", tie_word_embeddings=tied)
    config = HuggingFace(model=str(gemma), device="cpu", dtype="bfloat16")
    with one_thread():
        alone, shared = (
            train(config, tmp_path / name, FULL, **options)
            for name, options in (("alone", {}), ("shared", {"parallel": TWO}))
        )
    assert shared.losses == pytest.approx(alone.losses, abs=1e-5)
    assert distance(shared.adapter, alone.adapter) <= 1 / 256  # a bit of a weight below 1, for another order of sums
    first, second = weights(shared.adapter), weights(alone.adapter)
    assert {name: tensor.dtype for name, tensor in first.items()} == {n: t.dtype for n, t in second.items()}


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("rows", [1, 8, 9, 23])
def test_processes_share_each_step_of_one(rows: int, grouped: bool):
    settings = TrainSettings(batch_size=2, accumulation=6, group_by_length=grouped)
    lengths = [1 + i * 7 % 11 for i in range(rows)]
    alone = Batches(lengths, settings, 5)
    shares = [Batches(lengths, settings, 5, rank, 3) for rank in range(3)]
    orders = []
    for _ in range(2):
        order, parts = list(alone), [list(share) for share in shares]
        assert [len(part) for part in parts] == [len(shares[0])] * 3
        for step in range(0, len(order), 6):
            mine = [batch for part in parts for batch in part[step // 3 : step // 3 + 2] if batch]
            assert sorted(map(tuple, mine)) == sorted(map(tuple, order[step : step + 6]))
        assert sorted(i for batch in order for i in batch) == list(range(rows))
        orders.append(order)
    assert (orders[0] != orders[1]) == ((rows > 1 and not grouped) or rows > 12)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [LORA, FULL], ids=["lora", "full"])
def test_a_process_without_weights_starts_the_same_finetuning(tmp_path, settings, monkeypatch):
    """The files are equal to the bit. Gemma has weights in float32 beside those in bfloat16."""
    model = make_model(tmp_path / "gemma", 1, "gemma3_text")
    config = HuggingFace(model=str(model), device="cpu", dtype="bfloat16")

    async def start(folder: Path, begin: Adapter | None) -> Training:
        async with sharded_trainer(config) as trainer:
            return await trainer.train(ROWS, settings, begin, folder, seed=3, parallel=TWO)

    with one_thread():
        whole = train(config, tmp_path / "whole", settings, parallel=TWO)
        more = train(config, tmp_path / "more", settings, parallel=TWO, start=whole.adapter)
        monkeypatch.setattr("backends.hf.loading.load_model", _never)
        shared = asyncio.run(start(tmp_path / "shared", None))
        again = asyncio.run(start(tmp_path / "again", shared.adapter))
    assert (shared.adapter.hash, shared.adapter.base) == (whole.adapter.hash, whole.adapter.base)
    assert again.adapter.hash == more.adapter.hash != whole.adapter.hash
    assert shared.losses == whole.losses


def _never(*arguments: object, **options: object) -> None:
    raise AssertionError("this process reads weights")


# What goes wrong


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_training(config, tmp_path, monkeypatch):
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def start(*args, **options):
        started.append(real(*args, **options))
        return started[-1]

    monkeypatch.setattr("backends.hf.launch.subprocess.Popen", start)
    long = LORA.model_copy(update={"epochs": 500})
    with pytest.raises(BackendError, match="ended with status -9"):
        train(config, tmp_path / "a", long, parallel=TWO, on_step=lambda *step: started[1].kill())
    assert [process.poll() is not None for process in started] == [True, True]
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_what_a_process_refuses_is_told(config, one, tmp_path):
    other = LORA.model_copy(update={"rank": 8})
    with pytest.raises(BackendError, match="rank 4, not 8"):
        train(config, tmp_path / "a", other, start=one.adapter, parallel=TWO)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_told(config, tmp_path):
    wild = LORA.model_copy(update={"learning_rate": 1.0, "alpha": 1e60, "epochs": 20, "clip": 1e30})
    with pytest.raises(BackendError, match=r"loss is (nan|inf)"):
        train(config, tmp_path / "a", wild, parallel=TWO)


@pytest.mark.slow
def test_cancelling_ends_the_processes(config, tmp_path):
    async def use(backend):
        long = LORA.model_copy(update={"epochs": 5000})
        begun = asyncio.Event()
        task = asyncio.ensure_future(
            backend.trainer.train(
                ROWS, long, None, tmp_path / "a", seed=1, parallel=TWO, on_step=lambda *step: begun.set()
            )
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return threading.active_count()

    run(config, use)
    assert not list(tmp_path.iterdir()) or not (tmp_path / "a").exists()
    assert str(tmp_path) not in _commands()


def _commands() -> str:
    """Return the command lines of this process's children."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{os.getpid()}\n" in (path / "status").read_text():
                found.append((path / "cmdline").read_text())
        except OSError:
            continue
    return " ".join(found)


@pytest.mark.parametrize("settings", [LORA, FULL], ids=["lora", "full"])
def test_one_process_over_nccl(tmp_path, device, settings):
    if device != "cuda":
        pytest.skip("NCCL needs a GPU")
    config = HuggingFace(model=str(make_model(tmp_path / "model")), device="cuda", dtype="float32")
    alone = train(config, tmp_path / "alone", settings)
    one = Parallel.model_construct(processes=1)  # less than a scenario may ask for
    shared = train(config, tmp_path / "shared", settings, parallel=one)
    assert shared.losses == pytest.approx(alone.losses, rel=1e-4)
    assert distance(shared.adapter, alone.adapter) < 1e-3


def test_processes_meet_on_the_loopback_device_alone():
    environment = make_environment(1, 2)
    assert environment["MASTER_ADDR"] == "127.0.0.1"
    assert environment["GLOO_SOCKET_IFNAME"] == environment["NCCL_SOCKET_IFNAME"] in ("lo", "lo0")


# In a scenario

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 4}
backends: {tiny: {kind: hf}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 2}}
phases: [{name: debate}]
train:
  learners: {all: {phases: [debate]}}
  parallel: {processes: 4}
"""


def test_steps_that_cannot_be_shared_are_refused(scenario: Callable[..., Scenario]):
    with pytest.raises(ScenarioError, match="multiple of 4"):
        scenario(TEXT)
    loaded = scenario(TEXT, "train.settings.accumulation=8")
    assert loaded.train is not None
    assert loaded.train.parallel == Parallel(processes=4)


def test_a_backend_in_one_process_is_refused(scenario: Callable[..., Scenario]):
    with pytest.raises(ScenarioError, match="four bits"):
        scenario(TEXT, "train.settings.accumulation=8", "backends.tiny.quantize=nf4")
    with pytest.raises(ScenarioError, match="not compiled"):
        scenario(TEXT, "train.settings.accumulation=8", "train.settings.compile=true")


def test_too_few_gpus_are_told_before_any_work(config, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InputError, match="asks for 2 processes, one GPU each, but torch sees 1"):
        HuggingFace(model=config.model).check_devices(TWO)
    config.check_devices(TWO)  # on the CPU any number will do
