"""Checks the header of a GGUF file before native code reads it. Needs no llama.cpp.

Layout (the GGUF specification, version 2 and 3, little endian): magic, version, number of tensors, number of
metadata entries; the entries (key, type, value); the tensor descriptions (name, dimensions, type, offset);
padding; the tensors. Every count, length and offset is checked against what the file can hold.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from backends.models.find import split_parts
from backends.models.gguf_reader import MOST_LAYERS, FormatError, Reader, TruncatedError
from society.core.errors import InputError, MissingExtraError
from society.core.regular_files import open_regular, require_readable

_SMALLEST_ENTRY = 8 + 4 + 1  # an empty key, its type, a byte
_SMALLEST_TENSOR = 8 + 4 + 4 + 8  # an empty name, no dimensions, a type, an offset
_LONGEST_NAME = 64  # ggml's limit for a tensor's name
_MOST_DIMENSIONS = 4
_POSITIVE = ("block_count", "context_length", "embedding_length", "vocab_size")
_SETTINGS = (
    *_POSITIVE,
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
)
"""Settings that are counts. Converters write 0 for what a model does not have, such as heads of a recurrent model."""
_ENCODERS = ("bert", "t5", "embedding", "clip", "wavtokenizer", "whisper", "mmproj")
"""Parts of the names of architectures that generate no text token by token."""
_LARGEST_SETTING = 1 << 27  # the longest context that a model claims is 10 million tokens


@dataclass(frozen=True, slots=True)
class GGUFInfo:
    """The contents of a GGUF header. Unknown texts are "", unknown numbers are 0."""

    architecture: str
    quantisation: str
    """Name of the dominant weight type, e.g. "Q8_0"."""
    context_length: int
    """Context length that the model was trained with, in tokens."""
    chat_template: str
    tensor_count: int
    size: int
    """Size of the file, or of all files of a split model, in bytes."""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All entries except long arrays."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    """Shapes of the tensors by name, the innermost dimension first."""

    @property
    def is_adapter(self) -> bool:
        """Return whether the file is an adapter for a base model instead of a model."""
        return self.metadata.get("general.type") == "adapter"

    @property
    def is_encoder(self) -> bool:
        """Return whether the architecture encodes texts, images or sounds, and generates no text."""
        return any(part in self.architecture.lower() for part in _ENCODERS)

    def number(self, name: str, layer: int | None = None) -> int:
        """Return the architecture's setting `name`, such as "block_count", of one layer; the largest by default."""
        value = self.metadata.get(f"{self.architecture}.{name}", 0)
        if layer is not None and isinstance(value, list):
            value = value[layer : layer + 1]
        numbers = value if isinstance(value, list) else [value]
        return max((n for n in numbers if isinstance(n, int)), default=0)


def check_gguf(path: str | Path) -> GGUFInfo:
    """Read and check the header of the GGUF file `path`, and of all parts of a model that is split over files.

    Raises `InputError`, naming the file and the fault, if it does not exist, is no GGUF, is truncated or is corrupt, or
    if `path` is not the first part. Raises `MissingExtraError` without the `gguf` package.
    """
    path = Path(path)
    first = _check_file(path)
    number, count = (first.metadata.get(f"split.{name}", 0) for name in ("no", "count"))
    if count in (0, 1):
        return first
    parts = split_parts(path)
    if (number, count, path) != (0, len(parts), parts[0]):
        raise InputError(
            f"{path} is one of {count} parts of a model.",
            "Give the first part; all parts must lie in one folder as NAME-00001-of-0000N.gguf.",
        )
    infos = [first, *map(_check_file, parts[1:])]
    return replace(
        first,
        tensor_count=sum(info.tensor_count for info in infos),
        size=sum(info.size for info in infos),
        shapes={name: shape for info in infos for name, shape in info.shapes.items()},
    )


def _check_file(path: Path) -> GGUFInfo:
    require_readable(path)
    try:
        with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(Reader(data))
    except FileNotFoundError:
        raise InputError(f"There is no model file {path}.", "Check the path.") from None
    except (OSError, ValueError) as error:  # a folder, an empty file
        raise InputError(f"{path} cannot be read as a GGUF file: {error}.", "Give the path of a .gguf file.") from None
    except FormatError as fault:
        truncated = "; an interrupted download is the usual reason" if isinstance(fault, TruncatedError) else ""
        raise InputError(
            f"{path} is not a usable GGUF file: {fault}.", f"Download or convert it again{truncated}."
        ) from None


def _read(reader: Reader) -> GGUFInfo:
    if reader.data[:4] != b"GGUF":
        raise FormatError("it does not begin with the letters GGUF")
    reader.skip(4, "the magic")
    version = reader.scalar("<I", "the version")
    if version in (2 << 24, 3 << 24):
        raise FormatError("it is big endian; little-endian files can be read")
    if version not in (2, 3):
        raise FormatError(f"its version is {version}; versions 2 and 3 can be read")
    tensors = reader.count(_SMALLEST_TENSOR, "the number of tensors")
    entries = reader.count(_SMALLEST_ENTRY, "the number of metadata entries")
    metadata = _read_metadata(reader, entries)
    shapes = _check_tensors(reader, tensors, _alignment(metadata))
    return _describe(metadata, shapes, reader.size)


def _read_metadata(reader: Reader, entries: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for index in range(entries):
        key = reader.text(f"the key of metadata entry {index}")
        if key in metadata:
            raise FormatError(f"the key {key!r} stands there twice")
        metadata[key] = reader.value(reader.scalar("<I", f"the type of {key!r}"), repr(key))
    return {key: value for key, value in metadata.items() if value is not None}


def _alignment(metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise FormatError(f"its alignment {alignment!r} is not a power of two")
    return alignment


def _check_tensors(reader: Reader, tensors: int, alignment: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors by name. Each name is unique, and each tensor lies inside the file."""
    sizes = _block_sizes()
    shapes: dict[str, tuple[int, ...]] = {}
    ends = [0]
    for index in range(tensors):
        name = reader.text(f"the name of tensor {index}")
        if not name or len(name.encode()) >= _LONGEST_NAME or name in shapes:
            raise FormatError(f"the name of tensor {index} is empty, too long or there twice")
        shapes[name], end = _tensor(reader, name, alignment, sizes)
        ends.append(end)
    start = -(-reader.at // alignment) * alignment
    if tensors and start + max(ends) > reader.size:
        missing = start + max(ends) - reader.size
        raise TruncatedError(f"it is truncated: {missing} bytes of its tensors are missing")
    return shapes


def _tensor(
    reader: Reader, name: str, alignment: int, sizes: Mapping[int, tuple[int, int]]
) -> tuple[tuple[int, ...], int]:
    """Return a tensor's shape and its end, in bytes after the start of the tensors."""
    dimensions = reader.scalar("<I", name)
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise FormatError(f"tensor {name!r} has {dimensions} dimensions")
    shape = [reader.scalar("<Q", name) for _ in range(dimensions)]
    kind, offset = reader.scalar("<I", name), reader.scalar("<Q", name)
    if kind not in sizes:
        raise FormatError(f"tensor {name!r} has the unknown type {kind}")
    block, width = sizes[kind]
    if 0 in shape or shape[0] % block or offset % alignment:
        raise FormatError(f"tensor {name!r} has the impossible shape {shape} or offset {offset}")
    return tuple(shape), int(offset + math.prod(shape) // block * width)


def _block_sizes() -> Mapping[int, tuple[int, int]]:
    """Return elements and bytes of a block, by weight type."""
    return {int(kind): size for kind, size in _constants().GGML_QUANT_SIZES.items()}


@cache
def _constants() -> ModuleType:
    """Return the module of gguf with the constants of the format. The whole package would import numpy as well."""
    package = find_spec("gguf")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("Reading GGUF files", "gguf", "llama")
    path = Path(package.submodule_search_locations[0]) / "constants.py"
    spec = spec_from_file_location("gguf_constants", path)
    if spec is None or spec.loader is None:
        raise MissingExtraError("Reading GGUF files", "gguf", "llama")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _describe(metadata: dict[str, Any], shapes: dict[str, tuple[int, ...]], size: int) -> GGUFInfo:
    def text(key: str) -> str:
        value = metadata.get(key, "")
        return value if isinstance(value, str) else ""

    architecture = text("general.architecture")
    if not architecture and not metadata.get("split.no"):
        raise FormatError("it has no architecture")
    _check_settings(metadata, architecture, heads=any(".attn_q" in name for name in shapes))
    context = metadata.get(f"{architecture}.context_length", 0)
    return GGUFInfo(
        architecture=architecture,
        quantisation=_quantisation(metadata.get("general.file_type")),
        context_length=context if isinstance(context, int) else 0,
        chat_template=text("tokenizer.chat_template"),
        tensor_count=len(shapes),
        size=size,
        metadata=metadata,
        shapes=shapes,
    )


def _check_settings(metadata: Mapping[str, Any], architecture: str, heads: bool) -> None:
    """Raise a fault for impossible settings: native code divides by them, reserves memory for them, and may abort.

    `heads`: whether the model has attention, so that its number of heads is at least 1.
    """
    positive = (*_POSITIVE, "attention.head_count") if heads else _POSITIVE
    for name in _SETTINGS:
        value = metadata.get(f"{architecture}.{name}", 1)
        numbers = value if isinstance(value, list) else [value]
        sound = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= _LARGEST_SETTING for n in numbers)
        if not sound or (name in positive and not any(numbers)):
            raise FormatError(f"its {architecture}.{name} is {str(value)[:60]}")
    if metadata.get(f"{architecture}.block_count", 1) not in range(1, MOST_LAYERS + 1):
        raise FormatError(f"it has more than {MOST_LAYERS} layers")
    for name, value in metadata.items():
        if name.endswith("epsilon") and not (isinstance(value, float) and 0 <= value < math.inf):
            raise FormatError(f"its {name} is {str(value)[:60]}")


def _quantisation(file_type: Any) -> str:
    try:
        return str(_constants().LlamaFileType(file_type).name).removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return ""
