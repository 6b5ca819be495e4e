"""Places of the weights of transformers in GGUF files: their names, and the order and scale of their rows.

A GGUF file of some families has other weights than the model folder that it was made from:

- llama.cpp rotates neighbouring elements of a head where transformers rotates its two halves: for some families, the
  rows of q_proj and k_proj are interleaved.
- Falcon H1's multipliers are part of its weights.
- Granite's joint matrices of gate and up projections are two weights each.
- The experts of a layer are one weight of three dimensions.

All these changes move, scale or split rows. In a LoRA product B A, the rows are those of B.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.core.errors import InputError
from society.core.regular_files import read_json

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

log = logging.getLogger(__name__)

FAMILIES = {
    "cohere2": "COHERE2",
    "falcon_h1": "FALCON_H1",
    "gemma": "GEMMA",
    "gemma2": "GEMMA2",
    "gemma3": "GEMMA3",
    "gemma3_text": "GEMMA3",
    "gpt2": "GPT2",
    "granite": "GRANITE",
    "granitemoe": "GRANITE_MOE",
    "granitemoehybrid": "GRANITE_HYBRID",
    "jamba": "JAMBA",
    "lfm2": "LFM2",
    "llama": "LLAMA",
    "mamba": "MAMBA",
    "mamba2": "MAMBA2",
    "mistral": "LLAMA",
    "mixtral": "LLAMA",
    "olmo2": "OLMO2",
    "olmo3": "OLMO2",
    "phi3": "PHI3",
    "qwen2": "QWEN2",
    "qwen3": "QWEN3",
    "qwen3_moe": "QWEN3MOE",
    "smollm3": "SMOLLM3",
}
"""GGUF architectures by the model_type of transformers. A test compares the logits of each with transformers."""
INTERLEAVED = frozenset({"GRANITE", "GRANITE_HYBRID", "GRANITE_MOE", "LLAMA", "SMOLLM3"})
"""Architectures whose rows of q_proj and k_proj are interleaved."""
_EXPERT = re.compile(r"\.experts\.(\d+)\.")
_RENAMED = (
    (_EXPERT, ".experts."),
    (re.compile(r"\.language_model\b|\blanguage_model\."), ""),  # the text part of a model that also sees images
    (re.compile(r"feed_forward\.experts\."), "mlp.experts."),  # Jamba
    (re.compile(r"\.dt_bias$"), ".dt_proj.bias"),
)
"""Names of transformers that the `gguf` package knows under another name."""
_JOINT = {
    "block_sparse_moe.input_linear": ("FFN_GATE_EXP", "FFN_UP_EXP"),
    "shared_mlp.input_linear": ("FFN_GATE_SHEXP", "FFN_UP_SHEXP"),
}
"""Joint matrices of Granite's gate and up projections, and their parts."""


@dataclass(frozen=True)
class Names:
    """The GGUF names of a model's weights, and the order and scale of their rows."""

    architecture: str
    blocks: int
    config: Mapping[str, Any]
    """The config.json of the model folder, of its text part."""

    @classmethod
    def of(cls, base: Path) -> Names:
        """Return the names for the config.json of a model folder. Raises `InputError` for unknown families."""
        try:
            whole = read_json(base / "config.json")
        except (OSError, ValueError) as error:
            raise InputError(
                f"The configuration of {base} cannot be read: {error}.", "Give a whole model folder."
            ) from error
        if fault := find_fault(whole):
            raise InputError(fault, f"Known types: {', '.join(FAMILIES)}.")
        family = whole["model_type"]
        config = whole.get("text_config") or whole
        return cls(FAMILIES[family], config.get("num_hidden_layers") or config["n_layer"], config)

    @property
    def in_gguf(self) -> str:
        """The architecture's name in GGUF files."""
        from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES

        return str(MODEL_ARCH_NAMES[MODEL_ARCH[self.architecture]])

    def places(self, weight: str, rows: Array) -> Iterator[tuple[str, Array]]:
        """Yield the GGUF names of a weight such as model.layers.0.self_attn.q_proj.weight, each with its rows.

        `rows` has any number of columns. Raises `InputError` if the weight has no place in a GGUF file.
        """
        import numpy as np

        parts = next((parts for joint, parts in _JOINT.items() if f".{joint}." in weight), None)
        if parts is None:
            yield self._name(weight), self._arrange(weight, rows)
            return
        layer = int(re.findall(r"\.(\d+)\.", weight)[0])
        for part, half in zip(parts, np.split(rows, 2, axis=-2), strict=True):
            yield self._part(part, layer), half

    def _part(self, part: str, layer: int) -> str:
        from gguf.constants import MODEL_TENSOR, TENSOR_NAMES

        shared = part.removesuffix("_SHEXP") if not self.config.get("num_local_experts") else part
        return f"{TENSOR_NAMES[MODEL_TENSOR[shared]].format(bid=layer)}.weight"

    def _name(self, weight: str) -> str:
        known = weight
        for pattern, name in _RENAMED:
            known = pattern.sub(name, known)
        found = _known_names(self.architecture, self.blocks).get_name(known, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise InputError(
                f"{weight} has no place in a GGUF of the architecture {self.in_gguf}.", "Train other layers."
            )
        dense = "shared_mlp" in weight and not self.config.get("num_local_experts")
        return str(found).replace("_shexp", "") if dense else str(found)

    def _arrange(self, weight: str, rows: Array) -> Array:
        layer = weight.rpartition(".")[0].rpartition(".")[2]
        if self.architecture == "FALCON_H1":
            scaled: Array = rows * self._multipliers(layer, rows)
            return scaled
        if self.architecture not in INTERLEAVED or layer not in ("q_proj", "k_proj"):
            return rows
        heads: int = self.config["num_attention_heads"]
        return interleave(rows, heads if layer == "q_proj" else self.config.get("num_key_value_heads") or heads)

    def _multipliers(self, layer: str, rows: Array) -> Any:
        """Return the multiplier of each row of a layer of Falcon H1."""
        import numpy as np

        config = self.config
        attention = config["attention_in_multiplier"]
        single = {
            "gate_proj": config["mlp_multipliers"][0],
            "down_proj": config["mlp_multipliers"][1],
            "q_proj": attention,
            "k_proj": attention * config["key_multiplier"],
            "v_proj": attention,
            "o_proj": config["attention_out_multiplier"],
            "out_proj": config["ssm_out_multiplier"],
            "lm_head": config["lm_head_multiplier"],
            "embed_tokens": config["embedding_multiplier"],
        }
        if layer != "in_proj":
            return np.float32(single.get(layer, 1.0))
        inner, state = config["mamba_d_ssm"], config["mamba_n_groups"] * config["mamba_d_state"]
        sizes = (inner, inner, state, state, len(rows) - 2 * inner - 2 * state)
        factors = np.repeat(np.array(config["ssm_multipliers"], np.float32), sizes)
        return (config["ssm_in_multiplier"] * factors).astype(np.float32).reshape(-1, *[1] * (rows.ndim - 1))


def find_fault(config: Mapping[str, Any]) -> str:
    """Return why models with this config.json cannot be exported to GGUF, or ""."""
    family = config.get("model_type")
    return "" if family in FAMILIES else f"Models of type {family} cannot be exported to GGUF."


def warn_unexportable(base: Path) -> None:
    """Log a warning if adapters of a model folder cannot be exported to GGUF."""
    with contextlib.suppress(OSError, ValueError):  # opening the model reports a damaged folder
        if fault := find_fault(read_json(base / "config.json")):
            log.warning("%s The trained adapters work with the backend hf alone.", fault)


@cache  # made for one tensor in 30 ms
def _known_names(architecture: str, blocks: int) -> Any:
    from gguf import get_tensor_name_map
    from gguf.constants import MODEL_ARCH

    return get_tensor_name_map(MODEL_ARCH[architecture], blocks)


def find_expert(weight: str) -> int | None:
    """Return the number of the expert that a weight belongs to, or None."""
    match = _EXPERT.search(weight)
    return int(match[1]) if match else None


def interleave(rows: Array, heads: int) -> Array:
    """Interleave the two halves of the rows of each head: (a b c d) becomes (a c b d)."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)
