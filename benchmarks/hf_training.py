"""The hf trainer against the plain transformers Trainer with full logits, on the same examples.

    python benchmarks/hf_training.py [speed | memory]          # without either, both

`speed`: three interleaved repetitions of the plain Trainer, of ours on the same batches in the same precision, and of
ours by default; ratio of medians of tokens/s (padding not counted), and the loss curves. Also the share of padding.
`memory`: peak resident memory of training four adapters in a row and loading them all, against one.
`hf_profile.py` says where the time goes.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chart import record
from machine import describe_machine

from backends.hf import HuggingFace
from backends.training import TrainSettings
from society.core.types import ChatMessage, Example, TurnId

RESULTS = Path(__file__).parent / "results"
REPETITIONS, EXAMPLES, BATCH, LEAST, MOST_MEMORY, MOST_PADDING = 3, 16, 4, 1.3, 1.15, 0.05
CITIES = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Peru": "Lima"}
AUTO = TrainSettings(epochs=1, batch_size=BATCH, accumulation=1, warmup=0, schedule="constant")
ALIKE = AUTO.model_copy(update={"precision": "float32", "group_by_length": False})


def make_examples() -> list[Example]:
    """Debate-like rows of unequal length: other agents' answers to read, one sentence to learn."""
    rows = []
    for i in range(EXAMPLES):
        country, city = list(CITIES.items())[i % len(CITIES)]
        others = " ".join(f"Agent {k} says that it is {list(CITIES.values())[k % 6]}." for k in range(2 + i * 7 % 9))
        question = f"What is the capital of {country}? These are answers of other agents. {others} Answer again."
        reply = f"The capital of {country} is {city}, since " + "that is where the government sits. " * (1 + i % 3)
        messages = ChatMessage("user", question), ChatMessage("assistant", reply)
        rows.append(Example(messages, TurnId(0, str(i), "debate", 1, "a"), "benchmark"))
    return rows


def train_plainly(loaded: Any, rows: list[tuple[list[int], int]], folder: str) -> tuple[float, list[float]]:
    """Tokens/s and losses of the Trainer as it comes: random batches, logits at every position."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from backends.hf.scoring import collate

    torch.manual_seed(1)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(loaded.model, lora)
    arguments = TrainingArguments(
        folder,
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        logging_strategy="steps",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        seed=1,
        weight_decay=0.0,
    )
    data: Any = [{"ids": ids, "start": start} for ids, start in rows]
    trainer = Trainer(model, arguments, lambda batch: collate([(r["ids"], r["start"]) for r in batch]), data)
    trainer.remove_callback(PrinterCallback)
    started = time.perf_counter()
    trainer.train()
    speed = sum(len(ids) for ids, _ in rows) / (time.perf_counter() - started)
    model.unload()
    return speed, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


async def compare_speed() -> str:
    """Return the table of speeds and loss curves."""
    from backends.hf.examples import encode

    examples = make_examples()
    found: dict[str, list[tuple[float, list[float]]]] = {"plain": [], "ours, alike": [], "ours, default": []}
    async with HuggingFace().open() as backend:
        loaded: Any = backend._loaded  # type: ignore[attr-defined]
        rows = encode(loaded.chat, examples, AUTO).rows
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(REPETITIONS):
                found["plain"].append(await asyncio.to_thread(train_plainly, loaded, rows, folder + "/plain"))
                for name, settings in (("ours, alike", ALIKE), ("ours, default", AUTO)):
                    assert backend.trainer is not None
                    done = await backend.trainer.train(examples, settings, None, Path(folder, "a"), seed=1)
                    found[name].append((done.tokens / done.seconds, list(done.losses)))
                print({name: runs[-1] for name, runs in found.items()}, file=sys.stderr)
    return describe_speed(found, padding_share(rows))


def padding_share(rows: list[tuple[list[int], int]]) -> float:
    """Share of padding in the batches that the trainer makes of these rows 16 times over."""
    from backends.hf.batches import Batches

    lengths = [len(ids) for ids, _ in rows] * 16
    batches = [[lengths[i] for i in batch] for batch in Batches(lengths, AUTO, seed=1)]
    return 1 - sum(map(sum, batches)) / sum(BATCH * max(batch) for batch in batches)


def describe_speed(found: dict[str, list[tuple[float, list[float]]]], padding: float) -> str:
    """Return the results in words and a table."""
    base = statistics.median(speed for speed, _ in found["plain"])
    lines = []
    for name, runs in found.items():
        speeds = [speed for speed, _ in runs]
        ratio = statistics.median(speeds) / base
        losses = " ".join(f"{loss:.2f}" for loss in runs[-1][1])
        lines.append(f"| {name} | {' '.join(f'{s:.0f}' for s in speeds)} | {ratio:.2f} | {losses} |")
    ours = statistics.median(s for s, _ in found["ours, default"]) / base
    claims = {
        "finetuning, to the plain Trainer": (ours, LEAST),
        "5 % of padding, to ours": (MOST_PADDING / padding, 1.0),
    }
    record("hf_training.py", claims)
    verdict = "holds" if ours >= LEAST else "FAILS"
    return f"""# hf trainer: speed

SmolLM2-135M-Instruct, LoRA rank 16 on all linear layers, {EXAMPLES} debate-like examples, batches of {BATCH}.
Tokens/s of each repetition (interleaved), ratio of medians to the plain Trainer, loss of each step. "Alike" computes
in float32 on the same batches as the plain Trainer; the default computes in bfloat16 where the processor can. So few
examples are not yet grouped by length, and all see the same batches. At least {LEAST} claimed for the default:
{verdict}.
Padding in length-grouped batches: {padding:.1%}, at most {MOST_PADDING:.0%} claimed.

| how | tokens/s | ratio | losses |
|---|---|---|---|
{chr(10).join(lines)}

{describe_machine()}
"""


async def train_several(adapters: int) -> int:
    """Peak resident memory, in MB, of training that many adapters and asking all of them."""
    async with HuggingFace().open() as backend:
        assert backend.trainer is not None
        assert backend.adapters is not None
        assert backend.likelihood is not None
        trained = []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(adapters):
                path = Path(folder, str(seed))
                done = await backend.trainer.train(make_examples()[:BATCH], AUTO, None, path, seed=seed)
                await backend.adapters.load(done.adapter)
                trained.append(done.adapter.hash)
            for name in trained:
                await backend.likelihood.logprob((ChatMessage("user", "France?"),), "Paris", name)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def compare_memory() -> str:
    """Return the peak memory of each case, measured in a process of its own because a peak never decreases."""
    command = [sys.executable, __file__, "peak"]
    one, four = (
        statistics.median(
            int(subprocess.run([*command, str(n)], check=True, capture_output=True).stdout) for _ in range(REPETITIONS)
        )
        for n in (1, 4)
    )
    verdict = "holds" if four <= MOST_MEMORY * one else "FAILS"
    return f"""# hf trainer: memory

Peak resident memory of training adapters of rank 16 on SmolLM2-135M-Instruct (float32, batches of {BATCH}), one after
another, then asking all of them, beside the base: one {one} MB, four {four} MB, ratio {four / one:.2f}.
Medians of {REPETITIONS} processes each. At most {MOST_MEMORY} claimed: {verdict}.

{describe_machine()}
"""


def main() -> None:
    if sys.argv[1:2] == ["peak"]:
        print(asyncio.run(train_several(int(sys.argv[2]))))
        return
    for what in sys.argv[1:] or ["speed", "memory"]:
        text = compare_memory() if what == "memory" else asyncio.run(compare_speed())
        (RESULTS / f"hf_training_{what}.md").write_text(text, "utf-8")
        print(text)


if __name__ == "__main__":
    main()
