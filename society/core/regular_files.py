"""Regular files, read up to a limit. A path of a stranger may lead to a pipe, a device or a file without end.

open_regular    opens a file without waiting for a writer
read_limited    returns the contents of a file
read_json       returns the mapping in a JSON file
read_stamp      returns what differs once a file has changed
find_closed, require_readable
                find a file or folder that this user may not read
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from society.core.errors import InputError

Stamp = tuple[int, int, int, int]
"""Device, inode, time of the last change in nanoseconds, and size in bytes of a file."""
LARGEST_TEXT = 50_000_000
"""Maximum size of a text that is read whole, such as a JSON file or a header, in bytes."""


def read_stamp(path: Path) -> Stamp | None:
    """Return what differs once a file has changed; None where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def find_closed(*paths: Path) -> Path | None:
    """Return the first file or folder that exists and that this user may not read; None if there is none."""
    return next(filter(_is_closed, paths), None)


def _is_closed(path: Path) -> bool:
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        return isinstance(error, PermissionError)
    return not os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK)


def require_readable(*paths: Path) -> None:
    """Raise `InputError` for a file or folder that this user may not read."""
    closed = find_closed(*paths)
    if closed is not None:
        place = closed.resolve()  # `chmod` does not follow links to other files, such as those of the hub's cache
        raise InputError(f"This user may not read {place}.", f"Its owner can give the right: chmod a+rX {place}")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises `OSError` for a folder, a pipe or a device."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path.name} is no regular file")
    return os.fdopen(handle, "rb")


def read_limited(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """Return the contents of a regular file. Raises `OSError`, and `ValueError` above `largest` bytes."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > largest:
            raise ValueError(f"{path.name} is larger than {largest:,} bytes")
        return file.read(largest)


def read_json(path: Path, largest: int = LARGEST_TEXT) -> dict[str, Any]:
    """Return the mapping in a JSON file. Raises `OSError`, and `ValueError` for anything else."""
    value = parse_json(read_limited(path, largest), path.name)
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no mapping")
    return value


def parse_json(text: bytes, name: str) -> Any:
    """Return the value of a JSON text of a stranger. Raises `ValueError` for one that is nested too deeply, too."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
