"""The hf backend against one `model.generate` after another, on the same machine, model and prompts.

    python benchmarks/hf_batching.py [float32|bfloat16] ...

Three interleaved repetitions of each way; the ratio of the medians counts, since a shared machine is as slow for
one as for the other. Both draw at temperature 0.8; tokens are those generated, prompts included in the time.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chart import record
from machine import describe_machine

from backends.hf import HuggingFace
from society.core.types import ChatMessage, GenerateRequest, Sampling

RESULT = Path(__file__).parent / "results" / "hf_batching.md"
TOPICS = ["the sea", "bread", "a storm", "the moon", "a railway", "salt", "a garden", "winter"]
REPETITIONS, QUESTIONS, AGENTS, TOKENS = 3, 16, 3, 64
LEAST = 8.0
Now = Callable[[], float]
"""A clock, in seconds: of the wall, or of the processors' work."""


def make_requests() -> list[GenerateRequest]:
    """Return the first round of debates: every agent answers the same question, long enough to reach the limit."""
    prompts = [f"Tell me a long story about {TOPICS[i % 8]}, chapter {i // 8 + 1} of a book." for i in range(QUESTIONS)]
    sampling = Sampling(0.8, max_tokens=TOKENS)
    return [
        GenerateRequest((ChatMessage("user", text),), sampling, seed=AGENTS * i + agent)
        for i, text in enumerate(prompts)
        for agent in range(AGENTS)
    ]


async def measure_batch(backend: Any, requests: list[GenerateRequest], now: Now = time.perf_counter) -> float:
    """Tokens per second of all requests at once."""
    started = now()
    outputs = await asyncio.gather(*map(backend.generate, requests))
    return sum(output.usage.generated_tokens for output in outputs) / (now() - started)


def measure_single(model: Any, chat: Any, requests: list[GenerateRequest], now: Now = time.perf_counter) -> float:
    """Tokens per second of plain transformers, one sequence after another."""
    import torch

    started, tokens = now(), 0
    for request in requests:
        ids = torch.tensor([chat.prompt_ids(request.messages)], device=model.device)
        mask = torch.ones_like(ids)
        out = model.generate(ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=True, temperature=0.8, top_k=0)
        tokens += out.shape[1] - ids.shape[1]
    return tokens / (now() - started)


async def compare(dtype: str) -> tuple[str, float]:
    """Return one row of the table, and its ratio."""
    config = HuggingFace.model_validate({"dtype": dtype})
    requests = make_requests()
    single, batched = [], []
    async with config.open() as backend:
        loaded = backend._loaded  # type: ignore[attr-defined]
        await asyncio.gather(*map(backend.generate, requests[:2]))
        for _ in range(REPETITIONS):
            single.append(await asyncio.to_thread(measure_single, loaded.model, loaded.chat, requests[:2]))
            batched.append(await measure_batch(backend, requests))
    ratio = statistics.median(batched) / statistics.median(single)
    verdict = "holds" if ratio >= LEAST else "FAILS"
    row = f"| {dtype} | {listed(single)} | {listed(batched)} | {ratio:.1f} | {verdict} |"
    print(row, file=sys.stderr)
    return row, ratio


def listed(values: list[float]) -> str:
    """Run the repetitions, and return them in order."""
    return " ".join(f"{value:.1f}" for value in values)


def main() -> None:
    measured = {dtype: asyncio.run(compare(dtype)) for dtype in sys.argv[1:] or ["float32", "bfloat16"]}
    rows = [row for row, _ in measured.values()]
    record(
        "hf_batching.py", {f"transformers in a batch, {name}": (ratio, LEAST) for name, (_, ratio) in measured.items()}
    )
    import torch

    text = f"""# hf backend: batch against one at a time

SmolLM2-135M-Instruct, {QUESTIONS} questions to {AGENTS} agents, {TOKENS} new tokens each, temperature 0.8.
Tokens/s of each repetition, interleaved; ratio of medians, at least {LEAST:g} claimed.

| dtype | one at a time | in a batch | ratio | claim |
|---|---|---|---|---|
"""
    tail = f"{torch.get_num_threads()} threads, torch {torch.__version__}. {describe_machine()}"
    RESULT.write_text("\n".join([text + "\n".join(rows), "", tail, ""]), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
