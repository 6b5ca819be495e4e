"""Names an opened model by everything that decides what it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from backends.llama_cpp.config import LlamaCpp
from backends.models.find import digest_of
from backends.models.gguf_file import GGUFInfo


def name_model(
    path: Path, info: GGUFInfo, template: str, arguments: Mapping[str, object], config: LlamaCpp, length: int, gpu: bool
) -> str:
    """Return a hash of the loaded file (which may be a conversion), the chat template and its arguments, followed by
    every option that changes what the same model says.

    `length` is the tokens that a slot holds; `gpu` tells whether llama.cpp was built for a GPU.
    """
    shaped = json.dumps([digest_of(path), template, dict(arguments)], sort_keys=True)
    digest = hashlib.sha256(shaped.encode("utf-8", "surrogatepass")).hexdigest()
    parts = [digest, f"gpu{config.gpu_layers}" if gpu and config.gpu_layers else "cpu"]
    if config.reproducible:
        parts.append("reproducible")
    if _is_stretched(info, length):
        parts.append("long")
    return "-".join(parts)


def _is_stretched(info: GGUFInfo, length: int) -> bool:
    """Whether a slot is longer than the model's first context: llama.cpp may then turn positions by other factors."""
    first = info.number("rope.scaling.original_context_length")
    return 0 < first < length
