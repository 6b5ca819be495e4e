"""SHA-256 of files and models, cached by path, size, inode and times."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from pathlib import Path

from backends.models.cache import cache_place, replacing
from backends.models.find import split_parts
from society.core.errors import BackendError
from society.core.hashing import hash_file

_SETTLED_NS = 3_000_000_000
"""Nanoseconds after which two changes of a file have different times on every usual file system."""


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's contents, from the cache if the file has not changed since it was hashed.

    A file counts as unchanged if path, size, inode and both times of change are equal. A file is hashed every time if
    its last change is too recent to distinguish from another, or if the cache cannot be written.
    """
    state, now = path.stat(), time.time_ns()
    memo = cache_place("digests", _identify(path, state))
    with contextlib.suppress(OSError):
        known = memo.read_text("ascii", "replace")
        if re.fullmatch("[0-9a-f]{64}", known):
            return known
    digest = hash_file(path)
    settled = now - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS
    if settled and _identify(path, path.stat()) == memo.name:
        with contextlib.suppress(OSError, BackendError), replacing(memo) as temporary:
            temporary.write_text(digest)
    return digest


def digest_model(path: Path) -> str:
    """Return the SHA-256 of a model file's contents; of all files if `path` is the first one of a split model."""
    digests = [digest_of(part) for part in split_parts(path) if part == path or part.exists()]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _identify(path: Path, state: os.stat_result) -> str:
    """Return a name for a file and its state. `touch` can reset the modification time, but not the change time."""
    parts = (path.resolve(), state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]


def dequantised_folder(gguf: Path) -> Path:
    """Return the place in the cache of a GGUF file's weights as a model folder, by the hash of its contents."""
    return cache_place("hf", digest_of(gguf)[:32])
