"""The hash of a transformers model covers everything that decides what it says, and never a file's earlier contents."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.contract_tools import ask, run
from backends.hf import HuggingFace
from backends.models import digests as models
from society.core.errors import RunFolderError
from society.scenario import load_scenario
from society.session import run as run_scenario
from tests.backends.hf.tiny import ARCHITECTURES, TEMPLATE, make_model

torch = pytest.importorskip("torch")

from backends.hf.export import HubExporter  # noqa: E402
from backends.hf.hashing import hash_base, hash_parts  # noqa: E402
from backends.hf.loading import load, load_chat, load_model, name_model  # noqa: E402

OTHER = TEMPLATE.replace("}} <|end|>", "}}<|end|>")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model", seed=1)


def base(folder: Path, template: str | None = None) -> str:
    return hash_base(folder, load_chat(folder, template))


def edit(name: str, **values: object) -> Callable[[Path], None]:
    """Set keys of a configuration."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def nudge(folder: Path) -> None:
    """Change one weight by one bit."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"].view(torch.int32)[0] += 1
    save_file(tensors, path, {"format": "pt"})


def swap_words(folder: Path) -> None:
    """Exchange the ids of two words of the vocabulary."""
    path = folder / "tokenizer.json"
    read = json.loads(path.read_text())
    words = read["model"]["vocab"]
    words["red"], words["blue"] = words["blue"], words["red"]
    path.write_text(json.dumps(read))


def write(name: str, text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    return change


CHANGES: dict[str, Callable[[Path], None]] = {
    "weights": nudge,
    "rotary frequencies": edit("config.json", rope_parameters={"rope_theta": 7.0, "rope_type": "default"}),
    "norm": edit("config.json", rms_norm_eps=0.5),
    "activation": edit("config.json", hidden_act="gelu"),
    "end of text": edit("generation_config.json", eos_token_id=[5, 6]),
    "library version": edit("config.json", transformers_version="4.40.0"),
    "tokenizer": swap_words,
    "tokenizer options": edit("tokenizer_config.json", clean_up_tokenization_spaces=True),
    "special tokens": write("special_tokens_map.json", '{"eos_token": "<|user|>"}'),
    "added tokens": write("added_tokens.json", '{"<|new|>": 3}'),
    "chat template": write("chat_template.jinja", OTHER),
    "another chat template": write("additional_chat_templates/tool_use.jinja", "{{ messages }}"),
    "sentencepiece": write("tokenizer.model", "pieces"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_what_is_said_is_in_the_hash(model, change):
    chat = load_chat(model, None, "model")  # the same one, since some changes cannot be loaded
    before = hash_base(model, chat)
    CHANGES[change](model)
    assert hash_base(model, chat) != before


def test_files_that_are_not_there_any_more_are_missed(model):
    chat = load_chat(model, None, "model")
    before = hash_base(model, chat)
    (model / "generation_config.json").unlink()
    assert hash_base(model, chat) != before


def test_what_decides_nothing_is_not_in_the_hash(model, tmp_path):
    before = base(model)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(model, elsewhere)
    path = elsewhere / "config.json"
    read = json.loads(path.read_text()) | {"_name_or_path": "/some/where"}
    path.write_text(json.dumps(dict(reversed(read.items())), indent=7))
    (elsewhere / "README.md").write_text("A model.")
    (elsewhere / ".cache").mkdir()
    assert base(elsewhere) == before
    assert set(hash_parts(model)) >= {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"}


def test_a_template_of_the_scenario_is_in_the_hash(model):
    assert base(model, OTHER) != base(model)
    assert base(model, TEMPLATE) == base(model)  # the model's own, written out


def test_options_that_change_what_is_said_are_in_the_hash(model):
    async def use(backend: Any) -> str:
        return backend.model_hash

    network = load_model(model, torch.float32, "cpu")
    names = [name_model("base", network, "cpu", torch.float32, "none")]
    network.set_attn_implementation("eager")
    names.append(name_model("base", network, "cpu", torch.float32, "none"))
    names += [name_model("base", network, "cpu", torch.bfloat16, quantize) for quantize in ("none", "nf4")]
    names.append(name_model("base", network, "cuda", torch.float32, "none"))
    assert len(set(names)) == 5
    assert {name.partition("-")[0] for name in names} == {"base"}
    opened = [run(HuggingFace(model=str(model), device="cpu", dtype=d), use) for d in ("float32", "bfloat16")]
    assert [name.split("-")[1:] for name in opened] == [["cpu", "sdpa", "float32"], ["cpu", "sdpa", "bfloat16"]]
    assert HubExporter(HuggingFace(model=str(model))).base == opened[0].partition("-")[0]


def test_a_model_from_a_gguf_is_hashed_with_its_configuration(model, monkeypatch):
    async def use(backend: Any) -> tuple[str, str]:
        return backend.model_hash, (await backend.generate(ask("red"))).text

    monkeypatch.setattr("backends.hf.loading.find_model", lambda name: Path(name))
    monkeypatch.setattr("backends.hf.loading.dequantise", lambda path: model)
    config = HuggingFace(model="some.gguf", device="cpu")
    before = run(config, use)
    assert run(config, use) == before
    CHANGES["norm"](model)
    assert run(config, use)[0] != before[0]


SCENARIO = """
version: 1
name: h
task: {kind: arithmetic, limit: 2}
backends: {b: {kind: hf, model: MODEL, device: cpu}}
roles: {a: {prompt: "{{ question }} the cat"}}
agents: {a: {count: 2}}
phases: [{name: p, topology: complete}]
sampling: {temperature: 0, max_tokens: 4}
"""


@pytest.mark.parametrize("change", ["rotary frequencies", "end of text", "tokenizer options", "weights"])
def test_a_run_is_not_resumed_with_another_model(model, tmp_path, change):
    path = tmp_path / "h.yaml"
    path.write_text(SCENARIO.replace("MODEL", str(model)))
    run_scenario(load_scenario(path), tmp_path / "run")
    run_scenario(load_scenario(path), tmp_path / "run", resume=True)
    CHANGES[change](model)
    with pytest.raises(RunFolderError, match="backend 'b'") as caught:
        run_scenario(load_scenario(path), tmp_path / "run", resume=True)
    assert caught.value.remedy
    assert "configuration, tokenizer or chat template have changed" in caught.value.cause


def test_a_run_is_not_resumed_in_another_precision(model, tmp_path, monkeypatch, device):
    path = tmp_path / "h.yaml"
    path.write_text(SCENARIO.replace("MODEL", str(model)))
    monkeypatch.setattr("backends.hf.loading.pick_dtype", lambda dtype, device: torch.float32)
    run_scenario(load_scenario(path), tmp_path / "run")
    monkeypatch.setattr("backends.hf.loading.pick_dtype", lambda dtype, device: torch.bfloat16)  # as on another machine
    with pytest.raises(RunFolderError, match=rf"ran as '{device}-sdpa-float32' and runs as '{device}-sdpa-bfloat16'"):
        run_scenario(load_scenario(path), tmp_path / "run", resume=True)


# What is remembered of files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOCIETY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files whose contents are read to hash them."""
    read: list[Path] = []
    real = models.hash_file
    monkeypatch.setattr(models, "hash_file", lambda path: read.append(path) or real(path))
    return read


def test_a_file_is_read_once(tmp_path, cache, hashed, monkeypatch):
    monkeypatch.setattr(models, "_SETTLED_NS", -1)
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert models.digest_of(path) == models.digest_of(path) == models.hash_file(path)
    assert len(hashed) == 2  # and the one above


def test_a_file_that_was_just_written_is_read_every_time(tmp_path, cache, hashed):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    models.digest_of(path)
    models.digest_of(path)
    assert len(hashed) == 2


def test_other_contents_of_equal_size_and_time_are_noticed(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(models, "_SETTLED_NS", -1)
    path = tmp_path / "file"
    path.write_bytes(b"one")
    state, first = path.stat(), models.digest_of(path)
    other = tmp_path / "other"
    other.write_bytes(b"two")
    other.replace(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_mtime_ns == state.st_mtime_ns
    assert models.digest_of(path) != first


@pytest.mark.parametrize("spoil", ["", "half", "x" * 64])
def test_a_damaged_memory_is_not_believed(tmp_path, cache, monkeypatch, spoil):
    monkeypatch.setattr(models, "_SETTLED_NS", -1)
    path = tmp_path / "file"
    path.write_bytes(b"one")
    digest = models.digest_of(path)
    [memo] = (cache / "digests").iterdir()
    memo.write_text(spoil)
    assert models.digest_of(path) == digest


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(models, "_SETTLED_NS", -1)
    cache.mkdir()
    (cache / "digests").write_text("no folder")
    path = tmp_path / "file"
    path.write_bytes(b"one")
    assert models.digest_of(path) == models.hash_file(path)


@pytest.mark.parametrize("context", [None, 128])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_model_without_weights_has_the_hash_of_the_whole_one(tmp_path, kind, dtype, context):
    config = HuggingFace(model=str(make_model(tmp_path / "m", 1, kind)), device="cpu", dtype=dtype, context=context)
    whole, empty = load(config), load(config, empty=True)
    assert empty.hash == whole.hash
    assert (empty.context, empty.device, empty.model.dtype) == (whole.context, whole.device, whole.model.dtype)
    assert {tensor.device.type for tensor in empty.model.state_dict().values()} == {"meta"}
