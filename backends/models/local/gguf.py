"""GGUF files, described by their headers. A model may be split over several files."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path

from backends.models.find import is_first_part
from backends.models.gguf_file import check_gguf
from backends.models.local.model import Found, LocalModel, name_line
from backends.models.local.template import read_abilities


def add_files(found: Found, paths: Iterable[Path], place: str) -> None:
    """Add the models of those paths that are GGUF files. Later parts of a model belong to its first one."""
    for path in paths:
        with found.skipping(path):
            if path.suffix.lower() == ".gguf" and is_first_part(path):
                add_file(found, path, place, str(path))


def add_file(found: Found, path: Path, place: str, name: str) -> None:
    """Add the model of a GGUF file, unless the file is an adapter or generates no text.

    Raises `InputError` for a file or a chat template that is damaged.
    """
    info = check_gguf(path)
    if info.is_adapter or info.is_encoder:
        return
    found.models.append(
        LocalModel(
            place=place,
            backend="llama_cpp",
            model=name,
            path=path,
            architecture=name_line(info.architecture),
            parameters=sum(map(prod, info.shapes.values())),
            quantization=info.quantisation,
            context=info.context_length or None,
            size=info.size,
            adapters=True,
            **read_abilities(info.chat_template, path.name),
        )
    )
