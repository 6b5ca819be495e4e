"""Sizes of a decoder-only transformer, read from its `config.json`: no weights are loaded.

Known are dense models and mixtures of experts of some families, alone or as the text model (`text_config`) of a model
that also reads images. Parameters are exact, or lack biases and further norms, which are less than 0.2 % of a small
model, and parts of the encoder of images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNTIED = {"llama", "mistral", "ministral3", "qwen2", "qwen3", "glm", "glm4", "granite", "phi3", "olmo", "olmo2"}
UNTIED |= {"olmo3", "exaone4", "seed_oss", "internlm3", "cwm", "hyperclovax", "stablelm"}
TIED = {"gemma", "gemma2", "gemma3_text", "vaultgemma", "cohere", "cohere2", "smollm3", "ernie4_5"}
"""Known dense families, by whether the output layer shares the embeddings where `config.json` does not say so."""
MIXED = {"mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "glm4_moe", "llama4_text"}
"""Known families of mixtures of experts. Their output layer has weights of its own."""
HEADS = {"qwen3": 128, "ministral3": 128, "glm": 128, "glm4": 128, "seed_oss": 128, "internlm3": 128, "cwm": 128}
HEADS |= {"gemma": 256, "gemma2": 256, "gemma3_text": 256, "vaultgemma": 256, "ernie4_5": 128, "llama4_text": 128}
"""Sizes of a head in families in which they are not `hidden_size` divided by the heads, for the same case."""
DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "gemma3_text": {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262_208},
}
"""Sizes that published files of a family leave out."""
VISION = {"siglip_vision_model": 2, "clip_vision_model": 2, "pixtral": 3}
"""Known encoders of images, and the number of matrices in their feed-forward layers."""
KNOWN = f"Known are models of the kinds {', '.join(sorted(UNTIED | TIED | MIXED))}, alone or with an encoder of images."


@dataclass(frozen=True, slots=True)
class Experts:
    """The feed-forward layers with experts. `layers`: their number; `feed_forward`: the width of one expert."""

    layers: int
    number: int
    active: int
    """Number of experts that a token uses."""
    feed_forward: int
    shared: int = 0
    """Width of the experts that every token uses."""


@dataclass(frozen=True, slots=True)
class Images:
    """The encoder of images and its projection. `sides`: sum of the inputs and outputs of its linear layers."""

    parameters: int = 0
    sides: int = 0


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """Sizes of a decoder-only transformer with gated feed-forward layers, from its `config.json`."""

    hidden: int
    layers: int
    feed_forward: int
    heads: int
    key_value_heads: int
    head: int
    vocabulary: int
    tied: bool
    experts: Experts | None = None
    images: Images = Images()

    @property
    def attention(self) -> int:
        """Number of parameters of the linear layers of one layer's attention."""
        return self.hidden * self.head * (2 * self.heads + 2 * self.key_value_heads)

    @property
    def dense_layers(self) -> int:
        """Number of layers without experts."""
        return self.layers - (self.experts.layers if self.experts else 0)

    @property
    def linear(self) -> int:
        """Number of parameters of the linear layers in all layers, without those of experts, which are no modules."""
        shared = self.experts.layers * self.experts.shared if self.experts else 0
        return self.layers * self.attention + 3 * self.hidden * (self.dense_layers * self.feed_forward + shared)

    @property
    def expert_parameters(self) -> int:
        """Number of parameters of all experts and of the routers."""
        if self.experts is None:
            return 0
        return self.experts.layers * self.experts.number * self.hidden * (3 * self.experts.feed_forward + 1)

    @property
    def per_layer(self) -> int:
        """Number of parameters of the largest layer, without norms."""
        dense = 3 * self.hidden * self.feed_forward if self.dense_layers else 0
        if self.experts is None:
            return self.attention + dense
        mixed = self.expert_parameters // max(self.experts.layers, 1) + 3 * self.hidden * self.experts.shared
        return self.attention + max(dense, mixed)

    @property
    def head_parameters(self) -> int:
        """Number of parameters of the output layer."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Number of all parameters: embeddings, layers with two norms each, the last norm, and what reads images."""
        embeddings = self.head_parameters * (1 if self.tied else 2)
        norms = self.hidden * (2 * self.layers + 1)
        return embeddings + self.linear + self.expert_parameters + norms + self.images.parameters

    @property
    def active(self) -> int:
        """Number of the parameters that one token of a text uses."""
        found = self.parameters - self.images.parameters
        if self.experts is None:
            return found
        idle = self.experts.number - self.experts.active
        return found - self.experts.layers * idle * 3 * self.hidden * self.experts.feed_forward

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """Numbers of layers, and the widths that one token uses of their feed-forward layers."""
        found = [(self.dense_layers, self.feed_forward)]
        if self.experts is not None:
            used = self.experts.active * self.experts.feed_forward + self.experts.shared
            found.append((self.experts.layers, used))
        return tuple((layers, width) for layers, width in found if layers)

    def lora(self, rank: int) -> int:
        """Return the number of parameters of LoRA matrices of this rank, without the output layer and experts."""
        width, kv = self.heads * self.head, self.key_value_heads * self.head
        queries_and_output = 2 * (self.hidden + width)
        keys_and_values = 2 * (self.hidden + kv)
        found = self.images.sides + self.layers * (queries_and_output + keys_and_values)
        found += self.dense_layers * 3 * (self.hidden + self.feed_forward)
        if self.experts is not None and self.experts.shared:
            found += self.experts.layers * 3 * (self.hidden + self.experts.shared)
        return rank * found


def read_sizes(config: Mapping[str, Any]) -> ModelSizes | None:
    """Return the sizes in a `config.json`, or None for an unknown model family."""
    inner = config.get("text_config")
    text = {**config, **inner} if isinstance(inner, dict) else dict(config)
    kind = str(text.get("model_type"))
    text = {**DEFAULTS.get(kind, {}), **{name: value for name, value in text.items() if value is not None}}
    if kind not in UNTIED | TIED | MIXED or (kind not in MIXED and has_experts(text)) or "audio_config" in config:
        return None
    try:
        heads, hidden, layers = text["num_attention_heads"], text["hidden_size"], text["num_hidden_layers"]
        reads_images = isinstance(inner, dict) and kind != "llama4_text"  # of Llama 4, the text model alone is opened
        images = _count_images(config["vision_config"], hidden) if reads_images else Images()
        if images is None:
            return None
        return ModelSizes(
            hidden=hidden,
            layers=layers,
            feed_forward=text.get("intermediate_size_mlp") or text["intermediate_size"],
            heads=heads,
            key_value_heads=text.get("num_key_value_heads") or heads,
            head=text.get("head_dim") or HEADS.get(kind) or hidden // heads,
            vocabulary=text["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", kind in TIED))),
            experts=_read_experts(kind, text, layers) if kind in MIXED else None,
            images=images,
        )
    except (LookupError, TypeError, ArithmeticError):
        return None


def _read_experts(kind: str, text: Mapping[str, Any], layers: int) -> Experts:
    """Return the experts of a mixture. Raises `LookupError` if a size is missing."""
    names = [name for name in ("num_local_experts", "num_experts", "n_routed_experts") if name in text]
    number = text[names[0]]
    width = text.get("moe_intermediate_size") or text["intermediate_size"]
    shared = text.get("shared_expert_intermediate_size") or text.get("n_shared_experts", 0) * width
    if kind == "llama4_text":
        shared = width
    return Experts(_count_mixed(text, layers), number, text["num_experts_per_tok"], width, shared)


def _count_mixed(text: Mapping[str, Any], layers: int) -> int:
    """Return the number of layers with experts."""
    if isinstance(listed := text.get("moe_layers"), list) and listed:
        return len(listed)
    step = text.get("decoder_sparse_step") or text.get("interleave_moe_layer_step") or 1
    dense = {*range(text.get("first_k_dense_replace", 0)), *text.get("mlp_only_layers", ())}
    return sum(number % step == step - 1 and number not in dense for number in range(layers))


def _count_images(config: Mapping[str, Any], hidden: int) -> Images | None:
    """Return about the sizes of what reads images. `hidden`: width of the text model. None for an unknown encoder."""
    matrices = VISION.get(str(config.get("model_type")))
    if matrices is None:
        return None
    width, patch, side = config["hidden_size"], config["patch_size"], config.get("image_size", 0)
    positions = 0 if matrices == 3 else (side // patch) ** 2 * width
    layers, feed_forward = config["num_hidden_layers"], config["intermediate_size"]
    encoder = layers * width * (4 * width + matrices * feed_forward)
    sides = layers * (8 * width + matrices * (width + feed_forward))
    return Images(int(encoder + 3 * patch**2 * width + positions + width * hidden), int(sides))


def has_experts(config: Mapping[str, Any]) -> bool:
    """Return whether an option of a `config.json` names experts, unless its value is off or a number of at most 1."""
    named = [value for key, value in config.items() if "expert" in key.lower() or "moe" in key.lower()]
    return any(value is True or (value > 1 if isinstance(value, int | float) else bool(value)) for value in named)
