"""Export of training results: readable rows, PEFT folders, GGUF adapters and merged models.

Only the tokenizer and the adapters are read. The base's weights are hashed to identify them, and loaded only for
merging.
"""

from __future__ import annotations

import logging
import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from backends.base import BackendConfig
from backends.hf.adapters import check_adapter, is_lora, write_folder
from backends.hf.examples import render
from backends.hf.hashing import hash_base
from backends.hf.loading import find_folder, load_chat
from backends.llama_cpp.config import LlamaCpp
from backends.models.find import find_model
from backends.models.gguf_base import check_base
from backends.models.gguf_export import export_gguf_adapter, export_merged
from backends.training import TrainSettings
from society.core.errors import InputError
from society.core.types import Adapter, Example

if TYPE_CHECKING:
    from backends.hf import HuggingFace
    from backends.hf.chat import Chat

log = logging.getLogger(__name__)


class HubExporter:
    """The exporter of the results of a transformers backend."""

    def __init__(self, config: HuggingFace) -> None:
        self.config = config

    @cached_property
    def folder(self) -> Path:
        """The base's folder."""
        return find_folder(self.config.reference)

    @cached_property
    def chat(self) -> Chat:
        """The base's tokenizer and chat template."""
        return load_chat(self.folder, self.config.chat_template, self.config.model)

    @cached_property
    def base(self) -> str:
        """The base's hash."""
        return hash_base(self.folder, self.chat)

    def render(self, example: Example, settings: TrainSettings) -> list[tuple[str, bool]]:
        """Return the tokens of the example's training row, and whether each is learned."""
        return render(self.chat, example, settings)

    def write(self, adapter: Adapter, folder: Path) -> Path | None:
        """Copy the adapter's folder and, for a LoRA that GGUF can express, write a GGUF file beside it."""
        source = self._copy(adapter, folder)
        if not is_lora(source):
            return None
        try:
            return export_gguf_adapter(source, self.folder, folder.with_name(f"{folder.name}.gguf"))
        except InputError as error:
            log.warning("%s is written without a GGUF file: %s %s", folder, error.cause, error.remedy)
            return None

    def merge(self, adapter: Adapter, folder: Path) -> Path:
        """Write base and adapter as one model folder. Full weights are one already."""
        source = check_adapter(adapter, self.base)
        return export_merged(self.folder, source, folder) if is_lora(source) else self._copy(adapter, folder)

    def portable(self, model: str, context: int) -> BackendConfig | None:
        """llama.cpp on `model`, or on the GGUF that the base was made from."""
        own = self.config.model
        if not model and not own.startswith("pypi:") and not own.endswith(".gguf"):
            return None
        options = {"model": _absolute(model or own), "context": self.config.context or context}
        if not model and self.config.revision:
            options["revision"] = self.config.revision
        template = self.config.chat_template
        return LlamaCpp.model_validate(options | ({"chat_template": template} if template else {}))

    def check_base(self, model: str) -> None:
        """Raise `InputError` unless the GGUF file `model` has the weights of the base."""
        check_base(find_model(model), self.folder, len(self.chat.tokenizer))

    def _copy(self, adapter: Adapter, folder: Path) -> Path:
        source = check_adapter(adapter, self.base)
        write_folder(folder, lambda part: _copy_files(source, part))
        return source


def _copy_files(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)


def _absolute(model: str) -> str:
    """Return a model's name, or its absolute path, as it is read from another folder."""
    path = Path(model).expanduser()
    return str(path.resolve()) if path.is_file() else model
