"""Agents with LoRA adapters of their own in one batch of the hf backend, against PEFT's own mixed batches.

    python benchmarks/hf_adapters.py [float32|bfloat16] ...

The same requests each time, spread over three adapters; three interleaved repetitions, ratio of medians of seconds per
token. Beside it the same without adapters: what they cost. Last, what rounding makes of an adapter: how far its next
words in bfloat16 are from those in float32.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from society.core.types import Adapter, GenerateRequest

RESULT = Path(__file__).parent / "results" / "hf_adapters.md"
REPETITIONS, ADAPTERS, LEAST = 3, 3, 1.3
Way = Callable[[Any, list[GenerateRequest]], Any]


async def train_some(backend: Any, folder: Path) -> list[str]:
    """Return the hashes of adapters that learned a little, loaded."""
    settings, hashes = TrainSettings(epochs=1, batch_size=4, accumulation=1), []
    for number in range(ADAPTERS):
        done = await backend.trainer.train(make_examples(), settings, None, folder / str(number), seed=number)
        await backend.adapters.load(done.adapter)
        hashes.append(done.adapter.hash)
    return hashes


@contextmanager
def apart(model: weights.Weights, stacked: bool = False) -> Iterator[None]:
    """Let PEFT compute adapters, one after another, within this context, unless they are to be stacked."""
    ours = weights.can_stack
    if not stacked:
        model._unstack()
        weights.can_stack = lambda peft, names: False
    try:
        yield
    finally:
        weights.can_stack = ours


async def measure_peft(backend: Any, requests: list[GenerateRequest]) -> float:
    """Tokens per second where PEFT computes one adapter after another."""
    with apart(backend._batcher.batch.weights):
        return await measure_batch(backend, requests)


async def compare(dtype: str) -> tuple[str, float]:
    """Return one row of the table, and its ratio."""
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


async def next_words(dtype: str, adapter: Adapter | None, stacked: bool = True) -> list[Any]:
    """Log-probabilities, (tokens, vocabulary), along every example of the training, under an adapter."""
    import torch

    found = []
    async with HuggingFace.model_validate({"dtype": dtype}).open() as backend:
        model: Any = backend._batcher.batch.weights  # type: ignore[attr-defined]
        if adapter is not None:
            await backend.adapters.load(adapter)  # type: ignore[union-attr]
        with apart(model, stacked), torch.inference_mode():
            for example in make_examples():
                ids = torch.tensor([backend.tokenizer.prompt_ids(example.messages)])  # type: ignore[union-attr]
                logits = model.forward([adapter.hash if adapter else None], input_ids=ids).logits
                found.append(logits[0].double().log_softmax(-1))
    return found


async def measure_rounding() -> list[str]:
    """Mean KL divergence of the next word in bfloat16 from that in float32, as rows: without an adapter, and under a
    young one, side by side and by PEFT; and how far the adapter itself has come from the base."""
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainSettings(epochs=1, batch_size=4, accumulation=1)
        async with HuggingFace().open() as backend:
            assert backend.trainer is not None
            done = await backend.trainer.train(make_examples(), settings, None, Path(folder, "young"), seed=1)
        base, young = await next_words("float32", None), await next_words("float32", done.adapter)
        rows = {
            "no adapter": (base, await next_words("bfloat16", None)),
            "one of four steps, PEFT": (young, await next_words("bfloat16", done.adapter, stacked=False)),
            "one of four steps, side by side": (young, await next_words("bfloat16", done.adapter)),
            "for comparison, the base in float32": (young, base),
        }
    return [f"| {name} | {divergence(exact, other):.5f} |" for name, (exact, other) in rows.items()]


def divergence(exact: list[Any], others: list[Any]) -> float:
    """Mean KL(exact || other) over texts, in nats for a word."""
    means = [float((p.exp() * (p - q)).sum(-1).mean()) for p, q in zip(exact, others, strict=True)]
    return statistics.fmean(means)


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
        "What bfloat16 makes of an adapter: mean KL divergence of the next word from that in float32, in nats.",
        "",
        "| adapter | divergence |",
        "|---|---|",
        *asyncio.run(measure_rounding()),
        "",
        describe_machine(),
        "",
    ]
    RESULT.write_text("\n".join(lines), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
