"""Checks the header of a GGUF file before native code reads it. Needs no llama.cpp.

Layout (the GGUF specification, version 2 and 3, little endian): magic, version, number of tensors, number of
metadata entries; the entries (key, type, value); the tensor descriptions (name, dimensions, type, offset);
padding; the tensors. Every count, length and offset is checked against what the file can hold.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from society.core.errors import InputError, MissingExtraError

_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_BOOL, _STRING, _ARRAY = 7, 8, 9
_SMALLEST_ENTRY = 8 + 4 + 1  # an empty key, its type, a byte
_SMALLEST_TENSOR = 8 + 4 + 4 + 8  # an empty name, no dimensions, a type, an offset
_LONGEST_NAME = 64  # ggml's limit for a tensor's name
_MOST_DIMENSIONS = 4
_SETTINGS = (
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
)
_LARGEST_SETTING = 1 << 27  # the longest context that a model claims is 10 million tokens
_MOST_LAYERS = 512  # llama.cpp's limit
_KEPT_ELEMENTS = 64  # longer arrays (the vocabulary) are checked, but not stored


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
    """Size of the file in bytes."""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All entries except long arrays."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    """Shapes of the tensors by name, the innermost dimension first."""

    @property
    def has_chat_template(self) -> bool:
        """Return whether the file has a chat template."""
        return bool(self.chat_template)

    @property
    def is_adapter(self) -> bool:
        """Return whether the file is an adapter for a base model instead of a model."""
        return self.metadata.get("general.type") == "adapter"

    def number(self, name: str) -> int:
        """Return the architecture's setting `name`, such as "block_count"; the largest if layers differ."""
        value = self.metadata.get(f"{self.architecture}.{name}", 0)
        numbers = value if isinstance(value, list) else [value]
        return max((n for n in numbers if isinstance(n, int)), default=0)


class _FormatError(Exception):
    """A fault of the header, without the file's name."""


class _Reader:
    """A cursor over the header that never reads past the end of the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at, self.size = data, 0, len(data)

    def skip(self, length: int, what: str) -> int:
        """Skip `length` bytes, and return their start."""
        start = self.at
        if length > self.size - start:
            raise _FormatError(f"{what} at byte {start} runs past the end of the file ({self.size} bytes)")
        self.at = start + length
        return start

    def scalar(self, form: str, what: str) -> Any:
        """Return one number, in `struct` notation."""
        return struct.unpack_from(form, self.data, self.skip(struct.calcsize(form), what))[0]

    def text(self, what: str) -> str:
        """Return a string: its length in 8 bytes, then UTF-8."""
        length = self.scalar("<Q", what)
        start = self.skip(length, what)
        try:
            return self.data[start : start + length].decode()
        except UnicodeDecodeError:
            raise _FormatError(f"{what} at byte {start} is not UTF-8") from None

    def count(self, smallest: int, what: str) -> int:
        """Return a count of entries that each take at least `smallest` bytes."""
        number: int = self.scalar("<Q", what)
        if number * smallest > self.size - self.at:
            raise _FormatError(f"{what} is {number}, more than a file of {self.size} bytes can hold")
        return number

    def value(self, kind: int, key: str) -> Any:
        """Return a metadata value; None for an array that is too long to store."""
        if kind == _BOOL:
            return self._bool(key)
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind], key)
        if kind == _STRING:
            return self.text(key)
        if kind == _ARRAY:
            return self._array(key)
        raise _FormatError(f"{key} has the unknown type {kind}")

    def _bool(self, key: str) -> bool:
        byte = self.scalar("<B", key)
        if byte > 1:
            raise _FormatError(f"{key} is neither true nor false")
        return bool(byte)

    def _array(self, key: str) -> list[Any] | None:
        kind = self.scalar("<I", key)
        if kind == _STRING:
            number = self.count(8, f"the length of {key}")
            return self._texts(number, key)
        if kind not in _SCALARS:
            raise _FormatError(f"{key} is an array of the unknown type {kind}")
        width = struct.calcsize(_SCALARS[kind])
        number = self.count(width, f"the length of {key}")
        start = self.skip(number * width, key)
        if number > _KEPT_ELEMENTS:
            return None
        return [struct.unpack_from(_SCALARS[kind], self.data, start + i * width)[0] for i in range(number)]

    def _texts(self, number: int, key: str) -> list[str] | None:
        if number <= _KEPT_ELEMENTS:
            return [self.text(key) for _ in range(number)]
        # The vocabulary: hundreds of thousands of strings are skipped without making objects.
        read, data, at, size = struct.Struct("<Q").unpack_from, self.data, self.at, self.size
        for _ in range(number):
            if at + 8 > size:
                raise _FormatError(f"{key} runs past the end of the file ({size} bytes)")
            at += 8 + read(data, at)[0]
        self.skip(at - self.at, key)
        return None


def check_gguf(path: str | Path) -> GGUFInfo:
    """Read and check the header of the GGUF file `path`.

    Raises `InputError`, naming the file and the fault, if it does not exist, is no GGUF, is truncated or is corrupt.
    Raises `MissingExtraError` without the `gguf` package.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Reader(data))
    except FileNotFoundError:
        raise InputError(f"There is no model file {path}.", "Check the path.") from None
    except (OSError, ValueError) as error:  # a folder, no permission, an empty file
        raise InputError(f"{path} cannot be read as a GGUF file: {error}.", "Give the path of a .gguf file.") from None
    except _FormatError as fault:
        remedy = "Download or convert it again; an interrupted download is the usual reason."
        raise InputError(f"{path} is not a usable GGUF file: {fault}.", remedy) from None


def _read(reader: _Reader) -> GGUFInfo:
    if reader.data[:4] != b"GGUF":
        raise _FormatError("it does not begin with the letters GGUF")
    reader.skip(4, "the magic")
    version = reader.scalar("<I", "the version")
    if version not in (2, 3):
        raise _FormatError(f"its version is {version}; versions 2 and 3, little endian, can be read")
    tensors = reader.count(_SMALLEST_TENSOR, "the number of tensors")
    entries = reader.count(_SMALLEST_ENTRY, "the number of metadata entries")
    metadata = _read_metadata(reader, entries)
    shapes = _check_tensors(reader, tensors, _alignment(metadata))
    return _describe(metadata, shapes, reader.size)


def _read_metadata(reader: _Reader, entries: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for index in range(entries):
        key = reader.text(f"the key of metadata entry {index}")
        if key in metadata:
            raise _FormatError(f"the key {key!r} stands there twice")
        metadata[key] = reader.value(reader.scalar("<I", f"the type of {key!r}"), repr(key))
    return {key: value for key, value in metadata.items() if value is not None}


def _alignment(metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise _FormatError(f"its alignment {alignment!r} is not a power of two")
    return alignment


def _check_tensors(reader: _Reader, tensors: int, alignment: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors by name. Each name is unique, and each tensor lies inside the file."""
    sizes = _block_sizes()
    shapes: dict[str, tuple[int, ...]] = {}
    ends = [0]
    for index in range(tensors):
        name = reader.text(f"the name of tensor {index}")
        if not name or len(name.encode()) >= _LONGEST_NAME or name in shapes:
            raise _FormatError(f"the name of tensor {index} is empty, too long or there twice")
        shapes[name], end = _tensor(reader, name, alignment, sizes)
        ends.append(end)
    start = -(-reader.at // alignment) * alignment
    if tensors and start + max(ends) > reader.size:
        missing = start + max(ends) - reader.size
        raise _FormatError(f"it is truncated: {missing} bytes of its tensors are missing")
    return shapes


def _tensor(
    reader: _Reader, name: str, alignment: int, sizes: Mapping[int, tuple[int, int]]
) -> tuple[tuple[int, ...], int]:
    """Return a tensor's shape and its end, in bytes after the start of the tensors."""
    dimensions = reader.scalar("<I", name)
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise _FormatError(f"tensor {name!r} has {dimensions} dimensions")
    shape = [reader.scalar("<Q", name) for _ in range(dimensions)]
    kind, offset = reader.scalar("<I", name), reader.scalar("<Q", name)
    if kind not in sizes:
        raise _FormatError(f"tensor {name!r} has the unknown type {kind}")
    block, width = sizes[kind]
    if 0 in shape or shape[0] % block or offset % alignment:
        raise _FormatError(f"tensor {name!r} has the impossible shape {shape} or offset {offset}")
    return tuple(shape), int(offset + math.prod(shape) // block * width)


def _block_sizes() -> Mapping[int, tuple[int, int]]:
    """Return elements and bytes of a block, by weight type."""
    try:
        from gguf.constants import GGML_QUANT_SIZES
    except ImportError:
        raise MissingExtraError("Reading GGUF files", "gguf", "llama") from None
    return {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}


def _describe(metadata: dict[str, Any], shapes: dict[str, tuple[int, ...]], size: int) -> GGUFInfo:
    def text(key: str) -> str:
        value = metadata.get(key, "")
        return value if isinstance(value, str) else ""

    architecture = text("general.architecture")
    if not architecture:
        raise _FormatError("it has no architecture")
    _check_settings(metadata, architecture)
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


def _check_settings(metadata: Mapping[str, Any], architecture: str) -> None:
    """Raise a fault for impossible settings: native code divides by them, reserves memory for them, and may abort."""
    for name in _SETTINGS:
        value = metadata.get(f"{architecture}.{name}", 1)
        numbers = value if isinstance(value, list) else [value]
        sound = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= _LARGEST_SETTING for n in numbers)
        if not sound or not any(numbers):
            raise _FormatError(f"its {architecture}.{name} is {str(value)[:60]}")
    if metadata.get(f"{architecture}.block_count", 1) not in range(1, _MOST_LAYERS + 1):
        raise _FormatError(f"it has more than {_MOST_LAYERS} layers")
    for name, value in metadata.items():
        if name.endswith("epsilon") and not (isinstance(value, float) and 0 <= value < math.inf):
            raise _FormatError(f"its {name} is {str(value)[:60]}")


def _quantisation(file_type: Any) -> str:
    from gguf.constants import LlamaFileType

    try:
        return str(LlamaFileType(file_type).name).removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return ""
