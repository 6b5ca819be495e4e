"""Exports PEFT adapters and safetensors to the formats of llama.cpp and other programs.

    export_gguf_adapter   a LoRA adapter as a GGUF adapter, a few megabytes, for any GGUF of the same base
    export_merged         base and adapter as one model folder
    export_gguf_model     a model folder's weights as a GGUF; vocabulary and settings from a GGUF of the same base

llama.cpp rotates neighbouring elements of a head where transformers rotates its two halves: for the `llama` and
`mistral` families, the rows of q_proj and k_proj are permuted. In a LoRA product B A, these are the rows of B.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.models.lora_config import find_fault, find_shared, is_tied, quiet_peft, read_config
from society.core.atomic import move_into_place
from society.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

FAMILIES = {
    "llama": "LLAMA",
    "mistral": "LLAMA",
    "qwen2": "QWEN2",
    "qwen3": "QWEN3",
    "gemma": "GEMMA",
    "gemma2": "GEMMA2",
    "gemma3_text": "GEMMA3",
    "phi3": "PHI3",
}
"""GGUF architectures by the model_type of transformers. Only LLAMA is permuted."""

HEAD = "lm_head.weight"
"""Name of the output layer's weights in transformers."""
PLAIN = {"use_dora", "use_rslora", "fan_in_fan_out", "alpha_pattern"}
"""Options of a PEFT configuration that this program can load, but that a GGUF adapter cannot express."""


@dataclass(frozen=True)
class Names:
    """The GGUF names of a model's tensors, and the order of their rows."""

    architecture: str
    heads: int
    key_heads: int
    blocks: int

    @classmethod
    def of(cls, base: Path) -> Names:
        """Return the names for the config.json of a model folder. Raises `InputError` for unknown families."""
        config = json.loads((base / "config.json").read_text("utf-8"))
        family = config.get("model_type")
        if family not in FAMILIES:
            raise InputError(
                f"Models of type {family} cannot be exported to GGUF.", f"Known types: {', '.join(FAMILIES)}."
            )
        heads = config["num_attention_heads"]
        key_heads = config.get("num_key_value_heads") or heads
        return cls(FAMILIES[family], heads, key_heads, config["num_hidden_layers"])

    @property
    def in_gguf(self) -> str:
        """The architecture's name in GGUF files."""
        from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES

        return str(MODEL_ARCH_NAMES[MODEL_ARCH[self.architecture]])

    def translate(self, weight: str) -> str:
        """Return the GGUF name of a weight of transformers, such as model.layers.0.self_attn.q_proj.weight."""
        name = _known_names(self.architecture, self.blocks).get_name(weight, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise InputError(
                f"{weight} has no place in a GGUF of the architecture {self.in_gguf}.", "Train other layers."
            )
        return str(name)

    def reorder(self, weight: str, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the rows of a weight in GGUF order."""
        heads = {"q_proj": self.heads, "k_proj": self.key_heads}.get(weight.split(".")[-2])
        return rows if self.architecture != "LLAMA" or heads is None else interleave(rows, heads)


@cache  # made for one tensor in 30 ms
def _known_names(architecture: str, blocks: int) -> Any:
    from gguf import get_tensor_name_map
    from gguf.constants import MODEL_ARCH

    return get_tensor_name_map(MODEL_ARCH[architecture], blocks)


def interleave(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Interleave the two halves of the rows of each head: (a b c d) becomes (a c b d)."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def export_gguf_adapter(peft_folder: Path, base: Path, out: Path) -> Path:
    """Write a PEFT LoRA folder as a float32 GGUF adapter. `base`: the model folder that it was trained on.

    Raises `InputError` for adapters that GGUF cannot express and for unknown families.
    """
    from gguf import GGUFWriter
    from gguf.constants import Keys

    names, config = Names.of(base), read_lora(peft_folder)
    tied = is_tied(base)
    writer = GGUFWriter(None, names.in_gguf)
    writer.add_type("adapter")
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, float(config["lora_alpha"]))
    for key, tensor in read_tensors(peft_folder):
        weight, _, matrix = key.removeprefix("base_model.model.").partition(".lora_")
        weight, side = f"{weight}.weight", matrix.partition(".")[0].lower()
        if side not in ("a", "b"):
            raise InputError(f"{key} is no matrix of a plain LoRA.", "Export the PEFT folder, or the merged model.")
        if tied and weight == HEAD:
            raise InputError(
                f"A GGUF of this base has no weights for {HEAD}: they are those of the input embeddings.",
                "Train other layers.",
            )
        rows = names.reorder(weight, tensor) if side == "b" else tensor
        writer.add_tensor(f"{names.translate(weight)}.lora_{side}", rows)
    return _write(writer, out)


def read_lora(peft_folder: Path) -> dict[str, Any]:
    """Return the configuration of a plain LoRA adapter; raise `InputError` if it is anything more."""
    if not (peft_folder / "adapter_config.json").exists():
        raise InputError(f"{peft_folder} is no PEFT folder.", "Full weights are exported with export_gguf_model.")
    config = read_config(peft_folder)
    if fault := find_fault(config):
        raise InputError(f"A GGUF adapter cannot express this adapter: {fault[0]}.", fault[1])
    special = sorted(name for name in PLAIN if config.get(name))
    if special:
        raise InputError(
            f"A GGUF adapter cannot express this adapter: {', '.join(special)}.", "Export the merged model instead."
        )
    return config


def read_tensors(folder: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield every tensor of a folder's safetensors as float32, with its name."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:  # numpy has no bfloat16
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name).float().numpy()


def export_merged(base: Path, peft_folder: Path, out: Path) -> Path:
    """Write base and adapter as one model folder of safetensors, in the base's precision.

    Raises `InputError` for an adapter that is more than matrices beside the base's, or that changes tied weights.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from backends.hf.adapters import write_folder

    model: Any = AutoModelForCausalLM.from_pretrained(base, use_safetensors=True, local_files_only=True, dtype="auto")
    if fault := find_fault(read_config(peft_folder)):
        raise InputError(f"The adapter in {peft_folder} cannot be merged: {fault[0]}.", fault[1])
    with quiet_peft():
        peft: Any = PeftModel.from_pretrained(model, str(peft_folder))
    if shared := find_shared(peft):
        raise InputError(
            f"The adapter in {peft_folder} cannot be merged: {shared[0]} shares its weights with another layer, "
            "which would change, too.",
            "Use the adapter beside its base, or train other layers.",
        )
    try:
        merged: Any = peft.merge_and_unload()
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"The adapter in {peft_folder} cannot be merged: {error}", "Use it beside its base."
        ) from error
    tokenizer: Any = AutoTokenizer.from_pretrained(base, local_files_only=True)

    def write(part: Path) -> None:
        merged.save_pretrained(part)
        tokenizer.save_pretrained(part)

    return write_folder(out, write)


def export_gguf_model(base_gguf: Path, folder: Path, out: Path) -> Path:
    """Write a model folder's weights as a float32 GGUF. Vocabulary and settings are copied from `base_gguf`.

    For the `llama`, `mistral` and `qwen` families, whose weights differ only in the order of rows.
    """
    from gguf import GGUFReader, GGUFWriter, LlamaFileType

    names = Names.of(folder)
    if not names.architecture.startswith(("LLAMA", "QWEN")):
        raise InputError(f"Whole models of the architecture {names.in_gguf} cannot be exported.", "Export the adapter.")
    reader = GGUFReader(base_gguf)
    weights = {names.translate(name): names.reorder(name, tensor) for name, tensor in read_tensors(folder)}
    missing = {tensor.name for tensor in reader.tensors} ^ set(weights)
    if missing - {"output.weight", "rope_freqs.weight"}:
        raise InputError(
            f"{base_gguf} is not of the same base: {', '.join(sorted(missing)[:3])}.", "Give the GGUF of its own base."
        )
    writer = GGUFWriter(None, names.in_gguf)
    _copy_metadata(reader, writer)
    writer.add_file_type(LlamaFileType.ALL_F32)
    for name, tensor in weights.items():
        writer.add_tensor(name, tensor)
    return _write(writer, out)


def _copy_metadata(reader: Any, writer: Any) -> None:
    """Copy the header, except the storage of the weights and the entries that the writer adds itself."""
    fields: Mapping[str, Any] = reader.fields
    for key, field in fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", "general.file_type"):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)


def _write(writer: Any, out: Path) -> Path:
    """Write a GGUF beside its place, then rename it in one step."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    writer.write_header_to_file(part)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return move_into_place(part, out)
