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

from backends.models.model_folder import require_open
from backends.models.peft_folder import CONFIG, check_folder, check_stored, read_shapes
from society.core.atomic import move_into_place
from society.core.errors import BackendError, InputError, StoreError
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
    return (folder / CONFIG).exists()


def check_adapter(adapter: Adapter, model_hash: str) -> Path:
    """Return the folder of an adapter for this base.

    Raises `BackendError` if the folder is missing, altered or belongs to another base.
    """
    folder = Path(adapter.path)
    check_files(folder)
    if base_of(adapter.base) != base_of(model_hash):
        raise BackendError(
            f"The adapter {adapter.hash[:12]} was trained on the base {adapter.base[:12]}, "
            f"but this backend runs {model_hash[:12]}.",
            "Open the model (and chat template) that it was trained on, or train it again on this one.",
        )
    check_contents(adapter)
    return folder


def check_contents(adapter: Adapter) -> None:
    """Raise `BackendError` if the files of an adapter are not those of its hash."""
    if not _is_named(Path(adapter.path), adapter.hash):
        raise BackendError(
            f"The adapter in {adapter.path} is not the one named {adapter.hash[:12]}: its files have changed.",
            "Restore the folder, or train the adapter again.",
        )


def base_of(model_hash: str) -> str:
    """Return the part of a model hash for the base, before device, attention and precision."""
    return model_hash.partition("-")[0]


def check_path(path: Path, base: Path | None) -> None:
    """Raise `InputError` or `BackendError` if an adapter that a scenario names cannot be used on a base.

    `base` is the model folder of the base, or None if this machine has none yet. No weights are read.
    """
    if path.is_file():
        remedy = "Give the PEFT folder that it was made from, or use the backend llama_cpp."
        raise InputError(
            f"The adapter {path} is a file, and the hf backend loads folders.",
            remedy if path.suffix == ".gguf" else "Give the folder that it is in.",
        )
    if not path.is_dir():
        raise InputError(f"There is no adapter folder at {path}.", "Correct the path in the scenario.")
    check_files(path)
    if base is not None and is_lora(path):
        check_stored(path, base)
    elif base is not None:
        check_full(path, base)


def check_files(folder: Path) -> None:
    """Raise `BackendError` for a folder that is neither an adapter that can be used here nor full weights."""
    require_open(folder)
    if is_lora(folder) or not (folder / "config.json").exists():
        check_folder(folder)
    elif not any(folder.glob("*.safetensors")):
        raise BackendError(
            f"The adapter folder {folder} holds no .safetensors file.",
            "Pickled weights (.bin, .pt) can run code and are refused: convert them to safetensors.",
        )


NEUTRAL = frozenset(
    {
        "_name_or_path",
        "architectures",
        "transformers_version",
        "dtype",
        "torch_dtype",
        "use_cache",
        "attn_implementation",
    }
    | {"bos_token_id", "eos_token_id", "pad_token_id"}
)
"""Keys of a model's configuration that may differ between a base and full weights that take its place."""


def check_full(folder: Path, base: Path) -> None:
    """Raise `BackendError` unless full weights fit the base that they replace: its tensors and its configuration.

    Names that transformers converts differ between files, so only tensors of the same name are compared.
    """
    own, given = (read_shapes(*sorted(place.glob("*.safetensors"))) for place in (base, folder))
    cause = next((f"{name} has another shape" for name in given if own.get(name, given[name]) != given[name]), "")
    if not own.keys() & given.keys():
        cause = "it has other layers"
    ours, theirs = _read_options(base), _read_options(folder)
    odd = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if odd and not cause:
        cause = f"its config.json has another {', '.join(odd[:3])}"
    if cause:
        raise BackendError(
            f"The model in {folder} cannot take the place of this one: {cause}.",
            "Give weights of the same architecture, or open it as the model of a backend of its own.",
        )


def _read_options(folder: Path) -> dict[str, object]:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return _prune(config.to_dict())


def _prune(options: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without neutral keys, in its parts for text and images as well."""
    return {
        key: _prune(value) if isinstance(value, dict) else value for key, value in options.items() if key not in NEUTRAL
    }


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
            "Check free space and permissions, then run again with --resume (Python: resume=True). What was stored is "
            "safe.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def normalise_config(folder: Path) -> None:
    """Remove machine-dependent keys from adapter_config.json, so that equal adapters have equal hashes."""
    path = folder / CONFIG
    config = json.loads(path.read_text("utf-8"))
    config.update(base_model_name_or_path="", revision=None, inference_mode=True)
    config = {key: sorted(value) if isinstance(value, list) else value for key, value in config.items()}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
