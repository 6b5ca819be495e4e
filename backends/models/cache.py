"""The cache of models: `SOCIETY_CACHE`, or `society` in the user's cache folder.

Files are written under another name and then renamed, so a killed process leaves no incomplete file. Users may share
the folder, also read-only: `cache_place`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from society.core.atomic import atomic_write
from society.core.errors import BackendError, InputError
from society.core.hub_cache import user_cache
from society.core.regular_files import find_closed

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder for files that are made or downloaded once, and create it if necessary."""
    return cache_place("any").parent


def cache_place(*parts: str) -> Path:
    """Return the place of a file or folder in the cache: where it is, or where it can be written.

    A cache that other users share may be read-only. What is missing there, or may not be read by this user, is then
    written into the user's own cache folder. Raises `InputError` if neither can be written.
    """
    own = user_cache() / "society"
    folders = list(dict.fromkeys([Path(os.environ.get("SOCIETY_CACHE") or own), own]))
    places = [folder.joinpath(*parts) for folder in folders]
    closed = [find_closed(place, *place.glob("*")) for place in places]
    for place, fault in zip(places, closed, strict=True):
        if fault is None and place.exists():
            return place
    faults = []
    for folder, place, fault in zip(folders, places, closed, strict=True):
        if fault is not None:
            faults.append(f"{folder}: this user may not read {fault}")
            continue
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            faults.append(f"{folder}: {error.strerror}")
            continue
        if os.access(place.parent, os.W_OK):
            for other in filter(None, closed):
                _warn(other, place)
            return place
        faults.append(f"{folder}: not writable")
    raise InputError(
        f"No cache folder can be used ({'; '.join(faults)}).",
        "Set SOCIETY_CACHE to a folder that can be written, or let the owner of closed files give the right to read "
        "them: chmod -R a+rX FOLDER",
    )


@functools.cache
def _warn(closed: Path, place: Path) -> None:
    """Log once that a file of the cache, which this user may not read, is made again in another place."""
    log.warning(
        "This user may not read %s, so %s is made. Its owner can give the right: chmod -R a+rX %s",
        closed,
        place,
        closed.parent,
    )


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path that replaces `target` if the block succeeds. Raises `BackendError` if it cannot be written."""
    try:
        with atomic_write(target) as part:
            yield part
    except OSError as error:
        raise BackendError(f"{target} could not be written: {error}.", "Make room, or set SOCIETY_CACHE.") from error
