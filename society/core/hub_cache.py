"""The cache of the Hugging Face hub: `KIND--OWNER--NAME/snapshots/COMMIT/FILE`. No library is needed to read it.

user_cache      the user's own folder for caches of all programs
hub_cache       the folder of the hub's cache
find_snapshot   the snapshot of a data set or a model
commit_of       the commit that a file or folder of the cache belongs to
is_offline      whether the user keeps the hub's clients from the network
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

from society.core.regular_files import read_limited

_COMMIT = re.compile("[0-9a-f]{1,64}")


def user_home() -> Path:
    """Return the user's home folder. Containers may have none: then it is a path that cannot exist."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull, "home")


def user_cache() -> Path:
    """Return the user's own folder for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or user_home() / ".cache")


def hub_cache() -> Path:
    """Return the folder of the cache, as the hub's client finds it."""
    home = os.environ.get("HF_HOME") or user_cache() / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def find_snapshot(name: str, revision: str, kind: Literal["datasets", "models"] = "datasets") -> Path | None:
    """Return the cached snapshot of OWNER/NAME at a branch, a tag or a commit; None where there is none."""
    folder = hub_cache() / f"{kind}--{name.replace('/', '--')}"
    commit = revision
    with suppress(OSError, ValueError):  # the revision may be a commit itself
        commit = read_limited(folder / "refs" / revision, 100).decode().strip()
    snapshot = folder / "snapshots" / commit
    return snapshot if _COMMIT.fullmatch(commit) and snapshot.is_dir() else None


def commit_of(path: Path | None) -> str:
    """Return the commit that a file or folder of the cache belongs to; "" for any other path."""
    if path is None or not path.is_relative_to(hub_cache()):
        return ""
    parts = path.relative_to(hub_cache()).parts
    return parts[2] if parts[1:2] == ("snapshots",) and len(parts) > 2 else ""


def is_offline() -> bool:
    """Return whether `HF_HUB_OFFLINE` keeps the hub's clients from the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
