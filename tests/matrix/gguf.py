"""The matrix of llama.cpp: the small models as GGUF files, and what the llama_cpp backend does with them.

Logits are compared with those of transformers, alone and with an adapter of PEFT; replies with llama-cpp-python alone;
memory with what llama.cpp reports. `gguf_headers.json` has the settings that llama.cpp's own converter writes for these
models (version 0.19 of the `gguf` package): a test that wrote them itself could not find what the reader misreads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from gguf import GGUFValueType, GGUFWriter

from backends.contract_tools import ask, run
from backends.llama_cpp import LlamaCpp
from backends.llama_cpp.native import Context, Model
from backends.llama_cpp.probe import CHILD
from backends.llama_cpp.sizes import find_sizes
from backends.llama_cpp.threads import ThreadTuner
from backends.models.gguf_export import export_gguf_adapter
from backends.models.gguf_file import check_gguf
from backends.models.gguf_model import export_gguf_model, gguf_weights, write_gguf
from backends.models.gguf_names import Names
from backends.models.lora_config import quiet_peft
from society.core.types import GenerateOutput, GenerateRequest
from tests.backends.hf.tiny import make_model, make_tokenizer
from tests.matrix.families import FAMILIES, WINDOW
from tests.matrix.table import Matrix

NEAR = 0.05
"""Maximum difference of logits: llama.cpp stores keys and values in half precision."""
UNTIED = {"tie_word_embeddings": False}


def sliding(count: int) -> dict[str, object]:
    """Return the settings of `count` layers, of which the last one attends to everything."""
    kinds = ["sliding_attention"] * (count - 1) + ["full_attention"]
    return {"num_hidden_layers": count, "layer_types": kinds, "sliding_window": WINDOW}


SETTINGS: dict[str, dict[str, object]] = {
    "Llama": UNTIED,
    "Mistral": {"sliding_window": None},
    "Mixtral": {},
    "Qwen 2": {},
    "Qwen 3": {},
    "Qwen 3 MoE": {"norm_topk_prob": True},
    "Gemma": {},
    "Gemma 2": {},
    "Gemma 3": sliding(6),
    "Phi 3": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    "SmolLM 3": {"num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0]},
    "Granite": {},
    "Granite MoE hybrid": {},
    "OLMo 2": UNTIED,
    "OLMo 3": UNTIED | sliding(4),
    "Cohere 2": sliding(4),
    "Falcon H1": {},
    "Jamba": {},
    "LFM 2": {},
    "Mamba": {},
    "Mamba 2": {},
    "GPT-2": {},
}
"""The families, with settings that GGUF files cannot express otherwise: llama.cpp knows the order of layers itself."""
HEADERS = Path(__file__).with_name("gguf_headers.json")
SHARED = "the cat sat on a mat and the dog ran far . so it did not stop "
PROMPTS = ("red", SHARED + "red", SHARED + "green blue", "one two three four . " * 3, SHARED, SHARED + "red ?")
"""Prompts shorter and longer than the window, with common beginnings that end within it."""
IDS = [1, *np.random.default_rng(0).integers(3, 110, 47).tolist()]


@dataclass(frozen=True)
class Made:
    """A small model as a folder of transformers and as a GGUF file."""

    folder: Path

    @property
    def base(self) -> Path:
        """The folder of transformers."""
        return self.folder / "model"

    @property
    def gguf(self) -> Path:
        """The GGUF file."""
        return self.folder / "model.gguf"

    def config(self, **options: Any) -> LlamaCpp:
        """Return the backend's configuration."""
        return LlamaCpp(model=str(self.gguf), **{"context": 256, "slots": 16, "threads": 1, **options})

    @cached_property
    def adapters(self) -> tuple[Path, Path]:
        """Two adapters in GGUF, beside the PEFT folders that they were exported from."""
        folders = [write_adapter(self.base, self.folder / f"adapter-{seed}", seed) for seed in (1, 2)]
        first, second = (export_gguf_adapter(folder, self.base, folder.with_suffix(".gguf")) for folder in folders)
        return first, second


@contextmanager
def unprobed() -> Iterator[None]:
    """Load models without the child process that tries them out first."""
    with mock.patch.dict(os.environ, {CHILD: "1"}):
        yield


def make(name: str, folder: Path) -> Made:
    """Write the model of a family, in both formats."""
    torch.set_num_threads(1)
    made = Made(folder)
    make_model(made.base, 0, FAMILIES[name].kind, **FAMILIES[name].settings | SETTINGS[name])
    write_model(made, json.loads(HEADERS.read_text("utf-8"))[name])
    return made


def write_model(made: Made, header: dict[str, Any]) -> None:
    """Write the GGUF with the settings of a header, and a byte-level vocabulary of the same size."""
    names = Names.of(made.base)
    writer = GGUFWriter(None, names.in_gguf)
    for key, value in header.items():
        inner = kind_of(value[0]) if isinstance(value, list) else None
        writer.add_key_value(f"{names.in_gguf}.{key}", value, kind_of(value), inner)
    weights = dict(gguf_weights(made.base, names))
    add_vocabulary(writer, weights["token_embd.weight"].shape[0])
    for weight, tensor in weights.items():
        writer.add_tensor(weight, tensor)
    write_gguf(writer, made.gguf)


def kind_of(value: Any) -> GGUFValueType:
    """Return the type with which the converter writes a value."""
    kinds = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING", list: "ARRAY"}
    return GGUFValueType[kinds[type(value)]]


def add_vocabulary(writer: GGUFWriter, size: int) -> None:
    """Add the tokens of the small tokenizer: one token a character, control tokens, and words that nothing makes."""
    tokenizer = make_tokenizer()
    tokens = [token.replace(" ", "Ġ").replace("\n", "Ċ") for token in tokenizer.convert_ids_to_tokens(range(size))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if number in tokenizer.all_special_ids else 1 for number in range(size)])
    writer.add_token_merges(["c a"])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)


def write_adapter(base: Path, folder: Path, seed: int) -> Path:
    """Write a random LoRA on all linear layers. Ranks and alphas differ by layer; the second is rank-stabilised."""
    from peft import LoraConfig, get_peft_model

    model = load(base)
    # PEFT refuses out_proj beside states, and transformers reads the weights of dt_proj past the adapter.
    states = any("mamba" in name or "mixer" in name for name, _ in model.named_modules())
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        rank_pattern={r".*\.1\..*": 2},
        alpha_pattern={r".*\.1\..*": 6},
        use_rslora=seed == 2,
        target_modules="all-linear",
        exclude_modules=r".*\.(out_proj|dt_proj)" if states else None,
        task_type="CAUSAL_LM",
    )
    with quiet_peft(), torch.random.fork_rng():
        peft = get_peft_model(model, config)
        torch.manual_seed(seed)
        for name, parameter in peft.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.15)
    peft.save_pretrained(folder)
    return folder


def load(base: Path) -> Any:
    """Return the model as transformers loads it, in float32."""
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    return auto.from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()


def torch_logits(base: Path, adapter: Path | None = None) -> np.ndarray:
    """Return the logits [tokens, vocabulary] of IDS by transformers and PEFT."""
    from peft import PeftModel

    model = load(base)
    with quiet_peft(), torch.inference_mode():
        model = PeftModel.from_pretrained(model, str(adapter)) if adapter else model
        found: np.ndarray = model(torch.tensor([IDS]), use_cache=False).logits[0].numpy()
        return found


def llama_logits(gguf: Path, adapter: Path | None = None) -> np.ndarray:
    """Return the logits [tokens, vocabulary] of IDS by llama.cpp."""
    with unprobed():
        model = Model(gguf, 0)
    context = Context(model, 2, 256, ThreadTuner(1, adapt=False), on_gpu=False)
    try:
        context.use(model.load_adapter(adapter) if adapter else None)
        count = len(IDS)
        return context.decode(IDS, np.arange(count), np.zeros(count, int), np.ones(count, bool)).copy()
    finally:
        context.close()
        model.close()


# Checks


def computes(made: Made) -> None:
    """Load, with the logits of transformers."""
    assert np.abs(llama_logits(made.gguf) - torch_logits(made.base)).max() <= NEAR


def replies(made: Made) -> None:
    """Reply greedily in a batch and over reused prompts: each token is the best of llama-cpp-python alone, or equal."""
    asked = [ask(prompt, max_tokens=8, temperature=0.0) for prompt in PROMPTS]

    async def use(backend: Any) -> list[tuple[list[int], GenerateOutput]]:
        outputs = [*await asyncio.gather(*map(backend.generate, asked)), *await one_by_one(backend, asked)]
        prompts = [backend._opened._chat.tokens(request.messages) for request in asked] * 2
        return list(zip(prompts, outputs, strict=True))

    with unprobed():
        found = run(made.config(slots=1), use) + run(made.config(slots=4), use)
    with alone(made.gguf) as evaluate:
        for prompt, output in found:
            assert output.tokens
            before = evaluate((*prompt, *output.tokens))[len(prompt) - 1 : -1]
            chosen = before[np.arange(len(output.tokens)), list(output.tokens)]
            assert (before.max(axis=1) - chosen).max() <= NEAR


async def one_by_one(backend: Any, asked: Sequence[GenerateRequest]) -> list[GenerateOutput]:
    """Return the replies to requests, one after another."""
    return [await backend.generate(request) for request in asked]


@contextmanager
def alone(gguf: Path) -> Iterator[Callable[[tuple[int, ...]], np.ndarray]]:
    """Open llama-cpp-python, as a function that returns the logits [tokens, vocabulary] of a text."""
    from llama_cpp import Llama

    llama = Llama(str(gguf), n_ctx=256, n_threads=1, verbose=False, logits_all=True)

    @cache
    def evaluate(ids: tuple[int, ...]) -> np.ndarray:
        llama.reset()
        llama._ctx.kv_cache_clear()
        llama.eval(list(ids))
        return np.array(llama.scores[: len(ids)])

    try:
        yield evaluate
    finally:
        llama.close()


def reproduces(made: Made) -> None:
    """Reply with `reproducible: true` and two adapters: together, again and alone, bit for bit the same."""

    async def use(backend: Any) -> list[list[GenerateOutput]]:
        names: list[str | None] = [None]
        for path in made.adapters:
            adapter = backend.adapters.identify(path)
            await backend.adapters.load(adapter)
            names.append(adapter.hash)
        asked = [ask(text, seed=i, adapter=names[i % 3], max_tokens=10) for i, text in enumerate(PROMPTS * 2)]
        together = await asyncio.gather(*map(backend.generate, asked))
        again = await asyncio.gather(*map(backend.generate, asked[::-1]))
        return [list(together), list(again)[::-1], await one_by_one(backend, asked)]

    with unprobed():
        together, again, alone = run(made.config(reproducible=True), use)
        fresh = run(made.config(reproducible=True, slots=32), use)[2]
    facts = [[(output.tokens, output.logprob) for output in outputs] for outputs in (together, again, alone, fresh)]
    assert facts[0] == facts[1] == facts[2] == facts[3]
    assert len({output.tokens for output in alone}) > len(alone) // 2


def plans_memory(made: Made) -> None:
    """Plan the memory of slots that llama.cpp reports."""
    lines: list[str] = []
    handler = mock.Mock(level=0, handle=lambda record: lines.append(record.getMessage()))
    log = logging.getLogger("llama.cpp")
    with unprobed():
        model = Model(made.gguf, 0)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        Context(model, 64, 256, ThreadTuner(1, adapt=False), on_gpu=False).close()
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        model.close()
    pattern = re.compile(r"(?:llama_kv_cache|llama_memory_recurrent)[\w ]*: size = +([\d.]+) MiB")
    sizes = [float(match[1]) for line in lines if (match := pattern.match(line))]
    assert sizes
    planned = find_sizes(made.config(slots=64), check_gguf(made.gguf)).context_bytes / (1 << 20)
    assert abs(sum(sizes) - planned) <= 0.01 * len(sizes)


def exports_adapters(made: Made) -> None:
    """Export LoRA adapters with ranks and alphas by layer, and a rank-stabilised one, with the logits of PEFT."""
    plain = llama_logits(made.gguf)
    for path in made.adapters:
        found = llama_logits(made.gguf, path)
        assert np.abs(found - torch_logits(made.base, path.with_suffix(""))).max() <= NEAR
        assert np.abs(found - plain).max() > 0.3


def exports_models(made: Made) -> None:
    """Write other weights over the GGUF of their base, with the logits of transformers."""
    other = made.folder / "other"
    model = load(made.base)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(other)
    written = export_gguf_model(made.gguf, other, made.folder / "other.gguf")
    assert np.abs(llama_logits(written) - torch_logits(other)).max() <= NEAR


MATRIX = Matrix(
    "gguf",
    tuple(SETTINGS),
    make,
    {
        "logits": computes,
        "greedy": replies,
        "reproducible": reproduces,
        "memory": plans_memory,
        "export adapter": exports_adapters,
        "export model": exports_models,
    },
)
