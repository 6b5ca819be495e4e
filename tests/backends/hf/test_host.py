"""Full weights between training and generation: hashed as they are written, swapped from the host's memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from backends.contract_tools import run  # noqa: E402
from backends.hf import HuggingFace, weights, writing  # noqa: E402
from backends.hf.adapters import hash_adapter, hash_files  # noqa: E402
from backends.hf.heap import return_memory  # noqa: E402
from backends.hf.host import HostWeights  # noqa: E402
from backends.hf.loading import load_model, read_tensors  # noqa: E402
from backends.hf.writing import write_weights  # noqa: E402
from backends.training import TrainSettings  # noqa: E402
from society.core.errors import BackendError  # noqa: E402
from society.core.hashing import hash_file  # noqa: E402
from society.core.types import Adapter, ChatMessage, Example, TurnId  # noqa: E402
from tests.backends.hf.tiny import ARCHITECTURES, make_model  # noqa: E402

QUESTION = (ChatMessage("user", "the cat ?"),)
FULL = TrainSettings(method="full", epochs=1, batch_size=4, accumulation=1, learning_rate=1e-2)


def rows(word: str) -> list[Example]:
    messages = (ChatMessage("user", "the cat ?"), ChatMessage("assistant", f"{word} ."))
    return [Example(messages, TurnId(0, "q", "debate", 1, "a"), "test")] * 4


@pytest.mark.parametrize("shard", [1, 1000, 1 << 29])
def test_files_are_read_back_as_they_were_and_have_the_reported_hashes(tmp_path, monkeypatch, shard):
    monkeypatch.setattr(writing, "SHARD", shard)
    monkeypatch.setattr(writing, "BLOCK", 64)
    tensors = {
        "b": torch.randn(7, 3).bfloat16(),
        "a": torch.randn(11, 13),
        "c": torch.tensor(3),
        "d": torch.randn(4, 5).t(),
    }
    digests = write_weights(tensors, tmp_path)
    assert digests == {path.name: hash_file(path) for path in tmp_path.glob("*.safetensors")}
    found = dict(read_tensors(tmp_path))
    assert found.keys() == tensors.keys()
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items()
    )
    assert (tmp_path / "model.safetensors.index.json").exists() == (len(digests) > 1)


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_a_saved_model_is_loaded_as_it_was(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(writing, "SHARD", 10_000)
    folder = make_model(tmp_path / "base", 1, kind)
    network = load_model(folder, torch.bfloat16, "cpu")
    for parameter in network.parameters():
        parameter.data.mul_(1.5)
    (tmp_path / "saved").mkdir()
    digests = weights.Weights(network, folder, "hash").save(tmp_path / "saved")
    assert bool(digests) == (kind not in ("deepseek_v3", "mixtral"))  # these store their experts in other parts
    again = load_model(tmp_path / "saved", torch.bfloat16, "cpu").state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


def test_reserved_memory_is_used_by_the_next_set() -> None:
    host, tensors = HostWeights(budget=2 * 16), {"w": torch.ones(4)}
    host.keep(None, tensors)
    changing = dict(tensors)
    host.reserve(changing)
    changing["w"] = changing["w"].bfloat16()  # as training does
    assert host._spare is not None
    spare = host._spare.result()["w"]
    assert spare.dtype == torch.float32
    kept = host.keep("a", tensors)
    assert kept is not None
    assert kept["w"] is spare
    assert torch.equal(spare, tensors["w"])
    host.reserve(tensors)  # beyond the budget
    assert host._spare is None


def test_sets_are_dropped_that_were_used_longest_ago() -> None:
    host = HostWeights(budget=3 * 16)
    for name in (None, "a", "b"):
        assert host.keep(name, {"w": torch.full((4,), float(len(host.sets)))}) is not None
    here = {"w": torch.zeros(4)}
    assert host.restore(None, here)
    assert here["w"].tolist() == [0.0] * 4
    host.keep("c", {"w": torch.full((4,), 9.0)})
    assert list(host.sets) == ["b", None, "c"]
    assert not host.restore("a", here)
    assert host.restore("c", here)
    assert here["w"].tolist() == [9.0] * 4
    assert HostWeights(budget=15).keep("a", {"w": torch.zeros(4)}) is None


@pytest.mark.parametrize("budget", [None, 0.0])
def test_weights_are_read_from_disk_only_where_memory_is_too_small(tmp_path, monkeypatch, budget):
    config = HuggingFace(model=str(make_model(tmp_path / "model", 1)), host_memory=budget)
    read: list[Path] = []
    real = weights.Weights._read

    def note(self: Any, folder: Path) -> None:
        read.append(folder)
        real(self, folder)

    monkeypatch.setattr(weights.Weights, "_read", note)

    async def use(backend: Any) -> list[list[float]]:
        adapters: list[Adapter | None] = [None]
        for word in ("red", "blue"):
            done = await backend.trainer.train(rows(word), FULL, None, tmp_path / word, seed=1)
            await backend.adapters.load(done.adapter)
            adapters.append(done.adapter)

        async def score(adapter: Adapter | None) -> float:
            return (await backend.likelihood.logprob(QUESTION, "red .", adapter and adapter.hash))[0]

        return [[await score(adapter) for adapter in adapters] for _ in range(2)]

    first, second = run(config, use)
    assert first == pytest.approx(second, rel=1e-5)
    assert len(set(first)) == 3
    assert first[1] > max(first[0], first[2])
    assert bool(read) == (budget == 0.0)


def test_a_copy_elsewhere_has_the_same_hash_and_an_altered_one_is_refused(tmp_path) -> None:
    import shutil

    config = HuggingFace(model=str(make_model(tmp_path / "model", 1)))

    async def make(backend: Any) -> Any:
        return (await backend.trainer.train(rows("red"), FULL, None, tmp_path / "full", seed=1)).adapter

    adapter = run(config, make)
    assert hash_adapter(tmp_path / "full") == adapter.hash
    shutil.copytree(tmp_path / "full", tmp_path / "copy")
    copy = Adapter(adapter.hash, str(tmp_path / "copy"), adapter.base)
    run(config, lambda backend: backend.adapters.load(copy))
    (path,) = (tmp_path / "copy").glob("*.safetensors")
    old = Adapter(hash_files([tmp_path / "copy" / "config.json", path]), str(tmp_path / "copy"), adapter.base)
    run(config, lambda backend: backend.adapters.load(old))  # a hash of version 0.1
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for altered in (copy, old):
        with pytest.raises(BackendError, match="its files have changed"):
            run(config, lambda backend, altered=altered: backend.adapters.load(altered))


def test_memory_is_returned_where_the_c_library_can(monkeypatch) -> None:
    """Without such a function, as on macOS, nothing happens."""
    trimmed: list[int] = []
    for functions in ({"malloc_trim": trimmed.append}, {}):
        library = SimpleNamespace(**functions)
        monkeypatch.setattr("backends.hf.heap.ctypes.CDLL", lambda name, library=library: library)
        return_memory()
    assert trimmed == [0]
