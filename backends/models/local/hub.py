"""The cache of the Hugging Face hub: `models--OWNER--NAME/snapshots/REVISION/FILE`. No library is needed to read it.

A snapshot holds GGUF files, or a model of transformers: `config.json`, safetensors and the files of the tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from backends.models.find import is_first_part
from backends.models.local.gguf import add_file
from backends.models.local.model import Found, LocalModel, name_line
from backends.models.local.template import read_abilities
from backends.models.safetensors_header import read_header
from society.core.errors import InputError
from society.core.hub_cache import hub_cache
from society.core.regular_files import read_json, read_limited

_GENERATES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
_INDEX = "model.safetensors.index.json"
_COMMIT = re.compile("[0-9a-f]{1,64}")
PLACE = "Hugging Face cache"


def add_hub(found: Found) -> None:
    """Add the models of the cache."""
    folders: list[Path] = []
    with found.skipping(hub_cache()):
        folders = sorted(hub_cache().glob("models--*--*")) if hub_cache().exists() else []
    for folder in folders:
        name = folder.name.removeprefix("models--").replace("--", "/")
        with found.skipping(folder):
            snapshot = _find_snapshot(folder)
            files = [path for path in found.walk(snapshot) if path.suffix == ".gguf"]
            for path in files:
                with found.skipping(path):
                    if is_first_part(path):
                        add_file(found, path, PLACE, f"hf:{name}:{path.relative_to(snapshot).as_posix()}")
            if not files and (snapshot / "config.json").exists():
                _add_folder(found, snapshot, name)


def _find_snapshot(folder: Path) -> Path:
    """Return the snapshot of the branch main, else the one with the last name."""
    main = folder / "refs" / "main"
    if main.exists():
        commit = read_limited(main, 100).decode().strip()
        if not _COMMIT.fullmatch(commit):
            raise InputError("its refs/main names no commit")
        if (snapshot := folder / "snapshots" / commit).is_dir():
            return snapshot
    snapshots = sorted((folder / "snapshots").iterdir()) if (folder / "snapshots").is_dir() else []
    if not snapshots:
        raise InputError("it holds no files: its download has not begun")
    return snapshots[-1]


def _add_folder(found: Found, folder: Path, name: str) -> None:
    """Add a model of transformers, unless it generates no text. Raises `InputError` if files are missing."""
    config = read_json(folder / "config.json")
    if not any(str(one).endswith(_GENERATES) for one in config.get("architectures") or ()):
        return
    files = _list_weights(folder)
    text = config.get("text_config") or config
    found.models.append(
        LocalModel(
            place=PLACE,
            backend="hf",
            model=name,
            path=folder,
            architecture=name_line(str(config.get("model_type", ""))),
            parameters=_count_all(files),
            quantization=_read_type(config),
            context=_number(text, "max_position_embeddings") or None,
            size=sum(file.stat().st_size for file in files),
            token_bytes=_token_bytes(text),
            adapters=True,
            training=True,
            **read_abilities(_read_template(folder), name),
        )
    )


def _list_weights(folder: Path) -> list[Path]:
    """Return the files of the weights. Raises `InputError` if one is missing."""
    names = ["model.safetensors"]
    if (folder / _INDEX).exists():
        names = sorted(set(read_json(folder / _INDEX)["weight_map"].values()))
    if missing := [name for name in names if Path(name).name != name or not (folder / name).is_file()]:
        raise InputError(f"{missing[0]} is missing: no safetensors, or the download has not ended")
    return [folder / name for name in names]


def _count_all(files: Sequence[Path]) -> int:
    """Return the number of parameters in the files. Raises `InputError` if they are too small for it."""
    number = sum(prod(shape) for file in files for shape in read_header(file).values())
    if not 0 < number <= 8 * sum(file.stat().st_size for file in files):  # a parameter takes a bit or more
        raise InputError("its files cannot hold the parameters that their headers list")
    return number


def _read_type(config: Mapping[str, Any]) -> str:
    method = (config.get("quantization_config") or {}).get("quant_method")
    return name_line(str(method or config.get("dtype") or config.get("torch_dtype") or ""))


def _token_bytes(text: Mapping[str, Any]) -> int | None:
    """Return the bytes of a token's keys and values with 4 bytes a number; None for layers of another kind."""
    layers, heads = _number(text, "num_hidden_layers"), _number(text, "num_attention_heads")
    if not layers or not heads:
        return None
    width = _number(text, "head_dim") or _number(text, "hidden_size") // heads
    return 4 * 2 * layers * (_number(text, "num_key_value_heads") or heads) * width


def _number(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    return value if isinstance(value, int) and 0 < value < 1 << 40 else 0


def _read_template(folder: Path) -> str:
    """Return the chat template of a tokenizer, "" if it has none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return read_limited(file).decode()
    settings = folder / "tokenizer_config.json"
    found = read_json(settings).get("chat_template") if settings.is_file() else None
    if isinstance(found, list):  # several templates by name
        found = next((one["template"] for one in found if one["name"] == "default"), None)
    return found if isinstance(found, str) else ""
