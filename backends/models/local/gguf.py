"""GGUF files, described by their headers. A model may be split over several files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod
from pathlib import Path

from backends.models.gguf_file import GGUFInfo, check_gguf
from backends.models.local.model import Found, LocalModel
from backends.models.local.template import read_abilities

_PART = re.compile(r"-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE)
_OTHER = re.compile(r"clip|bert|t5encoder|wavtokenizer|whisper|mmproj", re.IGNORECASE)
"""Architectures that generate no text: encoders of texts, images and sounds."""


def add_files(found: Found, paths: Iterable[Path], place: str, name: str = "{path}") -> None:
    """Add the models of GGUF files. In `name`, {path} is the path and {file} the name of a model's first file."""
    for path in paths:
        part = _PART.search(path.name)
        if path.suffix.lower() != ".gguf" or (part and int(part["number"]) != 1):
            continue
        with found.skipping(path):
            add_file(found, path, place, name.format(path=path, file=path.name))


def add_file(found: Found, path: Path, place: str, name: str) -> None:
    """Add the model of a GGUF file, unless the file is an adapter or generates no text.

    Raises `InputError` for a file or a chat template that is damaged.
    """
    infos = [check_gguf(file) for file in _list_parts(path)]
    first = infos[0]
    if first.is_adapter or _OTHER.search(first.architecture):
        return
    found.models.append(
        LocalModel(
            place=place,
            backend="llama_cpp",
            model=name,
            path=path,
            architecture=first.architecture,
            parameters=sum(map(_count, infos)),
            quantization=first.quantisation,
            context=first.context_length or None,
            size=sum(info.size for info in infos),
            adapters=True,
            **read_abilities(first.chat_template, path.name),
        )
    )


def _list_parts(path: Path) -> list[Path]:
    """Return the files of the model whose first file this is."""
    part = _PART.search(path.name)
    if part is None:
        return [path]
    stem = path.name[: part.start()]
    return [path.with_name(f"{stem}-{i:05}-of-{part['count']}.gguf") for i in range(1, int(part["count"]) + 1)]


def _count(info: GGUFInfo) -> int:
    """Return the number of parameters in a file."""
    return sum(map(prod, info.shapes.values()))
