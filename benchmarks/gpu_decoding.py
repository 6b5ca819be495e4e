"""Decoding on a GPU: the static cache with CUDA graphs against the dynamic cache, and prompts against the card's peak.

    python benchmarks/gpu_decoding.py [--sizes 8b 1b] [--rows 256 96 1] [--new 64] [-o FILE]

Models are random Llamas in bfloat16, made on the card; prompts are random tokens of unequal length. Tokens/s are those
of the middle steps, while all rows decode; prompts are measured by themselves. Figures of the static cache are medians
of the steps of a second run, since the first one records graphs. `--sizes tiny` tries the script on a CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from machine import describe_machine

from backends.hf.batching import Batcher
from backends.hf.decode import Batch
from backends.hf.rows import Row
from backends.hf.static import StaticBatch
from backends.hf.weights import Weights
from society.core.types import ChatMessage, GenerateRequest, Sampling

RESULT = Path(__file__).parent / "results" / "gpu_decoding.md"
PEAK = 989e12
"""Dense bfloat16 operations a second of an H100 or H200, by its data sheet."""
VOCABULARY = 49152
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 20, "num_attention_heads": 32},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
}
INTRODUCTION = """\
{card}; torch {torch}, transformers {transformers}. Random Llamas in bfloat16: 1b has 1.3 billion parameters, 8b 7.4.
Prompts of 150 to 350 tokens, temperature 0.8, top_k 50, top_p 0.95, LoRA adapters of rank 16 on all linear layers.
`dynamic, cuDNN` has the attention of the backend before the static cache. One run of each way."""
SAMPLING = {"temperature": 0.8, "top_p": 0.95, "top_k": 50}
ADAPTERS = ("one", "two", "three")


class NoThoughts:
    """The thoughts of a model that does not think."""

    def reader(self, *_: object) -> None:
        """Return None: no reply has a thought."""


class Numbers:
    """A chat without a tokenizer: no token ends a reply, and replies have no text."""

    stops: frozenset[int] = frozenset()
    thoughts = NoThoughts()

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of tokens."""
        return ""


@dataclass
class Speed:
    """Seconds of the steps of one run, and of the whole run."""

    rows: int
    steps: list[float] = field(default_factory=list)
    whole: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens a second while all rows decode."""
        return self.rows / statistics.median(self.steps[2:-2])


def say(*words: object) -> None:
    """Print at once, with the time."""
    print(f"[{time.perf_counter() - STARTED:6.1f}]", *words, flush=True)


def make_weights(size: str, dtype: torch.dtype, device: str) -> Weights:
    """Return a random model on the device."""
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        num_key_value_heads=8 if size != "tiny" else 2,
        max_position_embeddings=8192,
        tie_word_embeddings=size != "8b",
        **SIZES[size],
    )
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = transformers.LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    return Weights(model.eval().requires_grad_(False), Path(), "0" * 64)


def add_adapters(weights: Weights) -> None:
    """Put three random LoRA adapters of rank 16 on all linear layers."""
    from peft import LoraConfig, get_peft_model

    config = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    for name in ADAPTERS:
        if weights.peft is None:
            weights.peft = get_peft_model(weights.model, LoraConfig(**config), name)
        else:
            weights.peft.add_adapter(name, LoraConfig(**config))
        weights.lora[name] = Path()
    for name, parameter in weights.peft.named_parameters():
        if ".lora_" in name:
            parameter.data = torch.randn_like(parameter).to(weights.model.dtype) * 0.02
    weights.peft.eval().requires_grad_(False)


def make_rows(
    count: int,
    new: int,
    lengths: tuple[int, int],
    adapters: Sequence[str | None] = (None,),
    seed: int = 0,
    **sampling: Any,
) -> list[Row]:
    """Return rows with random prompts whose lengths lie between `lengths`."""
    draw = random.Random(seed)
    message = (ChatMessage("user", ""),)
    return [
        Row(
            GenerateRequest(
                message, Sampling(**{**SAMPLING, **sampling, "max_tokens": new}), i, adapters[i % len(adapters)]
            ),
            [draw.randrange(VOCABULARY) for _ in range(draw.randint(*lengths))],
            Numbers(),  # type: ignore[arg-type]
        )
        for i in range(count)
    ]


def decode(batch: Any, rows: list[Row], tokens: int) -> Speed:
    """Decode rows through the batcher, as the backend does."""
    speed, advance = Speed(len(rows)), batch.advance

    def timed(joining: Sequence[Row]) -> list[Row]:
        ended: list[Row] = advance(joining)
        stamps.append(time.perf_counter())
        return ended

    async def work(thread: ThreadPoolExecutor) -> None:
        async def run(function: Callable[..., Any], *arguments: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(thread, function, *arguments)

        batcher = Batcher(batch, run, len(rows), tokens)
        await asyncio.gather(*map(batcher.generate, rows))

    stamps: list[float] = []
    batch.advance = timed
    started = time.perf_counter()
    try:
        with ThreadPoolExecutor(1) as thread:
            asyncio.run(work(thread))
    finally:
        del batch.advance
    speed.whole = time.perf_counter() - started
    speed.steps = [after - before for before, after in pairwise(stamps)]
    return speed


def compute_prompts(batch: StaticBatch, rows: list[Row]) -> float:
    """Return the seconds that the prompts of rows take."""
    synchronize()
    started = time.perf_counter()
    batch.advance(rows)
    synchronize()
    seconds = time.perf_counter() - started
    while batch.rows:
        batch.advance([])
    return seconds


def synchronize() -> None:
    """Wait for the card."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def count_linear(model: Any) -> int:
    """Return the parameters of linear layers that every token meets, without the output layer."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    return sum(m.weight.numel() for name, m in layers.items() if "lora_" not in name and "lm_head" not in name)


def measure(size: str, found: list[dict[str, Any]], options: argparse.Namespace, card: str) -> None:
    """Measure one model, add the figures to those found, and write the result after each."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    started = time.perf_counter()
    weights = make_weights(size, torch.bfloat16, device)
    tokens = options.cache
    static = StaticBatch(weights, max(options.rows), tokens)
    dynamic = Batch(weights)
    say(size, "made in", round(time.perf_counter() - started, 1), "s")

    def note(**cells: Any) -> None:
        found.append({"size": size, **cells})
        if options.o is not None:
            options.o.write_text(report(found, card), "utf-8")
        say(json.dumps(found[-1]))

    def run(count: int, way: str, batch: Any, adapters: Sequence[str | None] = (None,), **sampling: Any) -> None:
        new, first = options.new if batch is static else options.old, 0.0
        if batch is static:
            first = decode(batch, make_rows(count, new, (150, 350), adapters, **sampling), tokens).whole
        speed = decode(batch, make_rows(count, new, (150, 350), adapters, seed=1, **sampling), tokens)
        note(
            rows=count,
            way=way,
            rate=round(speed.rate),
            ms=round(1e3 * count / speed.rate, 2),
            whole=round(count * new / speed.whole),
            recording=round(max(0.0, first - speed.whole), 2),
        )

    for count in options.rows:
        run(count, "static", static)
    prompts(size, static, weights, note, options)
    run(options.rows[0], "static, top_p alone", static, top_k=0)
    for count in options.rows:
        run(count, "dynamic", dynamic)
        torch.backends.cuda.enable_cudnn_sdp(True)
        run(count, "dynamic, cuDNN", dynamic)
        torch.backends.cuda.enable_cudnn_sdp(False)
    add_adapters(weights)
    for count in options.rows:
        run(count, "static, 3 adapters", static, ADAPTERS)


def prompts(size: str, static: StaticBatch, weights: Weights, note: Callable[..., None], options: Any) -> None:
    """Measure prompts of unequal length in one join."""
    for seed in range(3):
        rows = make_rows(64, 1, options.prompts, seed=seed)
        count = sum(len(row.prompt) for row in rows)
        seconds = compute_prompts(static, rows)
        share = 2 * count_linear(weights.model) * count / seconds / PEAK
        if seed:
            note(way="prompts", tokens=count, rate=round(count / seconds), share=round(share, 3))


def report(found: Sequence[dict[str, Any]], card: str) -> str:
    """Return the result in Markdown."""
    compared = ("dynamic, cuDNN", "dynamic", "static")
    rates = {(row["size"], row["rows"], row["way"]): row["rate"] for row in found if "rows" in row}
    lines = [
        "# hf backend: decoding on a GPU",
        "",
        INTRODUCTION.format(card=card, torch=torch.__version__, transformers=transformers.__version__),
        "",
        "| model | rows | way | tokens/s | ms a step | to dynamic, cuDNN | to dynamic | to static |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        if row["way"] == "prompts":
            continue
        others = [rates.get((row["size"], row["rows"], way)) for way in compared]
        ratios = [f"{row['rate'] / other:.2f}" if other else "" for other in others]
        cells = [row["size"], row["rows"], row["way"], f"{row['rate']:,}", row["ms"], *ratios]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| model | prompt tokens | tokens/s | share of 989 TFLOP/s |", "|---|---|---|---|"]
    for row in found:
        if row["way"] == "prompts":
            lines.append(f"| {row['size']} | {row['tokens']:,} | {row['rate']:,} | {row['share']:.1%} |")
    return "\n".join([*lines, "", describe_machine(), ""])


def main() -> None:
    """Measure and write the result after each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["8b", "1b"], choices=SIZES)
    parser.add_argument("--rows", type=int, nargs="+", default=[256, 96, 1])
    parser.add_argument("--new", type=int, default=64, help="new tokens of each row (default: %(default)s)")
    parser.add_argument("--old", type=int, default=12, help="new tokens over the dynamic cache (default: %(default)s)")
    parser.add_argument("--cache", type=int, default=1 << 17, help="tokens in the cache (default: %(default)s)")
    parser.add_argument("--prompts", type=int, nargs=2, default=[400, 620], help="lengths of long prompts")
    parser.add_argument("-o", type=Path, help=f"the result file (default: on a GPU {RESULT.name} in results/)")
    options = parser.parse_args()
    if options.o is None and torch.cuda.is_available() and "tiny" not in options.sizes:
        options.o = RESULT
    torch.backends.cuda.enable_cudnn_sdp(False)
    card = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    found: list[dict[str, Any]] = []
    failed = False
    for size in options.sizes:
        try:
            measure(size, found, options, card)
        except torch.cuda.OutOfMemoryError as error:
            failed = True
            say(size, "does not fit:", str(error).partition(". ")[0], "- lower --cache or --rows")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    print(report(found, card), file=sys.stdout)
    raise SystemExit(int(failed))


STARTED = time.perf_counter()
if __name__ == "__main__":
    main()
