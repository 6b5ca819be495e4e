"""Exports PEFT adapters and safetensors to the formats of llama.cpp and other programs.

    export_gguf_adapter   a LoRA adapter as a GGUF adapter, a few megabytes, for any GGUF of the same base
    export_merged         base and adapter as one model folder

`gguf_model.py` writes whole models as GGUF, `gguf_names.py` knows where each weight has its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.models.gguf_model import HEAD, read_tensors, write_gguf
from backends.models.gguf_names import Names
from backends.models.lora_config import find_fault, find_shared, is_tied, quiet_peft, read_config
from backends.models.peft_folder import find_weights, plain_name, split
from society.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

PLAIN = {"use_dora"}
"""Options of a PEFT configuration that this program can load, but that a GGUF adapter cannot express."""


def export_gguf_adapter(peft_folder: Path, base: Path, out: Path) -> Path:
    """Write a PEFT LoRA folder as a float32 GGUF adapter. `base`: the model folder that it was trained on.

    Raises `InputError` for adapters that GGUF cannot express and for unknown families.
    """
    import numpy as np
    from gguf import GGUFWriter
    from gguf.constants import Keys

    names, config = Names.of(base), read_lora(peft_folder)
    pairs = read_pairs(peft_folder)
    if is_tied(base) and HEAD.removesuffix(".weight") in pairs:
        raise InputError(
            f"A GGUF of this base has no weights for {HEAD}: they are those of the input embeddings.",
            "Train other layers.",
        )
    alpha = float(config.get("lora_alpha", 8)) or 1.0
    writer = GGUFWriter(None, names.in_gguf)
    writer.add_type("adapter")
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, alpha)
    for layer, (a, b) in pairs.items():
        # llama.cpp multiplies by alpha / rank; whatever differs from that is part of B.
        scaled = b * np.float32(find_scale(config, layer, len(a)) * len(a) / alpha)
        for name, rows in names.places(f"{layer}.weight", scaled):
            writer.add_tensor(f"{name}.lora_a", a)
            writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(rows))
    return write_gguf(writer, out)


def read_pairs(peft_folder: Path) -> dict[str, tuple[Array, Array]]:
    """Return the matrices A (rank, inputs) and B (outputs, rank) of each layer of a LoRA, by the name of the layer."""
    found: dict[str, dict[str, Array]] = {}
    for key, tensor in read_tensors(find_weights(peft_folder)):
        layer, kind = split(plain_name(key))
        if kind not in ("lora_A", "lora_B"):
            raise InputError(f"{key} is no matrix of a plain LoRA.", "Export the PEFT folder, or the merged model.")
        found.setdefault(layer, {})[kind] = tensor
    for layer, sides in found.items():
        if len(sides) < 2:
            raise InputError(f"{layer} has only one of the two matrices of a LoRA.", "Restore the folder from a copy.")
    return {layer: (sides["lora_A"], sides["lora_B"]) for layer, sides in found.items()}


def find_scale(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """Return the factor of a layer's product B A: alpha / rank, or alpha / sqrt(rank) with rank-stabilised LoRA."""
    alpha = float(config.get("lora_alpha", 8))
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            alpha = float(value)
            break
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


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


def export_merged(base: Path, peft_folder: Path, out: Path) -> Path:
    """Write base and adapter as one model folder of safetensors, in the base's precision.

    Raises `InputError` for an adapter that is more than matrices beside the base's, or that changes tied weights.
    """
    from peft import PeftModel
    from transformers import AutoTokenizer

    from backends.hf.adapters import write_folder
    from backends.hf.loading import find_class

    model: Any = find_class(base).from_pretrained(base, use_safetensors=True, local_files_only=True, dtype="auto")
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
