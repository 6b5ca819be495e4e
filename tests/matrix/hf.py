"""The matrix of the hf backend: small models of each family, and what the backend does with them.

Every check compares with transformers alone: its own generation, or a forward pass over the whole text. A check that
the backend refuses must be refused before the first token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from backends.base import Backend
from backends.contract_tools import ask, run
from backends.hf import HuggingFace
from backends.hf.adapters import hash_adapter, is_lora
from backends.hf.loading import load_model
from backends.hf.lora import attach_new, write_lora
from backends.hf.weights import Weights
from backends.models.gguf_export import export_merged
from backends.models.lora_config import quiet_peft
from backends.training import Training, TrainSettings
from society.core.types import Adapter, ChatMessage, Example, GenerateOutput, GenerateRequest, TurnId
from tests.matrix.families import FAMILIES, make_family
from tests.matrix.table import Matrix

NEAR = 2e-3
"""Maximum difference of log-probabilities in float32."""
PROMPTS = ("red", "the cat sat on a mat and the dog ran far . " * 2, "so it did not", "one two three four . " * 3)
"""Chats shorter and longer than the window."""
STEPS = TrainSettings(epochs=2, batch_size=2, accumulation=2, learning_rate=1e-2, precision="float32", warmup=0)


@dataclass(frozen=True)
class Made:
    """A small model in a folder."""

    folder: Path

    @cached_property
    def plain(self) -> Any:
        """The model as transformers loads it, in float32."""
        return load_model(self.folder / "model", torch.float32, "cpu").requires_grad_(False)

    def config(self, **options: Any) -> HuggingFace:
        """Return the backend's configuration, by default in float32 on the CPU."""
        return HuggingFace(model=str(self.folder / "model"), **{"device": "cpu", "dtype": "float32", **options})

    def adapter(self, seed: int) -> Path:
        """Return the folder of a random LoRA on all layers that can have one."""
        folder = self.folder / f"adapter-{seed}"
        if not folder.exists():
            write_adapter(self, folder, seed)
        return folder


def make(name: str, folder: Path) -> Made:
    """Write the model of a family."""
    torch.set_num_threads(1)
    make_family(name, folder / "model")
    return Made(folder)


# What is compared


def logits_of(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Return the logits (tokens, vocabulary) of a plain pass over the whole text."""
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float()
        return found


def logprob_of(model: Any, ids: Sequence[int], start: int) -> float:
    """Return the sum of the log-probabilities of the tokens from `start` on, by a plain pass."""
    logprobs = logits_of(model, ids).double().log_softmax(-1)
    return sum(float(logprobs[at - 1, ids[at]]) for at in range(start, len(ids)))


def requests(adapters: Sequence[str | None] = (None,), prompts: Sequence[str] = PROMPTS) -> list[GenerateRequest]:
    """Return greedy and random requests, each prompt with each adapter."""
    made = []
    for number, text in enumerate(prompts):
        for other, adapter in enumerate(adapters):
            heat = 0.0 if (number + other) % 2 else 1.0
            made.append(ask(text, seed=number, adapter=adapter, max_tokens=6 + 8 * (number % 2), temperature=heat))
    return made


async def together(backend: Backend, asked: Sequence[GenerateRequest]) -> list[GenerateOutput]:
    """Return the replies to requests that share a batch."""
    return list(await asyncio.gather(*map(backend.generate, asked)))


async def alone(backend: Backend, asked: Sequence[GenerateRequest]) -> list[GenerateOutput]:
    """Return the replies to requests, one after another."""
    return [await backend.generate(request) for request in asked]


def same(one: Sequence[GenerateOutput], other: Sequence[GenerateOutput]) -> None:
    """Fail unless the replies have the same tokens and log-probabilities."""
    assert [output.tokens for output in one] == [output.tokens for output in other]
    assert [output.logprob for output in one] == pytest.approx([output.logprob for output in other], abs=NEAR)


def is_logprob(backend: Any, model: Any, request: GenerateRequest, output: GenerateOutput) -> None:
    """Fail unless a reply's log-probability is that of a plain pass of the model over prompt and reply."""
    prompt = backend.tokenizer.prompt_ids(request.messages)
    expected = logprob_of(model, [*prompt, *output.tokens], len(prompt))
    assert output.logprob == pytest.approx(expected, abs=NEAR)


# Checks


def loads(made: Made) -> None:
    """Load in both precisions and reply."""
    for dtype in ("float32", "bfloat16"):
        output = run(made.config(dtype=dtype), lambda backend: backend.generate(ask("red")))
        assert output.tokens


def batches(made: Made) -> None:
    """Reply in a batch as alone, and to each token with the probability of a plain pass; greedy as `generate`."""

    async def use(backend: Any) -> Any:
        asked = [*requests(), replace(requests()[0], seed=9)]  # the last prompt is computed once for two
        found = await together(backend, asked)
        same(found, await alone(backend, asked))
        for request, output in zip(asked, found, strict=True):
            is_logprob(backend, made.plain, request, output)
        prompts = [backend.tokenizer.prompt_ids(request.messages) for request in asked]
        return asked, found, prompts, backend.tokenizer.stops

    asked, found, prompts, stops = run(made.config(decoding="dynamic", batch=4), use)
    for request, output, prompt in zip(asked, found, prompts, strict=True):
        if request.sampling.temperature == 0:
            ids = torch.tensor([prompt])
            options = {"max_new_tokens": request.sampling.max_tokens, "do_sample": False, "eos_token_id": list(stops)}
            expected = made.plain.generate(ids, attention_mask=torch.ones_like(ids), **options)
            assert list(output.tokens) == expected[0, len(prompt) :].tolist()


def decodes_statically(made: Made) -> None:
    """Reply over a static cache, with packed prompts that share prefixes, as over a dynamic one."""
    asked = [*requests(), *(replace(request, seed=9) for request in requests())]
    dynamic = run(made.config(decoding="dynamic"), lambda backend: together(backend, asked))
    same(run(made.config(decoding="static"), lambda backend: together(backend, asked)), dynamic)


def write_adapter(made: Made, folder: Path, seed: int) -> None:
    """Write a LoRA with random matrices, on the layers that a training would choose."""
    weights = Weights(load_model(made.folder / "model", torch.float32, "cpu"), made.folder, "0" * 64)
    attach_new(weights, STEPS.model_copy(update={"rank": 4}), None)
    draw = torch.Generator().manual_seed(seed)
    for parameter in weights.peft.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=draw) * 0.2
    folder.mkdir()
    write_lora(weights.peft, folder)


def mixes_adapters(made: Made) -> None:
    """Reply with two adapters and the base in a batch as alone, with the probabilities of PEFT."""
    folders = [made.adapter(seed) for seed in (1, 2)]
    names = [hash_adapter(folder) for folder in folders]

    async def use(backend: Any) -> Any:
        for folder in folders:
            await backend.adapters.load(backend.adapters.identify(folder))
        asked = requests((None, *names), PROMPTS[:2])
        found = await together(backend, asked)
        same(found, await alone(backend, asked))
        models = dict(
            zip((None, *names), (made.plain, *(with_adapter(made, folder) for folder in folders)), strict=True)
        )
        for request, output in zip(asked, found, strict=True):
            is_logprob(backend, models[request.adapter], request, output)
            scored = await backend.likelihood.logprob(request.messages, "", request.adapter, output.tokens)
            assert scored[0] == pytest.approx(output.logprob, abs=NEAR)

    run(made.config(decoding="dynamic"), use)


def with_adapter(made: Made, folder: Path) -> Any:
    """Return the model with a LoRA, by PEFT alone."""
    from peft import PeftModel

    with quiet_peft():
        return PeftModel.from_pretrained(load_model(made.folder / "model", torch.float32, "cpu"), str(folder))


def scores(made: Made) -> None:
    """Score replies of unequal lengths in a batch as a plain pass scores each, and embed texts as it does."""

    async def use(backend: Any) -> None:
        chats = [(ChatMessage("user", text),) for text in PROMPTS]
        score = backend.likelihood.logprob
        replies = ["red", "the cat ran far . " * 5, "", "so"]
        found = await asyncio.gather(*(score(chat, reply) for chat, reply in zip(chats, replies, strict=True)))
        for chat, reply, (logprob, count) in zip(chats, replies, found, strict=True):
            ids, start = backend.tokenizer.row_ids([*chat, ChatMessage("assistant", reply)])
            assert count == len(ids) - start
            assert logprob == pytest.approx(logprob_of(made.plain, ids, start), abs=NEAR)
        vectors = await backend.embeddings.embed(PROMPTS)
        for text, vector in zip(PROMPTS, vectors, strict=True):
            ids = torch.tensor([backend.tokenizer.text_ids(text)])
            with torch.inference_mode():
                states = made.plain(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states[-1]
            assert vector == pytest.approx(states[0].mean(0).tolist(), abs=NEAR)

    run(made.config(), use)


EXAMPLES = [
    Example((ChatMessage("user", text), ChatMessage("assistant", reply)), TurnId(0, "q", "debate", 1, "a"), "test")
    for text, reply in zip(PROMPTS, ("red", "the cat ran far . " * 3, "so it did", "one"), strict=True)
]


def train(made: Made, folder: Path, settings: TrainSettings, *, start: Adapter | None = None) -> Training:
    """Train on the examples. The base must be unchanged afterwards, and the result usable."""

    async def use(backend: Any) -> Training:
        asked = requests(prompts=PROMPTS[:2])
        before = await together(backend, asked)
        trained: Training = await backend.trainer.train(EXAMPLES, settings, start, folder, seed=1)
        same(await together(backend, asked), before)
        await backend.adapters.load(trained.adapter)
        assert (await backend.generate(ask("red", adapter=trained.adapter.hash))).tokens
        rows = [backend.tokenizer.row_ids(example.messages) for example in EXAMPLES]
        check_first_loss(made, trained, rows)
        return trained

    result: Training = run(made.config(decoding="dynamic"), use)
    return result


def check_first_loss(made: Made, trained: Training, rows: Sequence[tuple[list[int], int]]) -> None:
    """Fail unless the loss of the first step, which has all examples, is the loss of plain passes."""
    losses = [
        cross_entropy(logits_of(made.plain, ids)[start - 1 : -1], torch.tensor(ids[start:]), reduction="sum")
        for ids, start in rows
    ]
    count = sum(len(ids) - start for ids, start in rows)
    assert trained.losses[0] == pytest.approx(float(torch.stack(losses).sum()) / count, rel=1e-3)


def trains_lora(made: Made) -> None:
    """Train a LoRA: plain first loss, a lower second one, every matrix with a gradient, nothing else changed."""
    from safetensors.torch import load_file

    folder = made.folder / "lora"
    trained = train(made, folder, STEPS.model_copy(update={"rank": 4}))
    assert trained.losses[1] < trained.losses[0]
    still = [name for name, tensor in load_file(folder / "adapter_model.safetensors").items() if not tensor.any()]
    assert not still, still


def trains_fully(made: Made) -> None:
    """Finetune all weights: plain first loss, a lower second one, and the folder holds what was trained."""
    folder = made.folder / "full"
    trained = train(made, folder, STEPS.model_copy(update={"method": "full", "learning_rate": 1e-3}))
    assert trained.losses[1] < trained.losses[0]
    assert not is_lora(folder)
    now = dict(load_model(folder, torch.float32, "cpu").named_parameters())
    plain = made.plain.requires_grad_(True)
    plain(input_ids=torch.arange(5, 40)[None], use_cache=False).logits.square().sum().backward()
    still = [name for name, old in plain.named_parameters() if old.grad is not None and torch.equal(now[name], old)]
    made.plain.requires_grad_(False)
    assert not still, still


def merges(made: Made) -> None:
    """Write base and adapter as one model, with the logits of the two."""
    folder = made.adapter(1)
    merged = export_merged(made.folder / "model", folder, made.folder / "merged")
    ids = list(range(5, 40))
    expected = logits_of(with_adapter(made, folder), ids)
    found = logits_of(load_model(merged, torch.float32, "cpu"), ids)
    assert float((expected - logits_of(made.plain, ids)).abs().max()) > 0.1
    assert torch.allclose(found, expected, atol=NEAR)


MATRIX = Matrix(
    "hf",
    tuple(FAMILIES),
    make,
    {
        "load": loads,
        "batch": batches,
        "static cache": decodes_statically,
        "score": scores,
        "train LoRA": trains_lora,
        "mix LoRA": mixes_adapters,
        "train fully": trains_fully,
        "merge": merges,
    },
)
