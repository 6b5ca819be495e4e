"""The hash of an opened model: everything that determines its replies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from backends.llama_cpp.config import LlamaCpp
from backends.models.digests import digest_model
from backends.models.gguf_file import GGUFInfo


def name_model(
    path: Path,
    info: GGUFInfo,
    template: str,
    arguments: Mapping[str, object],
    config: LlamaCpp,
    length: int,
    gpu: bool,
    thinks: bool = False,
) -> str:
    """Return a hash of the loaded file, the chat template and its arguments, followed by options that change replies.

    The file may be a conversion. `length`: tokens of a slot; `gpu`: whether llama.cpp was built for a GPU; `thinks`:
    whether thoughts are separated from texts.
    """
    shaped = json.dumps([digest_model(path), template, dict(arguments)], sort_keys=True)
    digest = hashlib.sha256(shaped.encode("utf-8", "surrogatepass")).hexdigest()
    parts = [digest, f"gpu{config.gpu_layers}" if gpu and config.gpu_layers else "cpu"]
    if config.reproducible:
        parts.append("reproducible")
    if _is_stretched(info, length):
        parts.append("long")
    if thinks:
        parts.append("thoughts")
    return "-".join(parts)


def _is_stretched(info: GGUFInfo, length: int) -> bool:
    """Return whether a slot is longer than the model's original context.

    llama.cpp may then scale rotary positions differently.
    """
    first = info.number("rope.scaling.original_context_length")
    return 0 < first < length
