"""The one-time conversion of weights to a type for which this processor has fast kernels.

Measured on two cores with AVX-512, 72 replies at a time: Q4_1 220 tokens/s, Q8_0 540, BF16 660 where the processor
multiplies bfloat16 itself (one reply at a time, Q8_0 is faster: 131 against 101).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from backends.models.find import cache_folder, digest_of, replacing
from backends.models.gguf_file import GGUFInfo, check_gguf
from society.core.errors import BackendError

log = logging.getLogger(__name__)

Requantize = Literal["auto", "never", "q8_0", "bf16"]
SLOW_TYPES = frozenset({"Q4_1", "Q5_1"})
"""Weight types for which llama.cpp has no fast kernels on CPUs."""
GROWTH = {"q8_0": 1.5, "bf16": 2.8}
"""About how much larger such weights become."""
LARGEST_BF16 = 2 << 30
"""Bytes of weights beyond which memory counts for more than a fifth of the speed."""


def choose_type(requantize: Requantize, info: GGUFInfo) -> str | None:
    """The type that these weights are converted to; None if they are used as they are."""
    if requantize == "never" or info.quantisation not in SLOW_TYPES:
        return None
    if requantize != "auto":
        return requantize
    small = info.size * GROWTH["bf16"] <= LARGEST_BF16
    return "bf16" if small and _multiplies_bf16() else "q8_0"


def _multiplies_bf16() -> bool:
    """Whether the processor, and llama.cpp as it was built, multiply bfloat16."""
    from backends.llama_cpp.native import library

    return b"AVX512_BF16 = 1" in library().llama_print_system_info()


def weights_size(requantize: Requantize, info: GGUFInfo) -> int:
    """Bytes of the weights as they are loaded, estimated where they would be converted."""
    kind = choose_type(requantize, info)
    return info.size if kind is None else round(info.size * GROWTH[kind])


def prepare_weights(path: Path, info: GGUFInfo, requantize: Requantize, threads: int) -> tuple[Path, GGUFInfo]:
    """The file to load: `path` itself, or its conversion in the cache."""
    kind = choose_type(requantize, info)
    if kind is None:
        return path, info
    target = cache_folder() / f"{digest_of(path)[:16]}-{kind}.gguf"
    if not target.exists():
        log.warning("Converting %s from %s to %s once, for speed: %s", path.name, info.quantisation, kind, target)
        with replacing(target) as temporary:
            _convert(path, temporary, kind, threads)
    return target, check_gguf(target)


def _convert(source: Path, target: Path, kind: str, threads: int) -> None:
    from backends.llama_cpp.native import requantize

    if not requantize(source, target, kind, threads):
        raise BackendError(f"{source} could not be converted to {kind}.", "Set requantize: never.")
