"""Model folders of the hub: their download, and whether the local cache has one as a whole. Imports no torch."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from backends.models.find import explain_hub, split_pin
from society.core.errors import InputError, MissingExtraError
from society.core.hub_cache import find_snapshot
from society.core.regular_files import require_readable

WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
"""Patterns of the files of a model that are downloaded."""


def is_whole(hub_id: str) -> bool:
    """Return whether the local cache has the configuration and all weights of a model, which may have a revision."""
    folder = find_snapshot(*split_pin(hub_id), "models")
    if folder is None or not (folder / "config.json").is_file():
        return False
    if (folder / "model.safetensors").is_file():
        return True
    with suppress(OSError, ValueError, AttributeError):
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        return all((folder / name).is_file() for name in set(index["weight_map"].values()))
    return False


def download(hub_id: str) -> Path:
    """Download a model's files from the hub, or find them in its cache. Return their folder.

    `hub_id` is OWNER/NAME or hf:NAME, perhaps with @REVISION. Raises `InputError` if the files cannot be had.
    """
    name, revision = split_pin(hub_id)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtraError(hub_id, "huggingface-hub", "hf") from None
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=WANTED))
    except Exception as error:  # the hub client raises its own, its HTTP library's and OS errors
        if isinstance(error, PermissionError) and error.filename:
            require_readable(Path(error.filename))
        pinned = f" --revision {revision}" if revision != "main" else ""
        raise InputError(
            f"The model {hub_id} could not be fetched: {explain_hub(error)}.",
            f"Check the name, or where there is a network run: hf download {name}{pinned}. "
            "`society models` lists the models of this machine.",
        ) from error
