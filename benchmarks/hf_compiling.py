"""Training steps that torch compiles (`compile: true`), against the same steps as they are.

    python benchmarks/hf_compiling.py [lab | smollm2] ...

Each model trains on the same examples in turn, compiled and not, in one process on one thread: ratio of medians of
tokens per second, and how far the losses part. What compiling itself takes is the first training less the median.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # for the lab

import torch  # noqa: E402
from chart import record  # noqa: E402
from hf_training import make_examples  # noqa: E402
from machine import describe_machine  # noqa: E402

from backends.hf import HuggingFace  # noqa: E402
from backends.training import Training, TrainSettings  # noqa: E402
from benchmarks.lab.model import Recipe, make_blank  # noqa: E402
from benchmarks.lab.teacher import hear  # noqa: E402
from benchmarks.lab.tokenizer import make_tokenizer  # noqa: E402
from society.core.types import Example  # noqa: E402

RESULT = Path(__file__).parent / "results" / "hf_compiling.md"
REPETITIONS, LEAST = 3, 1.3
STEPS = {
    "lab": TrainSettings(method="full", epochs=1, batch_size=16, accumulation=1),
    "smollm2": TrainSettings(epochs=1, batch_size=4, accumulation=1),
}
WORDS = {"lab": "a Llama of a million parameters, full", "smollm2": "SmolLM2-135M-Instruct, LoRA rank 16"}


def prepare(name: str, folder: Path) -> tuple[HuggingFace, list[Example]]:
    """Return the model's backend, and what it trains on. The lab's model needs no pretraining to be timed."""
    if name == "smollm2":
        return HuggingFace(), make_examples()
    examples = hear("multiagent", 160, Recipe().manner, seed=1)
    make_blank(Recipe(), make_tokenizer(m.content for e in examples for m in e.messages), folder)
    return HuggingFace(model=str(folder), device="cpu"), examples


def compare(name: str) -> tuple[str, float]:
    """Return one row of the table, and its ratio."""
    with tempfile.TemporaryDirectory() as scratch:
        config, examples = prepare(name, Path(scratch, "model"))
        found = asyncio.run(train_in_turn(config, examples, STEPS[name], Path(scratch)))
    first = {way: done.pop(0) for way, done in found.items()}  # it compiles; without, it warms up
    ratio = speed(found[True]) / speed(found[False])
    waited = first[True].seconds - statistics.median(done.seconds for done in found[True])
    parted = max(abs(a - b) for a, b in zip(first[True].losses, first[False].losses, strict=True))
    cells = " | ".join(" ".join(f"{d.tokens / d.seconds:.0f}" for d in found[way]) for way in (False, True))
    row = f"| {WORDS[name]} | {cells} | {ratio:.2f} | {waited:.0f} | {parted:.4f} |"
    print(row, file=sys.stderr)
    return row, ratio


async def train_in_turn(
    config: HuggingFace, examples: Sequence[Example], settings: TrainSettings, folder: Path
) -> dict[bool, list[Training]]:
    """Repeat the same training, compiled and not."""
    found: dict[bool, list[Training]] = {True: [], False: []}
    async with config.open() as backend:
        assert backend.trainer is not None
        for number in range(REPETITIONS + 1):
            for way, done in found.items():
                chosen = settings.model_copy(update={"compile": way})
                done.append(await backend.trainer.train(examples, chosen, None, folder / f"{way}-{number}", seed=1))
    return found


def speed(done: Sequence[Training]) -> float:
    """Return the median, in tokens per second."""
    return statistics.median(one.tokens / one.seconds for one in done)


def main() -> None:
    """Measure, and write the result."""
    torch.set_num_threads(1)
    measured = {name: compare(name) for name in sys.argv[1:] or list(STEPS)}
    record("hf_compiling.py", {f"compiled steps, {WORDS[name]}": (r, LEAST) for name, (_, r) in measured.items()})
    lines = [
        "# hf trainer: compiled steps",
        "",
        "Tokens/s of each repetition, interleaved, on one thread; ratio of medians; seconds of compiling; largest",
        "difference between the losses of a step.",
        "",
        "| model | as it is | compiled | ratio | compiling, s | losses apart |",
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
