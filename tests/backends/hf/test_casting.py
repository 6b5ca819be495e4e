"""Casts touch parameters alone: after a full finetuning the model is what a fresh load is, bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backends.contract_tools import run
from backends.hf import HuggingFace
from backends.training import TrainSettings
from society.core.errors import BackendError, InputError
from society.core.types import ChatMessage, Example, TurnId
from tests.backends.hf.tiny import ARCHITECTURES, make_model

torch = pytest.importorskip("torch")

from backends.hf.casting import Buffers, Precision, cast_parameters  # noqa: E402
from backends.hf.loading import find_folder, load_model  # noqa: E402
from backends.hf.weights import Weights  # noqa: E402

COLOURS = ("red", "green", "blue", "one", "two", "three", "four", "cat")
FULL = TrainSettings(method="full", epochs=1, batch_size=4, accumulation=1, learning_rate=1e-3)


def example(colour: str) -> Example:
    """Return a row longer than the original context of the longrope model."""
    chat = ChatMessage("user", "the cat sat on a mat " * 4 + colour), ChatMessage("assistant", colour + " . ")
    return Example(chat, TurnId(0, "q", "debate", 1, "a"), "test")


ROWS = [example(colour) for colour in COLOURS]


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp(request.param) / "model", 1, request.param)


def state(model: Any) -> dict[str, Any]:
    """Return every parameter and buffer, including those that are not stored."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers(remove_duplicate=False))}


def assert_same(one: Any, other: Any) -> None:
    mine, theirs = state(one), state(other)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_same_full_training_gives_one_hash_and_leaves_the_model_as_loaded(model, device, dtype, tmp_path):
    config = HuggingFace(model=str(model), dtype=dtype)
    question = (ChatMessage("user", "the cat ?"),)

    async def use(backend):
        async def score() -> tuple[float, int]:
            return await backend.likelihood.logprob(question, "red . ")

        scores, hashes = [await score()], []
        for i in range(3):
            trained = await backend.trainer.train(ROWS, FULL, None, tmp_path / str(i), seed=1)
            hashes.append(trained.adapter.hash)
            scores.append(await score())
        fresh = load_model(model, getattr(torch, dtype), device)
        assert_same(backend._batcher.batch.weights.model, fresh)
        return hashes, scores

    hashes, scores = run(config, use)
    assert len(set(hashes)) == 1
    assert len(set(scores)) == 1


def test_full_weights_are_written_in_the_dtypes_of_the_base(model, tmp_path):
    async def use(backend):
        return await backend.trainer.train(ROWS, FULL, None, tmp_path / "full", seed=1)

    run(HuggingFace(model=str(model), dtype="bfloat16"), use)
    trained, base = (state(load_model(folder, torch.bfloat16, "cpu")) for folder in (tmp_path / "full", model))
    assert {name: tensor.dtype for name, tensor in trained.items()} == {n: t.dtype for n, t in base.items()}
    assert any(not torch.equal(trained[name], base[name]) for name in base)


class Mixed(torch.nn.Module):
    """Every kind of tensor a module can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = torch.nn.Linear(3, 3).bfloat16()
        self.whole = torch.nn.Linear(3, 3)
        self.tied = torch.nn.Linear(3, 3)
        self.tied.weight = self.narrow.weight
        self.norm = torch.nn.BatchNorm1d(3)
        self.register_buffer("frequencies", torch.rand(3, dtype=torch.float64), persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.longest = 7


def test_parameters_are_cast_and_buffers_are_not() -> None:
    module = Mixed()
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    precision = Precision.of(module)
    cast_parameters(module, torch.float32)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    assert module.tied.weight is module.narrow.weight
    precision.restore()
    assert (module.narrow.weight.dtype, module.whole.weight.dtype) == (torch.bfloat16, torch.float32)
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())
    assert {name: buffer.dtype for name, buffer in module.named_buffers()} == {n: b.dtype for n, b in before.items()}


def test_buffers_come_back_with_what_they_were_computed_from() -> None:
    module = Mixed()
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    saved = Buffers(module)
    module.train()
    module.norm(torch.rand(5, 3))  # changes running statistics in place
    module.register_buffer("frequencies", torch.zeros(4))
    module.longest = 99
    saved.restore()
    assert module.longest == 7
    assert module.norm.num_batches_tracked == 0
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())


def test_a_training_that_fails_leaves_the_model_as_loaded(tmp_path):
    folder = make_model(tmp_path / "model", 1)
    weights = Weights(load_model(folder, torch.bfloat16, "cpu"), folder, "hash")

    def fail() -> None:
        with weights.bare() as bare, torch.no_grad():
            next(cast_parameters(bare, torch.float32).parameters()).mul_(2)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert_same(weights.model, load_model(folder, torch.bfloat16, "cpu"))


# Weights that are not all there


def test_a_model_that_lacks_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make_model(tmp_path / "model", 1)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(BackendError, match=r"incomplete.*up_proj"):
        load_model(folder, torch.float32, "cpu")


def test_an_adapter_folder_is_no_model(tmp_path):
    folder = make_model(tmp_path / "model", 1)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="is an adapter"):
        find_folder(str(folder))
