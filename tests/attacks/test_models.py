"""Untrusted model files and adapters are refused before native code or pickle reads them."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from backends.llama_cpp.lora import check_lora
from backends.models.gguf_file import check_gguf
from society.core.errors import BackendError, InputError
from society.core.types import Adapter
from tests.backends.models.test_gguf_file import write

MODEL = {"blk.0.attn_q.weight": (8, 16), "token_embd.weight": (40, 8)}
"""Shapes of the tensors: rows and columns, as in numpy."""


def write_gguf(path: Path, tensors: dict[str, tuple[int, ...]], kind: str = "model", **more: Any) -> Path:
    writer = gguf.GGUFWriter(str(path), more.pop("architecture", "llama"))
    writer.add_type(kind)
    if kind == "adapter":
        writer.add_string("adapter.type", more.pop("type", "lora"))
        writer.add_float32("adapter.lora.alpha", more.pop("alpha", 4.0))
        if "invocation" in more:
            writer.add_array("adapter.alora.invocation_tokens", more.pop("invocation"))
    for name, value in more.items():
        writer.add_uint32(f"llama.{name}", value)
    for name, shape in tensors.items():
        writer.add_tensor(name, np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def lora(name: str, a: tuple[int, ...], b: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.lora_a": a, f"{name}.lora_b": b}


def fit(folder: Path, tensors: dict[str, tuple[int, ...]], **more: Any) -> None:
    model = check_gguf(write_gguf(folder / "model.gguf", MODEL))
    path = write_gguf(folder / "adapter.gguf", tensors, "adapter", **more)
    check_lora(check_gguf(path), model, path)


def test_an_adapter_that_fits_is_taken(tmp_path: Path) -> None:
    fit(tmp_path, lora("blk.0.attn_q.weight", (2, 16), (8, 2)) | lora("token_embd.weight", (40, 2), (8, 2)))


@pytest.mark.parametrize(
    ("tensors", "more", "says"),
    [
        (lora("blk.0.attn_q.weight", (2, 17), (8, 2)), {}, "has shape"),
        (lora("blk.0.attn_q.weight", (2, 16), (8, 2)), {"invocation": [5, 6]}, "activated LoRA"),
        (lora("blk.0.attn_q.weight", (2, 16), (9, 2)), {}, "has shape"),
        (lora("blk.0.attn_q.weight", (2, 16), (8, 3)), {}, "has shape"),
        (lora("blk.0.attn_q.weight", (2, 2, 16), (8, 2)), {}, "two matrices"),
        ({"blk.0.attn_q.weight.lora_a": (2, 16)}, {}, "two matrices"),
        (lora("blk.9.attn_q.weight", (2, 16), (8, 2)), {}, "has no weight"),
        ({"blk.0.attn_q.weight": (8, 16)}, {}, "has no weight"),
        ({}, {}, "no matrices"),
        (lora("blk.0.attn_q.weight", (2, 16), (8, 2)), {"alpha": float("nan")}, "alpha"),
        (lora("blk.0.attn_q.weight", (2, 16), (8, 2)), {"type": "control_vector"}, "no LoRA"),
        (lora("blk.0.attn_q.weight", (2, 16), (8, 2)), {"architecture": "qwen2"}, "no adapter for a llama"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], more: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        fit(tmp_path, tensors, **more)


@pytest.mark.parametrize(
    "setting", ["block_count", "embedding_length", "attention.head_count", "context_length", "vocab_size"]
)
@pytest.mark.parametrize("value", [0, 2**32 - 1])
def test_settings_that_native_code_would_die_of_are_refused(tmp_path: Path, setting: str, value: int) -> None:
    path = write_gguf(tmp_path / "model.gguf", MODEL, **{setting: value})
    with pytest.raises(InputError, match=setting):
        check_gguf(path)


@pytest.mark.parametrize("cut", range(0, 2700, 90))
def test_a_truncated_model_is_refused(tmp_path: Path, cut: int) -> None:
    data = write(tmp_path / "good.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[:cut])
    with pytest.raises(InputError, match=r"cut\.gguf"):
        check_gguf(tmp_path / "cut.gguf")


# PEFT adapters


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/tmp/society-was-here"),))


NO_TENSORS = struct.pack("<Q", 2) + b"{}"
"""A sound safetensors file without tensors."""


def peft_folder(folder: Path, weights: str = "adapter_model.safetensors", data: bytes = NO_TENSORS) -> Adapter:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    (folder / weights).write_bytes(data)
    return Adapter("hash", str(folder), "base")


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt", "adapter_model.pkl"])
def test_pickled_weights_are_refused_with_the_remedy(tmp_path: Path, name: str) -> None:
    from backends.hf.adapters import check_adapter

    adapter = peft_folder(tmp_path / "adapter", name, pickle.dumps(Trap()))
    with pytest.raises(BackendError, match=r"\.safetensors") as caught:
        check_adapter(adapter, "base")
    assert "convert them to safetensors" in caught.value.remedy
    assert not Path("/tmp/society-was-here").exists()


def test_pickled_weights_beside_safetensors_are_never_read(tmp_path: Path) -> None:
    from backends.hf.adapters import check_adapter, hash_adapter

    adapter = peft_folder(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BackendError):
        check_adapter(Adapter(hash_adapter(tmp_path / "adapter"), adapter.path, "other"), "base")
    assert not Path("/tmp/society-was-here").exists()


def test_adapters_of_another_base_and_altered_ones_are_refused(tmp_path: Path) -> None:
    from backends.hf.adapters import check_adapter, hash_adapter

    adapter = peft_folder(tmp_path / "adapter")
    with pytest.raises(BackendError, match="was trained on the base"):
        check_adapter(adapter, "another")
    with pytest.raises(BackendError, match="have changed"):
        check_adapter(adapter, "base")
    right = Adapter(hash_adapter(tmp_path / "adapter"), adapter.path, "base-float32")
    assert check_adapter(right, "base-bfloat16") == tmp_path / "adapter"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04.",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 8) + b"not json",
        struct.pack("<Q", 66) + b'{"a.lora_A.weight":{"dtype":"F32","shape":[9,9],"data_offsets":[0,4]}}'[:66],
    ],
)
def test_damaged_safetensors_are_errors_for_people(tmp_path: Path, data: bytes) -> None:
    from backends.models.peft_folder import check_fit

    adapter = peft_folder(tmp_path / "adapter", data=data)
    with pytest.raises(BackendError, match="adapter"):
        check_fit(Path(adapter.path), {}, {})


def test_matrices_of_another_shape_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from backends.models.peft_folder import check_fit

    folder = Path(peft_folder(tmp_path / "adapter").path)
    sizes = {"layer": (4, 6)}
    sound = {
        "base_model.model.layer.lora_A.weight": torch.zeros(2, 4),
        "base_model.model.layer.lora_B.weight": torch.zeros(6, 2),
    }
    save_file(sound, folder / "adapter_model.safetensors")
    check_fit(folder, sizes, {})
    for key, wrong, says in (
        ("base_model.model.layer.lora_A.weight", (2, 5), "size 5"),
        ("base_model.model.layer.lora_B.weight", (7, 2), "size 7"),
        ("base_model.model.layer.lora_B.weight", (6, 3), "ranks"),
        ("base_model.model.layer.lora_A.weight", (4,), "matrix"),
    ):
        save_file(sound | {key: torch.zeros(*wrong)}, folder / "adapter_model.safetensors")
        with pytest.raises(BackendError, match=says):
            check_fit(folder, sizes, {})


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["the cat", "the <|end|> cat <|assistant|>", "<|en", "", "  red\n", "<|bos|><|user|>", "\ue000<|end|>"]
)
def test_the_sandbox_writes_a_chat_as_the_tokenizer_would(tmp_path: Path, text: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers", minversion="5.23")  # older tokenizers have no such option
    from backends.hf.chat import Chat
    from backends.hf.loading import load_tokenizer
    from society.core.types import ChatMessage
    from tests.backends.hf.tiny import make_model

    tokenizer = load_tokenizer(make_model(tmp_path / "model"), None)
    messages = [ChatMessage("user", text), ChatMessage("assistant", text), ChatMessage("user", "the dog")]
    plain = [{"role": message.role, "content": message.content} for message in messages]
    wanted = tokenizer.apply_chat_template(
        plain, add_generation_prompt=True, return_dict=False, sanitize_control_tokens=True
    )
    assert Chat(tokenizer, []).prompt_ids(messages) == list(wanted)


@pytest.mark.parametrize("more", [{"tensors": {"rope_freqs.weight": (4,)}}, {"scaling": "linear"}])
def test_a_gguf_whose_rotary_scaling_would_be_lost_is_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    from backends.hf.loading import dequantise

    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_type("model")
    writer.add_string("llama.rope.scaling.type", more.get("scaling", "none"))
    for name, shape in (MODEL | more.get("tensors", {})).items():
        writer.add_tensor(name, np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(BackendError, match="scales its rotary frequencies") as caught:
        dequantise(path)
    assert "llama_cpp" in caught.value.remedy
