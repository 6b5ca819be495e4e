"""Finetuning on a GPU: tokens/s, share of the card's peak and peak memory, against the plain Trainer on the same rows.

    python benchmarks/gpu_training.py [SIZE:METHOD[:OPTION...] | turns:SIZE]...     # without arguments, all of TABLE

SIZE is `1b` (1.32 billion parameters), `8b` (7.38), `8b/8` (its first 8 layers) or `tiny`; METHOD is full, lora, qlora
or plain-full, plain-lora; OPTION is compile, recompute, 8bit or profile. Models are random, made on the device in
bfloat16. Rows have 640 to 940 tokens, of which the last 150 are learned. Each variant starts from the same weights and
sees the same batches. `turns:SIZE` measures what lies between training and generation. The tables go to
results/gpu_training.md, if no variant is named and there is a GPU. All of TABLE needs 48 GB of GPU memory. The exit
status is 1 if a variant fails. On a machine without a GPU only `tiny` makes sense.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine import describe_machine

from backends.hf.batches import Batches
from backends.hf.examples import Rows
from backends.hf.loop import Share, Watch, train_rows
from backends.training import TrainSettings
from society.planning.footprint import estimate
from society.planning.sizes import read_sizes

RESULTS = Path(__file__).parent / "results"
PEAK = 989e12
"""Dense bfloat16 operations a second of an H100 or H200 (data sheet)."""
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
VOCABULARY, LEARNED = 49152, 150
WIDTHS = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 20},
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
}
METHODS = ("full", "lora", "qlora", "plain-full", "plain-lora")
OPTIONS = ("compile", "recompute", "8bit", "profile")
TABLE = (
    "1b:full",
    "1b:full:compile",
    "1b:plain-full",
    "1b:lora",
    "1b:lora:compile",
    "1b:plain-lora",
    "8b:lora",
    "8b:lora:compile",
    "8b:plain-lora",
    "8b/8:full",
    "turns:1b",
)
HEAD = "| model | how | tokens/s | of peak | peak GiB | planned GiB | first step s | s a step | losses |\n"


@dataclass
class Variant:
    """One row of the table."""

    name: str
    stamps: list[tuple[float, int]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size, self.method, *self.options = self.name.split(":")
        unknown = {self.size.partition("/")[0]} - {*WIDTHS} | {self.method} - {*METHODS} | {*self.options} - {*OPTIONS}
        if unknown:
            raise SystemExit(
                f"{self.name}: unknown {', '.join(sorted(unknown))}; the top of this file lists what there is."
            )

    @property
    def full(self) -> bool:
        return self.method.endswith("full")

    def settings(self) -> TrainSettings:
        big = self.size.startswith("8b")
        return TrainSettings(
            method="full" if self.full else "lora",
            epochs=1,
            batch_size=2 if self.size == "tiny" else 4 if big else 8,
            accumulation=2 if big else 3,
            max_length=960,
            warmup=0.0,
            compile="compile" in self.options,
            gradient_checkpointing="recompute" in self.options,
            optimizer="adamw_8bit" if "8bit" in self.options else "adamw",
            precision="bfloat16",
        )

    def stamp(self, step: int, steps: int, loss: float, tokens: int) -> None:
        self.stamps.append((time.perf_counter(), tokens))
        self.losses.append(loss)


def make_model(size: str) -> Any:
    """Return a random Llama, with the same weights each time."""
    from transformers import LlamaConfig, LlamaForCausalLM

    widths = dict(WIDTHS[size.partition("/")[0]])
    if "/" in size:
        widths["num_hidden_layers"] = int(size.partition("/")[2])
    heads = (4, 2) if size == "tiny" else (32, 8)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=8192,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        tie_word_embeddings=not size.startswith("8b"),
        pad_token_id=2,
        **widths,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(DEVICE):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(before)
    return model.requires_grad_(False).eval()


def make_rows(count: int, tiny: bool) -> list[tuple[list[int], int]]:
    """Return rows of tokens and where their learned part starts."""
    draw = random.Random(1)
    lengths = [draw.randint(64, 94) if tiny else draw.randint(640, 940) for _ in range(count)]
    learned = LEARNED // 10 if tiny else LEARNED
    return [([draw.randrange(10, 40000) for _ in range(n)], n - learned) for n in lengths]


def add_lora(model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    from backends.hf.lora import NAME

    torch.manual_seed(1)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config, NAME)


def quantise(model: Any) -> Any:
    """Hold the linear layers in four bits, as `quantize: nf4` does."""
    import bitsandbytes as bnb

    for module in list(model.model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear:
                small = bnb.nn.Linear4bit(
                    child.in_features, child.out_features, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4"
                )
                small.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False, quant_type="nf4")
                setattr(module, name, small.to(DEVICE))
    return model


def train_ours(variant: Variant, model: Any, rows: list[tuple[list[int], int]]) -> None:
    watch = Watch(variant.stamp, threading.Event())
    if variant.full:
        whole = model.requires_grad_(True)
    else:
        whole = add_lora(quantise(model) if variant.method == "qlora" else model)
    train_rows(model, whole, Rows(rows), variant.settings(), 1, watch, Share())


def train_plainly(variant: Variant, model: Any, rows: list[tuple[list[int], int]]) -> None:
    """Train with the Trainer as it comes: padding masks, logits everywhere, autocast."""
    from torch.utils.data import DataLoader
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    from backends.hf.scoring import collate

    settings = variant.settings()
    batches = Batches([len(ids) for ids, _ in rows], settings, 1)
    lengths = [len(ids) for ids, _ in rows]
    total = 0

    class Stamp(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            nonlocal total
            synchronize()
            total += sum(lengths) * settings.accumulation // len(batches)
            variant.stamps.append((time.perf_counter(), total))

    class Same(Trainer):
        def get_train_dataloader(self) -> Any:
            data: Any = rows
            return DataLoader(data, batch_sampler=batches, collate_fn=collate)

    whole = model.float().requires_grad_(True) if variant.full else add_lora(model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=1,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.rate,
            gradient_accumulation_steps=settings.accumulation,
            report_to=[],
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            remove_unused_columns=False,
            seed=1,
            bf16=True,
            use_cpu=not CUDA,
            lr_scheduler_type="cosine",
            weight_decay=0.0,
        )
        data: Any = rows
        trainer = Same(whole, arguments, train_dataset=data, callbacks=[Stamp()])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    variant.losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def synchronize() -> None:
    if CUDA:
        torch.cuda.synchronize()


def measure(name: str, steps: int) -> str:
    """Train one variant and return its row of the table."""
    variant = Variant(name)
    settings = variant.settings()
    rows = make_rows(settings.batch_size * settings.accumulation * steps, variant.size == "tiny")
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = make_model(variant.size)
    config = model.config.to_dict()
    linear = sum(m.weight.numel() for m in model.model.modules() if isinstance(m, torch.nn.Linear))
    train = train_plainly if variant.method.startswith("plain") else train_ours
    started = time.perf_counter()
    if "profile" in variant.options:
        profiled(train, variant, model, rows)
    else:
        train(variant, model, rows)
    first = variant.stamps[0][0] - started
    seconds = variant.stamps[-1][0] - variant.stamps[0][0]
    speed = (variant.stamps[-1][1] - variant.stamps[0][1]) / max(seconds, 1e-9)
    share = speed * linear * (6 if variant.full else 4) / PEAK
    peak = torch.cuda.max_memory_allocated() / 2**30 if CUDA else 0.0
    planned = plan(config, variant) / 2**30
    losses = " ".join(f"{loss:.3f}" for loss in variant.losses)
    how = " ".join([variant.method, *variant.options])
    return (
        f"| {variant.size} | {how} | {speed:,.0f} | {share:.1%} | {peak:.1f} | {planned:.1f} | {first:.1f} "
        f"| {seconds / max(len(variant.stamps) - 1, 1):.3f} | {losses} |"
    )


def plan(config: dict[str, Any], variant: Variant) -> float:
    """Return the bytes that `society plan` would name."""
    sizes = read_sizes(config)
    assert sizes is not None
    settings = variant.settings()
    if variant.method == "qlora":
        settings = settings.model_copy(update={"method": "qlora"})
    return estimate(sizes, settings, 1000, 1).total


def profiled(train: Callable[..., None], variant: Variant, *arguments: Any) -> None:
    """Train, and print the kernels that took most of the GPU's time."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA if CUDA else ProfilerActivity.CPU]) as found:
        train(variant, *arguments)
        synchronize()
    kernels = [event for event in found.key_averages() if event.self_device_time_total > 0]
    total = sum(event.self_device_time_total for event in kernels) or 1
    for event in sorted(kernels, key=lambda event: -event.self_device_time_total)[:14]:
        print(f"    {event.self_device_time_total / total:6.1%} {event.count:6d}x {event.key[:90]}", flush=True)


async def measure_turns(size: str, folder: Path) -> list[str]:
    """Measure what lies between training and generation, for a model of that size whose files are in `folder`."""
    from backends.hf import HuggingFace
    from society.core.types import ChatMessage, Example, TurnId
    from tests.backends.hf.tiny import make_tokenizer

    model = make_model(size)
    model.save_pretrained(folder / "model")
    make_tokenizer().save_pretrained(folder / "model")
    del model
    question = (ChatMessage("user", "the cat ?"),)
    text = "the cat sat on a mat " * (4 if size == "tiny" else 30)
    chat = ChatMessage("user", text), ChatMessage("assistant", "red green blue . " * 8)
    examples = [Example(chat, TurnId(0, str(i), "debate", 1, "a"), "bench") for i in range(12)]
    lines, scored = [], {}
    async with HuggingFace(model=str(folder / "model"), device=DEVICE, dtype="bfloat16").open() as backend:
        trainer, likelihood, adapters = backend.trainer, backend.likelihood, backend.adapters
        assert trainer is not None
        assert likelihood is not None
        assert adapters is not None

        async def score(name: str | None) -> float:
            started = time.perf_counter()
            await likelihood.logprob(question, "red", name)
            return time.perf_counter() - started

        async def train(method: str, place: Path) -> str:
            settings = TrainSettings(method=method, epochs=2, batch_size=4, accumulation=1, precision="bfloat16")
            stamps: list[float] = []
            done = await trainer.train(
                examples, settings, None, place, seed=1, on_step=lambda *_: stamps.append(time.perf_counter())
            )
            ended = time.perf_counter() - stamps[-1]
            started = time.perf_counter()
            await adapters.load(done.adapter)
            loaded = time.perf_counter() - started
            swap, again = await score(done.adapter.hash), await score(done.adapter.hash)
            scored[done.adapter.hash] = again
            lines.append(
                f"| {method} | {place.parent.parent} | {ended:.2f} | {loaded * 1e3:.1f} | {(swap - again) * 1e3:.0f} |"
            )
            print(lines[-1], flush=True)
            return done.adapter.hash

        await score(None)
        first = await train("full", folder / "first")
        with tempfile.TemporaryDirectory() as disk:
            await train("full", Path(disk) / "second")
            lora = await train("lora", Path(disk) / "third")
            for name, what in ((first, "full weights"), (None, "the base"), (lora, "LoRA"), (None, "the base")):
                lines.append(f"To {what}: {(await score(name)) * 1e3:.0f} ms, then {(await score(name)) * 1e3:.0f} ms.")
                print(lines[-1], flush=True)
    return lines


def describe_turns(size: str) -> str:
    """Return a table of the seconds between training and generation."""
    fast = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=fast if fast.is_dir() else None) as folder:
        lines = asyncio.run(measure_turns(size, Path(folder)))
    head = "| method | written to | after the last step s | load ms | first use ms |\n|---|---|---|---|---|"
    return f"## Between training and generation ({size})\n\n{head}\n" + "\n".join(lines)


def main() -> None:
    names = sys.argv[1:] or list(TABLE)
    lines = [HEAD + "|---" * 9 + "|"]
    print(lines[0], flush=True)
    after: list[str] = []
    failed = False
    for name in names:
        try:
            if name.startswith("turns:"):
                after.append(describe_turns(name.partition(":")[2]))
                continue
            lines.append(measure(name, 3 if name.startswith("tiny") else 5))
        except Exception as error:
            failed = True
            traceback.print_exc(limit=-4)
            lines.append(f"| {name} | FAILED: {type(error).__name__}: {str(error)[:150]} |")
        gc.collect()
        print(lines[-1], flush=True)
    if CUDA and not sys.argv[1:]:
        text = (
            f"# Finetuning on a GPU\n\n{(__doc__ or '').strip()}\n\n" + "\n".join(lines) + "\n\n" + "\n\n".join(after)
        )
        (RESULTS / "gpu_training.md").write_text(f"{text}\n\n{describe_machine()}\n", "utf-8")
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
