"""Adapter folders: atomic writing, hashing by content, and checking before use.

A LoRA adapter is a PEFT folder; the result of full finetuning is a complete model folder. Both hold safetensors.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from backends.models.lora_config import find_fault, read_config
from society.core.atomic import move_into_place
from society.core.errors import BackendError, StoreError
from society.core.hashing import hash_each, hash_files
from society.core.types import Adapter


def hash_adapter(folder: Path, known: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the content hash of an adapter folder, of its weights and its configuration.

    `known` has hashes of files of full weights that are already computed, by name.
    """
    weights = folder.glob("*.safetensors")
    if is_lora(folder):
        return hash_files([folder / "adapter_config.json", *weights])
    return hash_each([folder / "config.json", *weights], known)


def _is_named(folder: Path, name: str) -> bool:
    """Return whether a folder has this hash, or the hash of version 0.1 for full weights."""
    if hash_adapter(folder) == name:
        return True
    return not is_lora(folder) and hash_files([folder / "config.json", *folder.glob("*.safetensors")]) == name


def is_lora(folder: Path) -> bool:
    """Return whether this is a PEFT folder. Otherwise it contains full weights."""
    return (folder / "adapter_config.json").exists()


def check_adapter(adapter: Adapter, model_hash: str) -> Path:
    """Return the folder of an adapter for this base.

    Raises `BackendError` if the folder is missing, altered or belongs to another base.
    """
    folder = Path(adapter.path)
    if not any(folder.glob("*.safetensors")):
        raise BackendError(
            f"The adapter folder {folder} holds no .safetensors file.",
            "Pickled weights (.bin, .pt) can run code and are refused: convert them to safetensors.",
        )
    if not (is_lora(folder) or (folder / "config.json").exists()):
        raise BackendError(f"{folder} has neither adapter_config.json nor config.json.", "Give an adapter's folder.")
    if is_lora(folder) and (fault := find_fault(read_config(folder))):
        raise BackendError(f"The adapter in {folder} cannot be used: {fault[0]}.", fault[1])
    if base_of(adapter.base) != base_of(model_hash):
        raise BackendError(
            f"The adapter {adapter.hash[:12]} was trained on the base {adapter.base[:12]}, "
            f"but this backend runs {model_hash[:12]}.",
            "Open the model (and chat template) that it was trained on, or train it again on this one.",
        )
    if not _is_named(folder, adapter.hash):
        raise BackendError(
            f"The adapter in {folder} is not the one named {adapter.hash[:12]}: its files have changed.",
            "Restore the folder, or train the adapter again.",
        )
    return folder


def base_of(model_hash: str) -> str:
    """Return the part of a model hash for the base, before device, attention and precision."""
    return model_hash.partition("-")[0]


def check_shapes(folder: Path, modules: dict[str, Any]) -> None:
    """Raise `BackendError` if a LoRA matrix in the folder does not fit the base's module of this name."""
    ranks: dict[str, int] = {}
    for key, shape in _read_shapes(folder).items():
        name, _, matrix = key.removeprefix("base_model.model.").partition(".lora_")
        side = {"A": 1, "B": 0}.get(matrix[:1])
        if side is None:
            continue
        expected = getattr(modules.get(name), "in_features" if side else "out_features", None)
        if len(shape) != 2:
            raise _misfit(folder, key, f"has shape {shape}", "a matrix is needed")
        if expected != shape[side]:
            there = "there is no such layer" if expected is None else f"that layer has {expected}"
            raise _misfit(folder, key, f"has size {shape[side]}", there)
        if ranks.setdefault(name, shape[1 - side]) != shape[1 - side]:
            raise _misfit(folder, key, f"has rank {shape[1 - side]}", "the ranks of a pair must be equal")


def _read_shapes(folder: Path) -> dict[str, list[int]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / "adapter_model.safetensors", "pt") as file:
            return {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise BackendError(
            f"The adapter in {folder} is no sound safetensors file: {error}.", "Restore the folder from a copy."
        ) from error


def _misfit(folder: Path, key: str, found: str, there: str) -> BackendError:
    return BackendError(
        f"The adapter in {folder} does not fit this model: {key} {found}, but {there}.",
        "Open the model that it was trained on.",
    )


def write_folder(folder: Path, write: Callable[[Path], None]) -> Path:
    """Write a folder atomically: `write` fills a folder beside it, which is then synced and renamed.

    Raises `StoreError` if the disk is full or unavailable, and removes the partial folder.
    """
    from safetensors import SafetensorError

    part = folder.with_name(f".{folder.name}.part")
    for old in (part, folder):
        shutil.rmtree(old, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write(part)
        return move_into_place(part, folder)
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno is None:  # transformers' word for what it cannot find or load
            raise
        raise StoreError(
            f"{folder} cannot be written: {error}.",
            "Check free space and permissions; a run goes on with --resume: what was stored is safe.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def normalise_config(folder: Path) -> None:
    """Remove machine-dependent keys from adapter_config.json, so that equal adapters have equal hashes."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    config.update(base_model_name_or_path="", revision=None, inference_mode=True)
    config = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
