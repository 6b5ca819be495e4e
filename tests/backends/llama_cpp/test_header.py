"""GGUF files that are no chat model are refused by their headers, with what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from backends.llama_cpp import LlamaCpp
from backends.llama_cpp.cache_sizes import count_cache_bytes
from backends.llama_cpp.header import read_model
from backends.llama_cpp.native import Model
from backends.llama_cpp.probe import CHILD
from backends.models.digests import digest_model
from backends.models.gguf_file import GGUFInfo
from society.core.errors import InputError
from tests.backends.models.test_gguf_file import finish
from tests.fuzz.native import changed

EOS = {"tokenizer.ggml.eos_token_id": 1}


def write(path: Path, architecture: str = "llama", **entries: Any) -> Path:
    """Write a GGUF with these entries and one tensor."""
    writer = gguf.GGUFWriter(str(path), architecture)
    for key, value in {"tokenizer.ggml.model": "gpt2", **entries}.items():
        add = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32}[type(value)]
        add(key.replace("__", "."), value)
    writer.add_tensor("token_embd.weight", np.ones((4, 32), np.float32))
    finish(writer)
    return path


@pytest.mark.parametrize(
    ("architecture", "entries", "says"),
    [
        ("llama", {"general__type": "adapter"}, "is an adapter"),
        ("clip", {"general__type": "mmproj"}, "sees images"),
        ("llama", {"general__type": "imatrix"}, "importance matrix"),
        ("nomic-bert", {}, "do not write texts"),
        ("t5", {}, "do not write texts"),
        ("llama", {"llama.attention.causal": False, **EOS}, "not causal"),
        ("llama", {}, "would take the comma"),
    ],
)
def test_a_file_of_another_kind_is_named_by_check(
    tmp_path: Path, architecture: str, entries: dict[str, Any], says: str
) -> None:
    path = write(tmp_path / "model.gguf", architecture, **entries)
    with pytest.raises(InputError, match=says):
        LlamaCpp(model=str(path)).check_files()


@pytest.mark.parametrize("entries", [EOS, {"tokenizer.ggml.eot_token_id": 1}, {"tokenizer.ggml.model": "llama"}])
def test_a_chat_model_is_read(tmp_path: Path, entries: dict[str, Any]) -> None:
    assert read_model(write(tmp_path / "model.gguf", **entries)).architecture == "llama"


def test_the_hash_of_a_split_model_covers_all_its_files(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.write_bytes(part.name.encode())
    before = digest_model(parts[0])
    parts[1].write_bytes(b"changed")
    assert digest_model(parts[0]) != before


def latent(layer: int) -> dict[str, tuple[int, ...]]:
    return {f"blk.{layer}.attn_kv_a_mqa.weight": (64, 576), f"blk.{layer}.attn_k_b.weight": (128, 512, 16)}


def test_latent_attention_stores_one_compressed_key_and_no_value() -> None:
    """The sizes of DeepSeek V2 Lite: 27 layers of 512 compressed numbers and 64 rotary ones."""
    settings = {
        "block_count": 27,
        "embedding_length": 2048,
        "attention.head_count": 16,
        "attention.head_count_kv": 1,
        "attention.key_length": 576,
        "attention.value_length": 512,
        "attention.key_length_mla": 192,
        "attention.value_length_mla": 128,
    }
    shapes = {name: shape for layer in range(27) for name, shape in latent(layer).items()}
    metadata = {f"deepseek2.{name}": value for name, value in settings.items()}
    info = GGUFInfo("deepseek2", "Q8_0", 4096, "", len(shapes), 1, metadata, shapes)
    assert count_cache_bytes(info) == (27 * 576 * 2, 0)


@pytest.mark.parametrize("named", [True, False])
def test_a_token_that_the_header_does_not_name_begins_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """llama.cpp takes token 11 of byte-level vocabularies, the comma of GPT-2."""
    monkeypatch.setenv(CHILD, "1")
    path, data = tmp_path / "model.gguf", changed()
    path.write_bytes(data if named else data.replace(b"ggml.bos_token_id", b"ggml.xyz_token_id"))
    model = Model(path, 0, vocabulary_only=True)
    assert model.vocabulary.name(model.vocabulary.bos) == ("<|end|>" if named else "")
    model.close()
