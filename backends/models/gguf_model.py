"""Whole models of transformers as GGUF files. The vocabulary and the settings come from a GGUF of the same base.

export_gguf_model   a model folder as one float32 GGUF
gguf_weights        its weights as llama.cpp names, orders and computes with them
write_gguf          the file itself, written in one step
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.models.gguf_names import Names, find_expert
from backends.models.lora_config import is_tied
from society.core.atomic import move_into_place
from society.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

HEAD = "lm_head.weight"
"""Name of the output layer's weights in transformers."""
_SHIFTED = frozenset({"GEMMA", "GEMMA2", "GEMMA3"})
"""Architectures whose norms multiply by 1 + weight in transformers, and by weight in GGUF."""
_HEADED = frozenset({"FALCON_H1", "GRANITE_HYBRID", "MAMBA2"})
"""Architectures whose states have heads: their decays and skips are columns, their norms have a row for each group."""
TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
"""Ends of the names of GPT-2's weights that are stored as (inputs, outputs)."""


def export_gguf_model(base_gguf: Path, folder: Path, out: Path) -> Path:
    """Write a model folder's weights as a float32 GGUF. Vocabulary and settings are copied from `base_gguf`.

    Raises `InputError` for unknown families, and if `base_gguf` has other weights than the model.
    """
    from gguf import GGUFReader, GGUFWriter, LlamaFileType

    names, reader = Names.of(folder), GGUFReader(base_gguf)
    weights = dict(gguf_weights(folder, names))
    # Converters compute factors of rotary frequencies from the configuration.
    weights |= {tensor.name: tensor.data for tensor in reader.tensors if tensor.name.startswith("rope_f")}
    missing = {tensor.name for tensor in reader.tensors} ^ set(weights)
    if missing - {"output.weight"}:
        raise InputError(
            f"{base_gguf} is not of the same base: {', '.join(sorted(missing)[:3])}.", "Give the GGUF of its own base."
        )
    writer = GGUFWriter(None, names.in_gguf)
    _copy_metadata(reader, writer)
    writer.add_file_type(LlamaFileType.ALL_F32)
    for name, tensor in weights.items():
        writer.add_tensor(name, tensor)
    return write_gguf(writer, out)


def gguf_weights(folder: Path, names: Names) -> Iterator[tuple[str, Array]]:
    """Yield the weights of a model folder in float32, by their GGUF names. Experts of a layer are joined."""
    import numpy as np

    tied = is_tied(folder)
    experts: dict[str, dict[int, Array]] = {}
    for weight, tensor in read_tensors(*sorted(folder.glob("*.safetensors"))):
        if tied and weight == HEAD:
            continue
        for name, rows in names.places(weight, compute_weight(names, weight, tensor)):
            if (expert := find_expert(weight)) is None:
                yield name, np.ascontiguousarray(rows)
            else:
                experts.setdefault(name, {})[expert] = rows
    for name, parts in experts.items():
        yield name, np.stack([parts[expert] for expert in sorted(parts)])


def compute_weight(names: Names, weight: str, tensor: Array) -> Array:
    """Return a weight with the values and the dimensions that llama.cpp computes with."""
    import numpy as np

    if weight.endswith("A_log"):
        tensor = -np.exp(tensor)
    if names.architecture in _HEADED and weight.endswith((".A_log", ".D")):
        return tensor[:, None]
    if names.architecture in _HEADED and weight.endswith((".mixer.norm.weight", ".mamba.norm.weight")):
        groups = names.config.get("n_groups") or names.config["mamba_n_groups"]
        return tensor.reshape(groups, -1)
    if names.architecture in _SHIFTED and weight.endswith("norm.weight"):
        return tensor + 1
    if names.architecture == "GPT2" and weight.endswith(TRANSPOSED):
        return tensor.T
    return tensor.squeeze(1) if weight.endswith(("conv1d.weight", "conv.conv.weight")) else tensor


def read_tensors(*files: Path) -> Iterator[tuple[str, Array]]:
    """Yield every tensor of safetensors files as float32, with its name."""
    from safetensors import safe_open

    for path in files:
        with safe_open(path, "pt") as file:  # numpy has no bfloat16
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name).float().numpy()


def _copy_metadata(reader: Any, writer: Any) -> None:
    """Copy the header, except the storage of the weights and the entries that the writer adds itself."""
    fields: Mapping[str, Any] = reader.fields
    for key, field in fields.items():
        if not key.startswith("GGUF.") and key not in ("general.architecture", "general.file_type"):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)


def write_gguf(writer: Any, out: Path) -> Path:
    """Write a GGUF beside its place, then rename it in one step."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    writer.write_header_to_file(part)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return move_into_place(part, out)
