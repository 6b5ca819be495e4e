"""Writes full weights as safetensors, hashed while they are written, several files at a time.

A file of safetensors is the length of a header, the header in JSON, and the tensors' bytes one after another. The
library's own writer holds a copy of all bytes and hashes nothing, so that the files would be read again for their hash.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

SHARD = 1 << 29
"""Maximum bytes of a file, unless a single tensor is larger."""
BLOCK = 1 << 24
"""Bytes written and hashed at a time."""
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64", torch.bool: "BOOL"}
"""The format's names of the dtypes that are written here."""


def can_write(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Return whether all tensors have a dtype that is written here."""
    return all(tensor.dtype in DTYPES for tensor in tensors.values())


def write_weights(tensors: Mapping[str, torch.Tensor], folder: Path) -> dict[str, str]:
    """Write a model's tensors as `transformers` stores them; return the SHA-256 (hex) of each file by its name."""
    parts = _split(tensors)
    names = [f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors" for i in range(len(parts))]
    if len(parts) == 1:
        names = ["model.safetensors"]
    with ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1)) as pool:
        files = [folder / name for name in names]
        digests = list(pool.map(_write, files, ({key: tensors[key] for key in part} for part in parts)))
    if len(parts) > 1:
        _write_index(tensors, dict(zip(names, parts, strict=True)), folder)
    return dict(zip(names, digests, strict=True))


def _split(tensors: Mapping[str, torch.Tensor]) -> list[list[str]]:
    """Return the names of the tensors of each file."""
    parts: list[list[str]] = []
    room = 0
    for name in sorted(tensors):
        size = tensors[name].nbytes
        if not parts or size > room:
            parts.append([])
            room = SHARD
        parts[-1].append(name)
        room -= size
    return parts


def _write(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for block in (len(text).to_bytes(8, "little"), text):
            file.write(block)
            digest.update(block)
        for tensor in tensors.values():
            array: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            data = memoryview(array)
            for start in range(0, len(data), BLOCK):
                file.write(data[start : start + BLOCK])
                digest.update(data[start : start + BLOCK])
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _write_index(tensors: Mapping[str, torch.Tensor], parts: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Write which file holds each tensor."""
    total = sum(tensor.nbytes for tensor in tensors.values())
    places = {name: file for file, part in parts.items() for name in part}
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", "utf-8")
