"""Memory and time of a finetuning on a number of GPUs, computed from the model's sizes, with all arithmetic shown.

Only the model's `config.json` is loaded. Parameters are counted exactly for dense decoder-only transformers.
Floating point operations: 2 a token and parameter forward, 4 backward (Kaplan et al. 2020, arXiv 2001.08361, section
2.1); LoRA needs no gradients of the base's weights, which saves 2 of the 4. Activations after Korthikanti et al. 2022
(arXiv 2205.05198, table 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backends.training import LOGITS, TrainSettings

PEAK, HBM = 989e12, 80e9
"""Operations per second of an H100 in bfloat16 (data sheet, dense), and its memory in bytes."""
UTILIZATION, COMPILED_UTILIZATION = 0.3, 0.4
"""Shares of the peak that a finetuning reached on an H100 (benchmarks/gpu_training.py), without and with `compile`."""
COMPILED_ACTIVATIONS = 0.7
"""Activations that compiled layers keep, as a share of what they keep otherwise; measured in the same way."""
LOGIT_BYTES = 10
"""Bytes for each logit of a chunk: float32 logits and probabilities, and gradients in bfloat16."""
GATHERED_LAYER, GATHERED_HEAD = {True: 12, False: 6}, {True: 6, False: 4}
"""Bytes on each GPU for a parameter of a layer, and of the output layer, that FSDP gathers, by whether it is trained.

2 are the weights in bfloat16, and 2 the buffer in which they arrive. While the loss is computed, the trained output
layer has a gradient of 2. A layer's neighbour is gathered ahead of time (2). Trained, it has gradients of 2, and of 4
while they are summed over the GPUs."""
FOUR_BITS = 0.5625
"""Bytes of a weight in four bits, with its part of a float32 scale for 64 of them."""


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

    @property
    def per_layer(self) -> int:
        """Number of parameters of the linear layers in one layer."""
        attention = self.hidden * self.head * (2 * self.heads + 2 * self.key_value_heads)
        return attention + 3 * self.hidden * self.feed_forward

    @property
    def head_parameters(self) -> int:
        """Number of parameters of the output layer."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Number of all parameters: embeddings, layers with two norms each, and the last norm."""
        embeddings = self.head_parameters * (1 if self.tied else 2)
        return embeddings + self.layers * (self.per_layer + 2 * self.hidden) + self.hidden

    def lora(self, rank: int) -> int:
        """Return the number of parameters of LoRA matrices of this rank, without the output layer."""
        width, kv = self.heads * self.head, self.key_value_heads * self.head
        queries_and_output = 2 * (self.hidden + width)
        keys_and_values = 2 * (self.hidden + kv)
        feed_forward = 3 * (self.hidden + self.feed_forward)
        return self.layers * rank * (queries_and_output + keys_and_values + feed_forward)


def read_sizes(config: Mapping[str, Any]) -> ModelSizes | None:
    """Return the sizes in a `config.json`, or None for an unsupported model family."""
    try:
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        if config.get("num_experts") or config.get("num_local_experts"):
            return None
        return ModelSizes(
            hidden=hidden,
            layers=config["num_hidden_layers"],
            feed_forward=config["intermediate_size"],
            heads=heads,
            key_value_heads=config.get("num_key_value_heads") or heads,
            head=config.get("head_dim") or hidden // heads,
            vocabulary=config["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except KeyError:
        return None


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes per GPU and seconds of one finetuning. `lines` is the arithmetic."""

    gpus: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    opened: float
    """Bytes of the base as the backend opens it, on one GPU."""
    seconds: float
    lines: tuple[str, ...]
    memory: float = HBM
    """Bytes of a GPU."""

    @property
    def total(self) -> float:
        """Total bytes per GPU."""
        return self.weights + self.gradients + self.optimizer + self.activations

    @property
    def fits(self) -> bool:
        """Return whether the base can be opened and trained in 90 % of the GPU memory. The rest is a reserve."""
        return max(self.total, self.opened) < 0.9 * self.memory


def estimate(
    sizes: ModelSizes,
    settings: TrainSettings,
    tokens: int,
    gpus: int,
    longest: int | None = None,
    learned: int | None = None,
    memory: float = HBM,
) -> Footprint:
    """Return the footprint of one finetuning on `tokens` tokens in all epochs, sharded over `gpus` (FSDP).

    `longest` is the maximum of tokens of a row, by default `settings.max_length`. `learned` is the maximum of those
    that the loss is on, by default all. `memory`: bytes of a GPU.
    """
    count, full = sizes.parameters, settings.method == "full"
    trained = count if full else sizes.lora(settings.rank)
    share = gpus if full else 1  # LoRA matrices are not sharded
    weights, held = _weights(sizes, settings, gpus)
    moments = 2.1 if settings.optimizer == "adamw_8bit" else 8
    gradients, optimizer = trained * 4 / share, trained * moments / share
    row = min(longest or settings.max_length, settings.max_length)
    batch, learned = settings.batch_size * row, settings.batch_size * min(learned or row, row)
    kept, layer, shown = _activations(sizes, settings)
    buffers, described = _buffers(sizes, settings, gpus, learned, batch * layer)
    activations = batch * kept + buffers
    factor = (6 if full else 4) + (2 if settings.gradient_checkpointing else 0)
    utilization = COMPILED_UTILIZATION if settings.compile else UTILIZATION
    seconds = factor * count * tokens / (gpus * PEAK * utilization)
    opened, base = _opened(sizes, settings)
    lines = (
        f"weights     {held} = {gb(weights)}",
        f"gradients   {g(trained)} x 4 bytes / {share} = {gb(gradients)}",
        f"optimizer   {g(trained)} x {moments:g} bytes (two moments) / {share} = {gb(optimizer)}",
        f"activations {batch:,} tokens x {shown} + {described} = {gb(activations)}",
        f"opening     {base} = {gb(opened)}, on one GPU before",
        f"checkpoint  {g(trained)} x {4 + moments:g} bytes = {gb(trained * (4 + moments))} on the run's disk, and as "
        "much while the next one is written",
        f"time        {factor} x {g(count)} x {tokens:,} tokens / ({gpus} x {PEAK / 1e12:g} TFLOP/s x "
        f"{utilization:.0%}) = {seconds:,.0f} s",
    )
    return Footprint(gpus, weights, gradients, optimizer, activations, opened, seconds, lines, memory)


def _opened(sizes: ModelSizes, settings: TrainSettings) -> tuple[float, str]:
    """Return the bytes of the base in 16 or 4 bits, and the arithmetic. The backend holds it on one GPU to generate."""
    count = sizes.parameters
    if settings.method != "qlora":
        return count * 2.0, f"{g(count)} x 2 bytes"
    small = sizes.layers * sizes.per_layer
    return small * FOUR_BITS + (count - small) * 2, f"{g(small)} x {FOUR_BITS} bytes + {g(count - small)} x 2"


def _buffers(sizes: ModelSizes, settings: TrainSettings, gpus: int, learned: int, recomputed: int) -> tuple[float, str]:
    """Return the bytes that are needed either for the loss or for a layer's backward pass, and their description.

    The loss needs a chunk of logits, the gradient of a trained output layer, and with FSDP its gathered weights. A
    layer's backward pass needs its `recomputed` activations, gathered weights, or a matrix expanded from 4 bits.
    """
    full, head = settings.method == "full", sizes.head_parameters
    logits = min(learned * sizes.vocabulary, LOGITS) * LOGIT_BYTES
    if gpus > 1:
        gathered, weights = GATHERED_HEAD[full] * head, GATHERED_LAYER[full] * sizes.per_layer
        if sizes.tied:  # the embeddings stay until the backward pass ends, with the gradient of trained ones
            weights += (4 if full else 2) * head
        loss = f"logits {gb(logits)} and the gathered output layer {gb(gathered)}"
        layer = f"gathered layers {gb(weights)}"
    else:
        gathered = 2 * head if full else 0
        weights = 2 * sizes.hidden * sizes.feed_forward if settings.method == "qlora" else 0
        loss = f"logits {gb(logits)}" + (f" and the output layer's gradient {gb(gathered)}" if full else "")
        layer = f"a matrix out of four bits {gb(weights)}" if weights else ""
    parts = [layer] if layer else []
    if recomputed:
        parts.append(f"a recomputed layer {gb(recomputed)}")
    described = f"the larger of {loss}, or {' and '.join(parts)}" if parts else loss
    return max(logits + gathered, weights + recomputed), described


def _weights(sizes: ModelSizes, settings: TrainSettings, gpus: int) -> tuple[float, str]:
    """Return the bytes of all weights on each GPU, and the arithmetic.

    Trained weights are float32. On one GPU they have a copy in bfloat16; FSDP makes that copy layer by layer.
    """
    count, copy = sizes.parameters, 2 if gpus == 1 else 0
    if settings.method == "full":
        return count * (4 + copy) / gpus, f"{g(count)} parameters x {4 + copy} bytes / {gpus}"
    trained = sizes.lora(settings.rank)
    lora = f"{g(trained)} LoRA x 6"
    if settings.method == "lora":
        return count * 2 / gpus + trained * 6, f"{g(count)} parameters x 2 bytes / {gpus} + {lora}"
    opened, shown = _opened(sizes, settings)
    return opened + trained * 6, f"{shown} + {lora}"


def _activations(sizes: ModelSizes, settings: TrainSettings) -> tuple[int, int, str]:
    """Return the bytes of activations that one token keeps for the backward pass, and the arithmetic.

    In between are the bytes that are computed again for one layer at a time. In bfloat16, without attention weights.
    Per layer: the inputs of the norms in float32, of the linear layers, of attention and its output twice, and four
    vectors of the feed-forward layer. Trained norms keep their outputs, too.
    """
    norms = 16 if settings.method == "full" else 12
    width, narrow = sizes.heads * sizes.head, sizes.key_value_heads * sizes.head
    layer = norms * sizes.hidden + 6 * width + 4 * narrow + 8 * sizes.feed_forward
    if settings.gradient_checkpointing:
        return sizes.layers * 2 * sizes.hidden, layer, f"{sizes.layers} layers x {2 * sizes.hidden:,} bytes"
    if settings.compile:
        kept = round(sizes.layers * layer * COMPILED_ACTIVATIONS)
        return kept, 0, f"{sizes.layers} layers x {layer:,} bytes x {COMPILED_ACTIVATIONS} compiled"
    return sizes.layers * layer, 0, f"{sizes.layers} layers x {layer:,} bytes"


def generation_memory(sizes: ModelSizes, sequences: int, tokens: int) -> tuple[float, float, str]:
    """Return the bytes of 16-bit weights, the bytes of the KV cache of the sequences, and the arithmetic.

    Each of the `sequences` has `tokens` tokens.
    """
    per_token = 2 * sizes.layers * sizes.key_value_heads * sizes.head * 2
    cache = float(sequences * tokens * per_token)
    line = (
        f"generation  weights {g(sizes.parameters)} x 2 bytes = {gb(sizes.parameters * 2)}; cache {sequences} x "
        f"{tokens} tokens x (2 x {sizes.layers} layers x {sizes.key_value_heads} heads x {sizes.head} x 2 bytes = "
        f"{per_token:,}) = {gb(cache)}"
    )
    return sizes.parameters * 2.0, cache, line


def g(count: float) -> str:
    """Return a number in billions or millions."""
    return f"{count / 1e9:.3f} G" if count >= 1e8 else f"{count / 1e6:.2f} M"


def gb(size: float) -> str:
    """Return bytes in gigabytes or megabytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"
