"""Content hashes of files. Stored runs name models, adapters and inputs by them, so each scheme is fixed.

hash_file     SHA-256 of one file, as in SHA256SUMS
hash_files    SHA-256 over names, sizes and contents: an adapter's weights with their configuration
hash_each     SHA-256 over names, sizes and hashes, computed in parallel: full weights
hash_path     BLAKE2b over a file, or over all files of a folder with their names: the inputs of a scenario
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from society.core.errors import InputError

_BLOCK = 1 << 22
"""Bytes read at once."""


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's contents, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """Return the SHA-256 over names, sizes and contents of files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        for block in _read_blocks(path):
            digest.update(block)
    return digest.hexdigest()


def hash_each(paths: Sequence[Path], known: Mapping[str, str]) -> str:
    """Return the SHA-256 over the names, sizes and hashes of files. `known` has hashes of some, by name.

    Several files are read at a time: one processor hashes a gigabyte a second, and full weights have many.
    """
    ordered = sorted(paths, key=lambda path: path.name)
    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1)) as pool:
        hashes = list(pool.map(lambda path: known.get(path.name) or hash_file(path), ordered))
    digest = hashlib.sha256()
    for path, found in zip(ordered, hashes, strict=True):
        digest.update(f"{path.name}\0{path.stat().st_size}\0{found}\0".encode())
    return digest.hexdigest()


def hash_path(path: Path) -> str:
    """Return 32 hexadecimal digits over a file's contents, or over all files of a folder with their names.

    Raises `InputError` when there is nothing at `path`.
    """
    digest = hashlib.blake2b(digest_size=16)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise InputError(f"There is no adapter at {path}.", "Correct the path in the scenario.")
    for file in files:
        digest.update(os.fsencode(file.relative_to(path).as_posix()))
        for block in _read_blocks(file):
            digest.update(block)
    return digest.hexdigest()


def _read_blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
