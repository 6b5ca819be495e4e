"""The planned memory of a finetuning is within a fifth of that of all its tensors, counted while it trains."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

from backends.contract_tools import run
from backends.hf import HuggingFace, attention, loop
from backends.hf.examples import row_of
from backends.hf.loading import load_chat
from backends.training import Parallel, Training, TrainSettings
from society.planning.footprint import Footprint, estimate
from society.planning.sizes import read_sizes
from tests.backends.hf import meter
from tests.backends.hf.test_fsdp import example
from tests.backends.hf.tiny import make_model, one_thread

COMMON: dict[str, Any] = {"epochs": 1, "batch_size": 2, "accumulation": 2, "precision": "bfloat16", "warmup": 0}
SETTINGS = {
    "full": TrainSettings(method="full", **COMMON),
    "full, recomputed": TrainSettings(method="full", gradient_checkpointing=True, **COMMON),
    "lora": TrainSettings(rank=4, **COMMON),
    "lora, recomputed": TrainSettings(rank=4, gradient_checkpointing=True, **COMMON),
}
SHAPES: dict[str, dict[str, Any]] = {
    "many layers": {"num_hidden_layers": 8},
    "many words, tied": {"num_hidden_layers": 3, "vocab_size": 20_000},
    "many words": {"num_hidden_layers": 3, "vocab_size": 20_000, "tie_word_embeddings": False},
    "experts": {"kind": "mixtral", "num_hidden_layers": 6, "num_local_experts": 8, "num_experts_per_tok": 2},
}
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.05,
}
CASES = [
    ("many layers", "full", 60),
    ("many layers", "full, recomputed", 8),
    ("many layers", "lora", 60),
    ("many layers", "lora, recomputed", 8),
    ("many words, tied", "full", 60),
    ("many words", "full, recomputed", 60),
    ("many words", "lora", 60),
    ("experts", "full", 60),
    ("experts", "lora", 60),
]
"""Shape of the model, settings, and words of a row. Of short rows, weights take the most, and of many words, logits."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("shapes")
    with one_thread():
        yield {name: make_model(folder / name, **SIZES, **shape) for name, shape in SHAPES.items()}


@pytest.fixture
def metered(monkeypatch: pytest.MonkeyPatch) -> meter.Meter:
    """Return the meter of trainings in this process. On a CPU, attention is fused for short rows as well."""
    found, real = meter.Meter(), loop.Loop.run

    def measure(self: Any) -> None:
        with found:
            real(self)

    monkeypatch.setattr(loop.Loop, "run", measure)
    monkeypatch.setattr(attention, "SHORT", 0)
    return found


def train(model: Path, folder: Path, settings: TrainSettings, words: int, **options: Any) -> tuple[Training, Footprint]:
    """Finetune for two steps; return the result and its footprint on as many GPUs as there are processes."""
    config = HuggingFace(model=str(model), device="cpu", dtype="bfloat16")
    row = example("the cat " * (words // 4), "red . " * (words // 4))

    async def use(backend: Any) -> Training:
        result: Training = await backend.trainer.train(
            [row] * 4 * settings.accumulation, settings, None, folder, seed=3, **options
        )
        return result

    trained = run(config, use)
    ids, start = row_of(load_chat(model, None, "model"), row)
    sizes = read_sizes(json.loads((model / "config.json").read_text()))
    assert sizes is not None
    processes = options["parallel"].processes if options else 1
    return trained, estimate(sizes, settings, trained.tokens, processes, len(ids), len(ids) - start)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "kind", "words"), CASES)
def test_one_process(
    models: dict[str, Path], tmp_path: Path, metered: meter.Meter, shape: str, kind: str, words: int
) -> None:
    _, planned = train(models[shape], tmp_path / "a", SETTINGS[kind], words)
    assert planned.total == pytest.approx(metered.peak, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "kind", "words"), CASES)
def test_two_processes(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, kind: str, words: int
) -> None:
    """Gathered weights are freed after each layer: of all layers, they would be far more than a fifth."""
    monkeypatch.setenv(meter.OUT, str(tmp_path))
    command = [sys.executable, "-m", "tests.backends.hf.meter"]
    monkeypatch.setattr("backends.hf.launch.module_command", lambda _: command)
    settings = SETTINGS[kind].model_copy(update={"accumulation": 4})
    _, planned = train(models[shape], tmp_path / "a", settings, words, parallel=Parallel(processes=2))
    peaks = [int((tmp_path / str(rank)).read_text()) for rank in range(2)]
    assert planned.total == pytest.approx(max(peaks), rel=0.2)
