"""Memory and time of a finetuning on a number of GPUs, computed from the model's sizes, with all arithmetic shown.

Only the model's `config.json` is loaded. Parameters are counted exactly for dense decoder-only transformers.
Floating point operations: 2 a token and parameter forward, 4 backward (Kaplan et al. 2020, arXiv 2001.08361, section
2.1); LoRA needs no gradients of the base's weights, which saves 2 of the 4. Activations after Korthikanti et al. 2022
(arXiv 2205.05198, table 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backends.training import LOGITS, TrainSettings
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.training.learners import learners

if TYPE_CHECKING:
    from society.planning.dry_run import PlannedTurn
    from society.scenario.expand import Society

GPUS = (1, 4, 8)
PEAK, HBM = 989e12, 80e9
"""Operations per second of an H100 in bfloat16 (data sheet, dense), and its memory in bytes."""
UTILIZATION, COMPILED_UTILIZATION = 0.3, 0.4
"""Shares of the peak that a finetuning reached on an H100 (benchmarks/gpu_training.py), without and with `compile`."""
COMPILED_ACTIVATIONS = 0.7
"""Activations that compiled layers keep, as a share of what they keep otherwise; measured in the same way."""
LOGIT_BYTES = 14
"""Bytes for each logit of a chunk: float32 logits and probabilities, and copies of both in bfloat16."""
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
    def parameters(self) -> int:
        """Number of all parameters: embeddings, layers with two norms each, and the last norm."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
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
    seconds: float
    lines: tuple[str, ...]

    @property
    def total(self) -> float:
        """Total bytes per GPU."""
        return self.weights + self.gradients + self.optimizer + self.activations

    @property
    def fits(self) -> bool:
        """Return whether the total is below 90 % of the GPU memory. The rest is a reserve for other memory."""
        return self.total < 0.9 * HBM


def estimate(
    sizes: ModelSizes, settings: TrainSettings, tokens: int, gpus: int, longest: int | None = None
) -> Footprint:
    """Return the footprint of one finetuning on `tokens` tokens in all epochs, sharded over `gpus` (FSDP).

    `longest` is the maximum of tokens of a row; by default `settings.max_length`.
    """
    count, full = sizes.parameters, settings.method == "full"
    trained = count if full else sizes.lora(settings.rank)
    share = gpus if full else 1  # LoRA matrices are not sharded
    weights, held = _weights(sizes, settings, gpus)
    moments = 2.1 if settings.optimizer == "adamw_8bit" else 8
    gradients, optimizer = trained * 4 / share, trained * moments / share
    batch = settings.batch_size * min(longest or settings.max_length, settings.max_length)
    kept, shown = _activations(sizes, settings)
    logits = min(batch * sizes.vocabulary, LOGITS) * LOGIT_BYTES
    layer = sizes.per_layer * (4 if full else 2) * int(gpus > 1)  # one layer is gathered during its computation
    activations = batch * kept + logits + layer
    factor = (6 if full else 4) + (2 if settings.gradient_checkpointing else 0)
    utilization = COMPILED_UTILIZATION if settings.compile else UTILIZATION
    seconds = factor * count * tokens / (gpus * PEAK * utilization)
    gathered = f" + a gathered layer {_gb(layer)}" if layer else ""
    lines = (
        f"weights     {held} = {_gb(weights)}",
        f"gradients   {_g(trained)} x 4 bytes / {share} = {_gb(gradients)}",
        f"optimizer   {_g(trained)} x {moments:g} bytes (two moments) / {share} = {_gb(optimizer)}",
        f"activations {batch:,} tokens x {shown} + logits {_gb(logits)}{gathered} = {_gb(activations)}",
        f"time        {factor} x {_g(count)} x {tokens:,} tokens / ({gpus} x {PEAK / 1e12:g} TFLOP/s x "
        f"{utilization:.0%}) = {seconds:,.0f} s",
    )
    return Footprint(gpus, weights, gradients, optimizer, activations, seconds, lines)


def _weights(sizes: ModelSizes, settings: TrainSettings, gpus: int) -> tuple[float, str]:
    """Return the bytes of all weights on each GPU, and the arithmetic.

    Trained weights are float32. On one GPU they have a copy in bfloat16; FSDP makes that copy layer by layer.
    """
    count, copy = sizes.parameters, 2 if gpus == 1 else 0
    if settings.method == "full":
        return count * (4 + copy) / gpus, f"{_g(count)} parameters x {4 + copy} bytes / {gpus}"
    trained = sizes.lora(settings.rank)
    lora = f"{_g(trained)} LoRA x 6"
    if settings.method == "lora":
        return count * 2 / gpus + trained * 6, f"{_g(count)} parameters x 2 bytes / {gpus} + {lora}"
    small = sizes.layers * sizes.per_layer
    shown = f"{_g(small)} parameters x {FOUR_BITS} bytes + {_g(count - small)} x 2 + {lora}"
    return small * FOUR_BITS + (count - small) * 2 + trained * 6, shown


def _activations(sizes: ModelSizes, settings: TrainSettings) -> tuple[float, str]:
    """Return the bytes of activations that one token keeps for the backward pass, and the arithmetic.

    In bfloat16, without attention weights. Per layer: the inputs of the norms in float32, of the linear layers, of
    attention and its output twice, and four vectors of the feed-forward layer. Trained norms keep their outputs, too.
    """
    norms = 16 if settings.method == "full" else 12
    width, narrow = sizes.heads * sizes.head, sizes.key_value_heads * sizes.head
    layer = norms * sizes.hidden + 6 * width + 4 * narrow + 8 * sizes.feed_forward
    if settings.gradient_checkpointing:
        kept = sizes.layers * 2 * sizes.hidden + layer
        return float(kept), f"({sizes.layers} layers x {2 * sizes.hidden:,} bytes + {layer:,} in one layer)"
    if settings.compile:
        kept = round(sizes.layers * layer * COMPILED_ACTIVATIONS)
        return float(kept), f"{sizes.layers} layers x {layer:,} bytes x {COMPILED_ACTIVATIONS} compiled"
    return float(sizes.layers * layer), f"{sizes.layers} layers x {layer:,} bytes"


def generation_memory(sizes: ModelSizes, sequences: int, tokens: int) -> tuple[float, float, str]:
    """Return the bytes of 16-bit weights, the bytes of the KV cache of the sequences, and the arithmetic.

    Each of the `sequences` has `tokens` tokens.
    """
    per_token = 2 * sizes.layers * sizes.key_value_heads * sizes.head * 2
    cache = float(sequences * tokens * per_token)
    line = (
        f"generation  weights {_g(sizes.parameters)} x 2 bytes = {_gb(sizes.parameters * 2)}; cache {sequences} x "
        f"{tokens} tokens x (2 x {sizes.layers} layers x {sizes.key_value_heads} heads x {sizes.head} x 2 bytes = "
        f"{per_token:,}) = {_gb(cache)}"
    )
    return sizes.parameters * 2.0, cache, line


def launch_command(processes: int) -> tuple[str, ...]:
    """Return the commands that start such a finetuning: by the run, and with the same processes by hand."""
    return (
        f"society run SCENARIO --set 'train.parallel={{kind: fsdp, processes: {processes}}}'",
        f"  which starts {processes} x `python -m backends.hf.sharded FOLDER`; by hand, with the same folder: "
        f"accelerate launch --multi_gpu --num_processes {processes} --num_machines 1 --mixed_precision no "
        "--dynamo_backend no -m backends.hf.sharded FOLDER",
    )


def describe_training(society: Society, worst: Sequence[PlannedTurn]) -> list[str]:
    """Return lines about the maximum footprint of each learner's finetuning on 1, 4 and 8 GPUs, and its commands.

    There are no lines for a model whose sizes are not known on this machine.
    """
    spec = society.scenario.train
    if spec is None:
        return []
    lines: list[str] = []
    for name, learner in spec.learners.items():
        turns = [turn for turn in worst if turn.phase in learner.phases]
        config = society.scenario.backends[turns[0].backend].read_config() if turns else None
        sizes = read_sizes(config) if config else None
        if sizes is None:
            continue
        longest = min(max(turn.prompt + turn.answer for turn in turns), spec.settings.max_length)
        sources = max(len(one.sources) for one in learners(society, spec) if one.name == name)
        size, tokens = most_tokens(learner, spec, spec.questions * society.scenario.samples, sources, longest)
        lines.append(
            f"Finetuning {name!r} once ({spec.settings.method}), at most: {size} x "
            f"{spec.settings.epochs} epochs = {tokens:,} tokens; computed for H100 GPUs of {_gb(HBM)}:"
        )
        for gpus in GPUS:
            found = estimate(sizes, spec.settings, tokens, gpus, longest)
            verdict = "fits" if found.fits else "does not fit"
            lines.append(f"  {gpus} GPU{'s' if gpus > 1 else ''}: {_gb(found.total)} each, {verdict}")
            lines += [f"    {line}" for line in found.lines]
        lines.append("  " + generation_memory(sizes, society.scenario.concurrency, longest)[2])
    if not lines:
        return []
    return [*lines, *launch_command(spec.parallel.processes if spec.parallel else GPUS[-1])]


def most_tokens(learner: LearnerSpec, spec: TrainSpec, debates: int, sources: int, longest: int) -> tuple[str, int]:
    """Return the maximum size of one finetuning in words, and its tokens. `sources`: number of source agents."""
    limit = learner.most_rows(debates) or debates
    rows = sources * (limit if learner.repeat else min(limit, debates))
    whole = rows * longest
    if learner.tokens is not None and (sources * learner.tokens < whole or (learner.repeat and learner.rows is None)):
        return f"{sources * learner.tokens:,} tokens", sources * learner.tokens * spec.settings.epochs
    return f"{rows:,} rows x {longest:,} tokens", whole * spec.settings.epochs


def _g(count: float) -> str:
    return f"{count / 1e9:.3f} G" if count >= 1e8 else f"{count / 1e6:.2f} M"


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"
