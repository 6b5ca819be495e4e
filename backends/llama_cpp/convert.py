"""One-time conversion of weights to a type with fast kernels on this processor.

Measured on two cores with AVX-512, 72 replies at a time: Q4_1 220 tokens/s, Q8_0 540, BF16 660 if the processor
multiplies bfloat16 itself. For one reply at a time, Q8_0 is faster: 131 tokens/s instead of 101.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from backends.models.cache import cache_place, replacing
from backends.models.digests import digest_model
from backends.models.gguf_file import GGUFInfo, check_gguf
from society.core.errors import BackendError

log = logging.getLogger(__name__)

Requantize = Literal["auto", "never", "q8_0", "bf16"]
SLOW_TYPES = frozenset({"Q4_1", "Q5_1"})
"""Weight types for which llama.cpp has no fast kernels on CPUs."""
GROWTH = {"q8_0": 1.5, "bf16": 2.8}
"""Approximate growth of such weights, as a factor."""
LARGEST_BF16 = 2 << 30
"""Maximum bytes of weights in bfloat16. For larger models, memory matters more than a fifth of the speed."""


def choose_type(requantize: Requantize, info: GGUFInfo) -> str | None:
    """Return the type to which these weights are converted; None for no conversion."""
    if requantize == "never" or info.quantisation not in SLOW_TYPES:
        return None
    if requantize != "auto":
        return requantize
    small = info.size * GROWTH["bf16"] <= LARGEST_BF16
    return "bf16" if small and _multiplies_bf16() else "q8_0"


def _multiplies_bf16() -> bool:
    """Return whether the processor and this build of llama.cpp multiply bfloat16."""
    from backends.llama_cpp.native import library

    return b"AVX512_BF16 = 1" in library().llama_print_system_info()


def weights_size(requantize: Requantize, info: GGUFInfo) -> int:
    """Return the bytes of the loaded weights, estimated if they would be converted."""
    kind = choose_type(requantize, info)
    return info.size if kind is None else round(info.size * GROWTH[kind])


def prepare_weights(path: Path, info: GGUFInfo, requantize: Requantize, threads: int) -> tuple[Path, GGUFInfo]:
    """Return the file to load and its header: `path` itself, or its conversion in the cache."""
    kind = choose_type(requantize, info)
    if kind is None:
        return path, info
    target = cache_place(f"{digest_model(path)[:16]}-{kind}.gguf")
    if not target.exists():
        log.warning("Converting %s from %s to %s once, for speed: %s", path.name, info.quantisation, kind, target)
        with replacing(target) as temporary:
            _convert(path, temporary, kind, threads)
    return target, check_gguf(target)


def _convert(source: Path, target: Path, kind: str, threads: int) -> None:
    from backends.llama_cpp.native import requantize

    if not requantize(source, target, kind, threads):
        raise BackendError(f"{source} could not be converted to {kind}.", "Set requantize: never.")
