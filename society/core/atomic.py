"""Files and folders that appear whole or not at all, even if the power fails: contents reach the disk, then the name.

appearing    a path to write to, which becomes the file or folder meant when all is written
put          gives what was written its name
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A hidden path beside `path` to write a file or folder to: it becomes `path` if the block succeeds, replacing
    what was there, and is removed if it fails."""
    part = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        yield part
        put(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def put(part: Path, path: Path) -> Path:
    """Rename `part`, a file or folder, to `path` in the same folder, as soon as its contents are safe on the disk."""
    if part.is_dir():
        for inner in part.rglob("*"):
            _sync(inner)
        shutil.rmtree(path, ignore_errors=True)
    _sync(part)
    part.replace(path)
    _sync(path.parent)
    return path


def _sync(path: Path) -> None:
    """Wait until a file's contents, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders; its file system keeps names by itself
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
