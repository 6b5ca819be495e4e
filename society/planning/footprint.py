"""Memory and time of a finetuning on a number of GPUs, computed from the model's sizes, with all arithmetic shown.

Only the model's `config.json` is loaded; see `society.planning.sizes`.
Floating point operations: 2 a token and parameter forward, 4 backward (Kaplan et al. 2020, arXiv 2001.08361, section
2.1); LoRA needs no gradients of the base's weights, which saves 2 of the 4. Activations after Korthikanti et al. 2022
(arXiv 2205.05198, table 2).
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.sizes import WeightBytes
from backends.training import LOGITS, TrainSettings
from society.planning.sizes import ModelSizes

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
ROUTED, FROZEN = {True: 6, False: 2}, 2
"""Bytes of activations for each element of a token's vector and each expert that the token goes to, by whether experts
are trained. Frozen experts do not keep the inputs of their matrices: of each hidden element, 2 bytes less."""
BFLOAT16 = WeightBytes()


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes per GPU and seconds of one finetuning. `lines` is the arithmetic."""

    gpus: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    opened: float
    """Bytes of the base as the backend opens it, on each GPU that generates."""
    generation: float
    """Bytes of the opened base and its KV cache, on each GPU that generates."""
    seconds: float
    lines: tuple[str, ...]
    memory: float = HBM
    """Bytes of a GPU."""

    @property
    def total(self) -> float:
        """Total bytes per GPU."""
        return self.weights + self.gradients + self.optimizer + self.activations

    @property
    def most(self) -> float:
        """Maximum bytes on a GPU, of training and generation."""
        return max(self.total, self.generation)

    @property
    def fits(self) -> bool:
        """Return whether the base can generate and be trained in 90 % of the GPU memory. The rest is a reserve."""
        return self.most < 0.9 * self.memory


def estimate(
    sizes: ModelSizes,
    settings: TrainSettings,
    tokens: int,
    gpus: int,
    longest: int | None = None,
    learned: int | None = None,
    memory: float = HBM,
    base: WeightBytes = BFLOAT16,
    cached: int = 0,
    generating: int = 1,
) -> Footprint:
    """Return the footprint of one finetuning on `tokens` tokens in all epochs, sharded over `gpus` (FSDP).

    `longest` is the maximum of tokens of a row, by default `settings.max_length`. `learned` is the maximum of those
    that the loss is on, by default all. The backend holds its base in `base` bytes a weight, and generates with a KV
    cache of `cached` tokens, on `generating` GPUs, or for 0 on a server whose memory is not counted. `memory`: bytes of
    a GPU.
    """
    count, full = sizes.parameters, settings.method == "full"
    trained = count if full else sizes.lora(settings.rank)
    share = gpus if full else 1  # LoRA matrices are not sharded
    weights, held = _weights(sizes, settings, gpus, base)
    moments = 2.1 if settings.optimizer == "adamw_8bit" else 8
    gradients, optimizer = trained * 4 / share, trained * moments / share
    row = min(longest or settings.max_length, settings.max_length)
    batch, learned = settings.batch_size * row, settings.batch_size * min(learned or row, row)
    kept, layer, shown = _activations(sizes, settings)
    buffers, described = _buffers(sizes, settings, gpus, learned, batch * layer, base)
    activations = batch * kept + buffers
    factor = (6 if full else 4) + (2 if settings.gradient_checkpointing else 0)
    utilization = COMPILED_UTILIZATION if settings.compile else UTILIZATION
    seconds = factor * sizes.active * tokens / (gpus * PEAK * utilization)
    opened, shown_base = opened_memory(sizes, base, generating)
    cache, _ = generation_memory(sizes, cached, base, generating)
    lines: tuple[str, ...] = (
        f"weights     {held} = {gb(weights)}",
        f"gradients   {g(trained)} x 4 bytes / {share} = {gb(gradients)}",
        f"optimizer   {g(trained)} x {moments:g} bytes (two moments) / {share} = {gb(optimizer)}",
        f"activations {batch:,} tokens x {shown} + {described} = {gb(activations)}",
        f"opening     {shown_base} = {gb(opened)}, {_place(generating)} before",
        f"checkpoint  {g(trained)} x {4 + moments:g} bytes = {gb(trained * (4 + moments))} on the run's disk, and as "
        "much while the next one is written",
        f"time        {factor} x {g(sizes.active)} x {tokens:,} tokens / ({gpus} x {PEAK / 1e12:g} TFLOP/s x "
        f"{utilization:.0%}) = {seconds:,.0f} s",
    )
    if not generating:
        opened, cache, lines = 0.0, 0.0, tuple(line for line in lines if not line.startswith("opening"))
    return Footprint(gpus, weights, gradients, optimizer, activations, opened, opened + cache, seconds, lines, memory)


def opened_memory(sizes: ModelSizes, base: WeightBytes, gpus: int = 1) -> tuple[float, str]:
    """Return the bytes of the opened base on each of the GPUs that share it, and the arithmetic."""
    count = sizes.parameters
    if base.linear == base.other:
        size, shown = count * base.other, f"{g(count)} x {base.other:g} bytes"
    else:
        small = sizes.linear  # experts are no linear layers, and stay whole
        size = small * base.linear + (count - small) * base.other
        shown = f"{g(small)} x {base.linear:g} bytes + {g(count - small)} x {base.other:g}"
    return (size / gpus, f"({shown}) / {gpus}") if gpus > 1 else (size, shown)


def _buffers(
    sizes: ModelSizes, settings: TrainSettings, gpus: int, learned: int, recomputed: int, base: WeightBytes
) -> tuple[float, str]:
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
        weights = 2 * sizes.hidden * sizes.feed_forward if base.linear < 2 else 0
        loss = f"logits {gb(logits)}" + (f" and the output layer's gradient {gb(gathered)}" if full else "")
        layer = f"a matrix out of four bits {gb(weights)}" if weights else ""
    parts = [layer] if layer else []
    if recomputed:
        parts.append(f"a recomputed layer {gb(recomputed)}")
    described = f"the larger of {loss}, or {' and '.join(parts)}" if parts else loss
    return max(logits + gathered, weights + recomputed), described


def _weights(sizes: ModelSizes, settings: TrainSettings, gpus: int, base: WeightBytes) -> tuple[float, str]:
    """Return the bytes of all weights on each GPU, and the arithmetic.

    Trained weights are float32. On one GPU they have a copy in bfloat16, and so has a float32 base; FSDP makes that
    copy layer by layer.
    """
    count, copy = sizes.parameters, 2 if gpus == 1 else 0
    if settings.method == "full":
        return count * (4 + copy) / gpus, f"{g(count)} parameters x {4 + copy} bytes / {gpus}"
    trained = sizes.lora(settings.rank)
    lora = f"{g(trained)} LoRA x 6"
    if base.linear == base.other:
        each = base.other + (copy if base.other > 2 and settings.precision != "float32" else 0)
        return count * each / gpus + trained * 6, f"{g(count)} parameters x {each:g} bytes / {gpus} + {lora}"
    opened, shown = opened_memory(sizes, base)
    return opened + trained * 6, f"{shown} + {lora}"


def _activations(sizes: ModelSizes, settings: TrainSettings) -> tuple[int, int, str]:
    """Return the bytes of activations that one token keeps for the backward pass, and the arithmetic.

    In between are the bytes that are computed again for one layer at a time. In bfloat16, without attention weights.
    Per layer: the inputs of the norms in float32, of the linear layers, of attention and its output twice, and four
    vectors of the feed-forward layer. Trained norms keep their outputs, too.
    """
    norms = 16 if settings.method == "full" else 12
    width, narrow = sizes.heads * sizes.head, sizes.key_value_heads * sizes.head
    rest = norms * sizes.hidden + 6 * width + 4 * narrow
    kinds = [(layers, rest + 8 * used) for layers, used in sizes.widths]
    if sizes.experts is not None:  # the copies of a token that go to its experts, and their outputs
        (layers, size), full = kinds[-1], settings.method == "full"
        each = ROUTED[full] * sizes.hidden - (0 if full else FROZEN * sizes.experts.feed_forward)
        kinds[-1] = layers, size + sizes.experts.active * each
    if settings.gradient_checkpointing:
        kept = sizes.layers * 2 * sizes.hidden
        return kept, max(size for _, size in kinds), f"{sizes.layers} layers x {2 * sizes.hidden:,} bytes"
    compiled = COMPILED_ACTIVATIONS if settings.compile else 1
    shown = " + ".join(f"{layers} layers x {size:,} bytes" for layers, size in kinds)
    shown = f"({shown})" if len(kinds) > 1 else shown
    more = f" x {COMPILED_ACTIVATIONS} compiled" if settings.compile else ""
    return round(compiled * sum(layers * size for layers, size in kinds)), 0, shown + more


def generation_memory(sizes: ModelSizes, tokens: int, base: WeightBytes, gpus: int = 1) -> tuple[float, str]:
    """Return the bytes of a KV cache of `tokens` tokens beside the opened base, and the arithmetic of both.

    They are the bytes on each of the `gpus` that share them.
    """
    per_token = 2 * sizes.layers * sizes.key_value_heads * sizes.head * base.other
    opened, shown = opened_memory(sizes, base, gpus)
    cache = tokens * per_token / max(gpus, 1)
    line = (
        f"generation  weights {shown} = {gb(opened)}; cache {tokens:,} tokens x (2 x {sizes.layers} layers x "
        f"{sizes.key_value_heads} heads x {sizes.head} x {base.other:g} bytes = {per_token:,.0f})"
        f"{f' / {gpus}' * (gpus > 1)} = {gb(cache)}; "
        f"{gb(opened + cache)} {_place(gpus)}"
    )
    return cache, line


def _place(gpus: int) -> str:
    return f"on each of {gpus} GPUs" if gpus > 1 else "on one GPU"


def g(count: float) -> str:
    """Return a number in billions or millions."""
    return f"{count / 1e9:.3f} G" if count >= 1e8 else f"{count / 1e6:.2f} M"


def gb(size: float) -> str:
    """Return bytes in gigabytes or megabytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"
