"""Makes the lab model: a Llama of a million parameters, pretrained on the lab's debates. Once; then it is kept.

    python -m benchmarks.lab.model            # the model in build/lab/model and build/lab/model.gguf
    python -m benchmarks.lab.model one_order heeding    # others, in folders of their names beside it

The project's own trainer trains it, on one thread: the same recipe gives the same weights on the same machine and
library versions. What is made lies in the cache folder under a hash of the recipe and of the text that it begins with.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from backends.models.cache import cache_folder
from backends.training import TrainSettings
from benchmarks.lab.arms import RESERVED, SCENARIOS
from benchmarks.lab.gguf import write_gguf
from benchmarks.lab.teacher import Manner, hear, used_questions
from benchmarks.lab.tokenizer import make_tokenizer
from society.core.atomic import move_into_place
from society.core.types import Example
from society.scenario import load_scenario

HERE = Path("build") / "lab"
"""Folder of the lab's model, relative to the project. Other models of the lab have folders inside it."""
SAMPLE = 50
"""Questions whose debates stand for all text when it is hashed, and give the tokenizer its words."""


USUAL = Manner(noise=0.08)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights. Questions are those debated by the teacher: alone, with each other, and
    with summaries."""

    hidden: int = 128
    layers: int = 5
    heads: int = 4
    inner: int = 384
    context: int = 512
    alone: int = 15750
    debated: int = 7875
    summarised: int = 1125
    manner: Manner = USUAL
    rate: float = 2e-3
    epochs: int = 1
    batch: int = 16
    seed: int = 1000

    def scaled(self, share: float) -> dict[str, int]:
        """Return the number of questions of each scenario of the teacher's debates."""
        parts = {"without_debate": self.alone, "multiagent": self.debated, "with_summary": self.summarised}
        return {name: max(1, round(share * count)) for name, count in parts.items()}


def hear_all(recipe: Recipe, share: float = 1.0) -> list[Example]:
    """Return the text to learn, none of it on a question of the experiment."""
    reserved = used_questions(load_scenario(SCENARIOS / "multiagent.yaml"), RESERVED)
    parts = recipe.scaled(share).items()
    return [
        example
        for number, (name, questions) in enumerate(parts)
        for example in hear(name, questions, recipe.manner, recipe.seed + number, reserved)
    ]


def name_of(recipe: Recipe, sample: Sequence[Example]) -> str:
    """Return a hash of the recipe and of these examples: what is made of it is kept under it."""
    said = [[asdict(message) for message in example.messages] for example in sample]
    return hashlib.sha256(json.dumps([asdict(recipe), said]).encode()).hexdigest()[:16]


def make(recipe: Recipe) -> Path:
    """Return the folder with `model`, `model.gguf` and `made.json`, from the cache or made now."""
    sample = hear_all(recipe, SAMPLE / recipe.alone)
    folder = cache_folder() / "lab" / name_of(recipe, sample)
    if not (folder / "made.json").exists():
        with tempfile.TemporaryDirectory(dir=_ready(folder.parent)) as scratch:
            part = Path(scratch, "part")
            _make(recipe, sample, part)
            move_into_place(part, folder)
    return folder


def _ready(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _make(recipe: Recipe, sample: Sequence[Example], part: Path) -> None:
    """Pretrain, write the GGUF, and note what was done and how long it took."""
    started = time.perf_counter()
    blank = part / "blank"
    make_blank(recipe, make_tokenizer(m.content for example in sample for m in example.messages), blank)
    heard = hear_all(recipe)
    print(f"{len(heard):,} rows of {recipe.scaled(1)}", file=sys.stderr)
    trained = asyncio.run(pretrain(recipe, heard, blank, part / "model"))
    write_gguf(part / "model", part / "model.gguf")
    shutil.rmtree(blank)
    made = {
        "recipe": asdict(recipe),
        "rows": trained.examples,
        "tokens": trained.tokens,
        "steps": len(trained.losses),
        "losses": [round(loss, 4) for loss in trained.losses[:: max(1, len(trained.losses) // 50)]],
        "weights": trained.adapter.hash,
        "parameters": count_parameters(part / "model"),
        "seconds": round(time.perf_counter() - started),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }
    (part / "made.json").write_text(json.dumps(made, indent=1) + "\n", "utf-8")


def make_blank(recipe: Recipe, tokenizer: Any, folder: Path) -> None:
    """Write the model with random weights and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=recipe.hidden**-0.5,  # the usual 0.02 is for wide models: here copying is not learned with it
    )
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


async def pretrain(recipe: Recipe, heard: Sequence[Example], blank: Path, out: Path) -> Any:
    """Train the blank model on this text, on one thread, and write it to `out`: the trainer's own account."""
    import torch

    from backends.hf import HuggingFace

    settings = TrainSettings(
        method="full",
        learning_rate=recipe.rate,
        epochs=recipe.epochs,
        batch_size=recipe.batch,
        accumulation=1,
        max_length=recipe.context,
        precision="float32",
        warmup=0.03,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        async with HuggingFace(model=str(blank), device="cpu", dtype="float32").open() as backend:
            assert backend.trainer is not None
            return await backend.trainer.train(heard, settings, None, out, seed=recipe.seed, on_step=tell)
    finally:
        torch.set_num_threads(threads)


def tell(step: int, steps: int, loss: float, tokens: int) -> None:
    """Print one line per hundred steps."""
    if step % 100 == 0 or step == steps:
        print(f"{time.strftime('%X')} step {step} of {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)


def count_parameters(folder: Path) -> int:
    """Numbers in the folder's weights."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        return sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118 - the file is no mapping


OTHERS = {
    "one_order": Recipe(manner=replace(USUAL, orders=1)),
    "heeding": Recipe(manner=replace(USUAL, tries=8)),
}
"""Pretrained on less diverse text; on debaters that agree with what they read if they can derive it."""


def main() -> None:
    """Make the models and put them where the scenarios look for them."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("others", nargs="*", choices=[*OTHERS, []], help="models to make instead of the usual one")
    wanted = {HERE / name: OTHERS[name] for name in options.parse_args().others}
    for place, recipe in (wanted or {HERE: Recipe()}).items():
        shutil.copytree(make(recipe), place, dirs_exist_ok=True)
        print((place / "made.json").read_text("utf-8"))


if __name__ == "__main__":
    main()
