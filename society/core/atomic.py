"""Files and folders that are written whole or not at all, even if the power fails: contents first, then the name.

atomic_write       yields a hidden path to write to, which replaces the real one when everything is written
move_into_place    gives a finished file or folder its name
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from secrets import token_hex

_numbers = count()
_TOKEN = token_hex(4)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path` for a file or folder. It replaces `path` if the block succeeds.

    If the block fails, the hidden file or folder is removed and `path` stays as it was.
    """
    # The token tells apart processes of equal ids on machines that share a disk.
    part = path.with_name(f".{path.name}.{os.getpid()}-{_TOKEN}-{next(_numbers)}{path.suffix}")
    try:
        yield part
        move_into_place(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def move_into_place(part: Path, path: Path) -> Path:
    """Rename `part`, a file or folder, to `path` in the same folder, once its contents are safe on the disk.

    Its files have the rights that the umask gives, also those that a library wrote for their owner alone.
    """
    _give_rights([part, *part.rglob("*")])
    if part.is_dir():
        for inner in part.rglob("*"):
            _sync(inner)
        shutil.rmtree(path, ignore_errors=True)
    _sync(part)
    part.replace(path)
    _sync(path.parent)
    return path


def _give_rights(paths: Iterable[Path]) -> None:
    """Give the rights of a new file to files that their owner alone may read, such as those of safetensors."""
    closed = [path for path in paths if path.is_file() and not path.is_symlink() and not path.stat().st_mode & 0o077]
    if not closed:
        return
    new = closed[0].with_name(f".{closed[0].name}.new")  # reading the umask would change it for all threads
    new.touch()
    rights = stat.S_IMODE(new.stat().st_mode)
    new.unlink()
    for path in closed:
        path.chmod(rights | stat.S_IMODE(path.stat().st_mode))


def _sync(path: Path) -> None:
    """Wait until a file's contents, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders; its file system keeps names safe by itself
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
