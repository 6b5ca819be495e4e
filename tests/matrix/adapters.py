"""The matrix of adapters: each kind that PEFT makes, on a small model, and what the hf backend does with it.

Every check compares with PEFT alone. A kind that cannot be used must be refused when it is loaded, and one that cannot
be trained further or merged, before anything is written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch

from backends.contract_tools import ask, run
from backends.hf import HuggingFace
from backends.hf.lora import check_layers
from backends.models.gguf_export import export_merged
from backends.training import TrainSettings
from society.core.types import ChatMessage, Example, TurnId
from tests.backends.hf.made import make_adapter, peft_score
from tests.backends.hf.tiny import make_model
from tests.matrix.table import Matrix

NEAR = 1e-3
"""Maximum difference of the log-probability of a reply, in float32."""
QUESTION, REPLY = (ChatMessage("user", "the cat ?"),), "red green . blue"
ROWS = [
    Example((*QUESTION, ChatMessage("assistant", word)), TurnId(0, "q", "d", 1, "a"), "r") for word in ("red", "dog")
]
STILL = TrainSettings(rank=4, epochs=1, batch_size=2, accumulation=1, learning_rate=1e-9, precision="float32")
"""Settings that change almost nothing: the trained adapter says what its start says."""


@dataclass(frozen=True)
class Kind:
    """How PEFT makes a kind of adapter: its configuration, and changes of the written adapter_config.json.

    The changes stand for initialisations that need data or a quantised base.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    peft: str = "LoraConfig"
    edit: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the base."""


HEAD = {"target_modules": ["q_proj", "lm_head"]}
VECTORS = {"target_modules": ["q_proj", "up_proj"], "task_type": "CAUSAL_LM"}
VIRTUAL = {"num_virtual_tokens": 4, "task_type": "CAUSAL_LM"}
KINDS = {
    "LoRA (also by LoRA-FA, LoRA+)": Kind(),
    "`init_lora_weights`: gaussian": Kind({"init_lora_weights": "gaussian"}),
    "`init_lora_weights`: orthogonal": Kind({"init_lora_weights": "orthogonal"}),
    "EVA": Kind(edit={"init_lora_weights": "eva", "eva_config": {"rho": 2.0}}),
    "rsLoRA": Kind({"use_rslora": True}),
    "`rank_pattern`, `alpha_pattern`": Kind({"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"k_proj": 3}}),
    "`exclude_modules`": Kind({"target_modules": "all-linear", "exclude_modules": ["o_proj"]}),
    "`layers_to_transform`": Kind({"layers_to_transform": [1], "layers_pattern": "layers"}),
    "`bias`: all, base without biases": Kind({"bias": "all"}),
    "DoRA": Kind({"use_dora": True}),
    "output layer": Kind(HEAD, base={"tie_word_embeddings": False}),
    "output layer, tied": Kind(HEAD),
    "embeddings": Kind({"target_modules": ["embed_tokens", "q_proj"]}),
    "`bias`: lora\\_only": Kind({"bias": "lora_only"}, base={"attention_bias": True}),
    "`lora_bias`": Kind({"lora_bias": True}),
    "PiSSA": Kind({"init_lora_weights": "pissa"}),
    "OLoRA": Kind({"init_lora_weights": "olora"}),
    "LoftQ": Kind(edit={"init_lora_weights": "loftq"}),
    "CorDA": Kind(edit={"init_lora_weights": "corda"}),
    "LoRA-GA": Kind(edit={"init_lora_weights": "lora_ga"}),
    "aLoRA": Kind({"alora_invocation_tokens": [5, 6]}),
    "QALoRA": Kind(edit={"use_qalora": True}),
    "`modules_to_save`": Kind({"modules_to_save": ["lm_head"]}),
    "`trainable_token_indices`": Kind({"trainable_token_indices": [5, 6]}),
    "`target_parameters`": Kind({"target_modules": [], "target_parameters": ["q_proj.weight"]}),
    "`layer_replication`": Kind({"layer_replication": [(0, 2), (1, 2)]}),
    "`ensure_weight_tying`": Kind(edit={"ensure_weight_tying": True}),
    "Megatron": Kind(edit={"megatron_config": {"tensor_model_parallel_size": 2}}),
    "IA3": Kind({"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]}, "IA3Config"),
    "LoHa": Kind(VECTORS, "LoHaConfig"),
    "LoKr": Kind(VECTORS, "LoKrConfig"),
    "VeRA": Kind({"target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}, "VeraConfig"),
    "OFT": Kind({"oft_block_size": 8, "r": 0, **VECTORS}, "OFTConfig"),
    "AdaLoRA": Kind({"total_step": 10, **VECTORS}, "AdaLoraConfig"),
    "prompt tuning": Kind(VIRTUAL, "PromptTuningConfig"),
    "prefix tuning": Kind(VIRTUAL, "PrefixTuningConfig"),
    "P-tuning": Kind(VIRTUAL, "PromptEncoderConfig"),
}


@dataclass(frozen=True)
class Made:
    """A base and an adapter of one kind, in a folder."""

    folder: Path

    @property
    def model(self) -> Path:
        """The base's folder."""
        return self.folder / "model"

    @property
    def adapter(self) -> Path:
        """The adapter's folder."""
        return self.folder / "adapter"

    @cached_property
    def base(self) -> float:
        """The log-probability of REPLY by the base alone."""
        return peft_score(self.model, None, QUESTION, REPLY)

    @cached_property
    def expected(self) -> float:
        """The log-probability of REPLY with the adapter, by PEFT alone."""
        return peft_score(self.model, self.adapter, QUESTION, REPLY)

    def config(self, **options: Any) -> HuggingFace:
        """Return the backend's configuration."""
        return HuggingFace(model=str(self.model), device="cpu", dtype="float32", **options)


def make(name: str, folder: Path) -> Made:
    """Write a base and an adapter of this kind."""
    torch.set_num_threads(1)
    kind, made = KINDS[name], Made(folder)
    make_model(made.model, 1, **kind.base)
    make_adapter(made.model, made.adapter, kind.peft, **kind.config)
    path = made.adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | kind.edit))
    return made


async def load(backend: Any, folder: Path) -> str:
    """Load an adapter and return its hash. The base says the same afterwards, also where the adapter is refused."""
    before = await backend.likelihood.logprob(QUESTION, REPLY)
    try:
        adapter = backend.adapters.identify(folder)
        await backend.adapters.load(adapter)
    finally:
        assert await backend.likelihood.logprob(QUESTION, REPLY) == pytest.approx(before, abs=NEAR)
    name: str = adapter.hash
    return name


def loads(made: Made) -> None:
    """Score a reply as PEFT does."""

    async def use(backend: Any) -> float:
        return (await backend.likelihood.logprob(QUESTION, REPLY, await load(backend, made.adapter)))[0]

    assert run(made.config(), use) == pytest.approx(made.expected, abs=NEAR)
    assert made.expected != pytest.approx(made.base, abs=10 * NEAR)


def replies_with_others(decoding: str, made: Made) -> None:
    """Score and reply at the same time as the base and another adapter, with the scores of PEFT and of being alone."""
    other = make_adapter(made.model, made.folder / f"other-{decoding}", r=2)

    async def use(backend: Any) -> None:
        names = [None, await load(backend, made.adapter), await load(backend, other)]
        asked = [ask("the cat ?", seed=1, adapter=name, max_tokens=8, temperature=0.0) for name in [*names, *names]]
        found = await asyncio.gather(*map(backend.generate, asked))
        scores = await asyncio.gather(*(backend.likelihood.logprob(QUESTION, REPLY, name) for name in names))
        expected = made.base, made.expected, peft_score(made.model, other, QUESTION, REPLY)
        assert [score for score, _ in scores] == pytest.approx(expected, abs=NEAR)
        for request, output in zip(asked, found, strict=True):
            alone = await backend.generate(request)
            assert output.tokens == alone.tokens
            scored = await backend.likelihood.logprob(request.messages, "", request.adapter, output.tokens)
            assert scored[0] == pytest.approx(output.logprob, abs=NEAR)

    run(made.config(decoding=decoding), use)


def in_a_batch(made: Made) -> None:
    """Reply with others over a dynamic cache."""
    replies_with_others("dynamic", made)


def over_a_static_cache(made: Made) -> None:
    """Reply with others over a static cache."""
    replies_with_others("static", made)


def starts_a_training(made: Made) -> None:
    """Train on from the adapter. A refusal comes before the first turn."""
    check_layers(made.model, STILL, made.adapter)

    async def use(backend: Any) -> float:
        start = backend.adapters.identify(made.adapter)
        trained = await backend.trainer.train(ROWS, STILL, start, made.folder / "next", seed=1)
        return (await backend.likelihood.logprob(QUESTION, REPLY, await load(backend, Path(trained.adapter.path))))[0]

    assert run(made.config(), use) == pytest.approx(made.expected, abs=NEAR)


def merges(made: Made) -> None:
    """Merge the adapter into the base."""
    merged = export_merged(made.model, made.adapter, made.folder / "merged")
    assert peft_score(merged, None, QUESTION, REPLY) == pytest.approx(made.expected, abs=NEAR)


MATRIX = Matrix(
    "adapters",
    tuple(KINDS),
    make,
    {
        "load": loads,
        "in a batch": in_a_batch,
        "static cache": over_a_static_cache,
        "train on": starts_a_training,
        "merge": merges,
    },
    "adapter",
)
