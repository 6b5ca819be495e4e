"""Agents with LoRA adapters of their own in one batch of the hf backend, against PEFT's own mixed batches.

    python benchmarks/hf_adapters.py [float32|bfloat16] ...

The same requests each time, spread over three adapters; three interleaved repetitions, ratio of medians of seconds per
token. Beside it the same without adapters: what they cost.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chart import record
from hf_batching import listed, make_requests, measure_batch
from hf_training import make_examples
from machine import describe_machine

import backends.hf.weights as weights
from backends.hf import HuggingFace
from backends.training import TrainSettings
from society.types import GenerateRequest

RESULT = Path(__file__).parent / "results" / "hf_adapters.md"
REPETITIONS, ADAPTERS, LEAST = 3, 3, 1.3
Way = Callable[[Any, list[GenerateRequest]], Any]


async def train_some(backend: Any, folder: Path) -> list[str]:
    """The hashes of adapters that learned a little, loaded."""
    settings, hashes = TrainSettings(epochs=1, batch_size=4, accumulation=1), []
    for number in range(ADAPTERS):
        done = await backend.trainer.train(make_examples(), settings, None, folder / str(number), seed=number)
        await backend.adapters.load(done.adapter)
        hashes.append(done.adapter.hash)
    return hashes


async def measure_peft(backend: Any, requests: list[GenerateRequest]) -> float:
    """Tokens per second where PEFT computes one adapter after another."""
    ours, weights.can_stack = weights.can_stack, lambda peft, names: False
    backend._batcher.batch.weights._unstack()
    try:
        return await measure_batch(backend, requests)
    finally:
        weights.can_stack = ours


async def compare(dtype: str) -> tuple[str, float]:
    """One row of the table, and its ratio."""
    found: dict[str, list[float]] = {"bare": [], "peft": [], "ours": []}
    bare = make_requests()
    config = HuggingFace.model_validate({"dtype": dtype})
    with tempfile.TemporaryDirectory() as folder:
        async with config.open() as backend:
            hashes = await train_some(backend, Path(folder))
            mixed = [replace(request, adapter=hashes[i % ADAPTERS]) for i, request in enumerate(bare)]
            for _ in range(REPETITIONS):
                found["bare"].append(await measure_batch(backend, bare))
                found["peft"].append(await measure_peft(backend, mixed))
                found["ours"].append(await measure_batch(backend, mixed))
    middle = {way: statistics.median(values) for way, values in found.items()}
    ratio = middle["ours"] / middle["peft"]
    cells = " | ".join(listed(values) for values in found.values())
    row = f"| {dtype} | {cells} | {ratio:.2f} | {middle['ours'] / middle['bare']:.2f} |"
    print(row, file=sys.stderr)
    return row, ratio


def main() -> None:
    """Measure, and write the result."""
    measured = {dtype: asyncio.run(compare(dtype)) for dtype in sys.argv[1:] or ["float32", "bfloat16"]}
    record("hf_adapters.py", {f"three adapters in a batch, {name}": (r, LEAST) for name, (_, r) in measured.items()})
    lines = [
        "# hf backend: adapters in one batch",
        "",
        "SmolLM2-135M-Instruct, 48 requests, 64 new tokens each, tokens/s of each repetition, interleaved. Three LoRA",
        f"adapters of rank 16; ratio of medians against PEFT, at least {LEAST:g} claimed.",
        "",
        "| dtype | no adapter | PEFT, one after another | side by side | against PEFT | against no adapter |",
        "|---|---|---|---|---|---|",
        *[row for row, _ in measured.values()],
        "",
        describe_machine(),
        "",
    ]
    RESULT.write_text("\n".join(lines), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
