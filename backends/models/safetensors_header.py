"""Reads the header of a safetensors file: a length of 8 bytes, then JSON with the shape of each tensor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from society.core.regular_files import LARGEST_TEXT, open_regular, parse_json

MOST_TENSORS = 200_000
"""Maximum number of tensors in a file."""
MOST_DIMENSIONS = 16
LARGEST_DIMENSION = 1 << 48


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in a safetensors file. Raises `OSError`, and `ValueError` for a damaged file."""
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(LARGEST_TEXT, os.fstat(file.fileno()).st_size):
            raise ValueError(f"{path.name} has no safetensors header")
        header = parse_json(file.read(length), path.name)
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise ValueError(f"the header of {path.name} is no mapping of at most {MOST_TENSORS:,} tensors")
    return {name: _shape(name, entry) for name, entry in header.items() if name != "__metadata__"}


def _shape(name: str, entry: Any) -> tuple[int, ...]:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or len(shape) > MOST_DIMENSIONS or not all(map(_possible, shape)):
        raise ValueError(f"the tensor {name!r:.80} has no possible shape")
    return tuple(shape)


def _possible(size: object) -> bool:
    return type(size) is int and 0 <= size <= LARGEST_DIMENSION
