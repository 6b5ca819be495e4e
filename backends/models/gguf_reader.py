"""A cursor over the header of a GGUF file, which checks every count and length against the size of the file."""

from __future__ import annotations

import mmap
import struct
from typing import Any

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
MOST_LAYERS = 512
"""Maximum number of layers, and of elements of a stored array of numbers: llama.cpp's limit."""
_KEPT_TEXTS = 64  # longer arrays of strings (the vocabulary) are checked, but not stored


class FormatError(Exception):
    """A fault of the header, without the file's name."""


class TruncatedError(FormatError):
    """A file that ends too early."""


class Reader:
    """A cursor over the header that never reads past the end of the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at, self.size = data, 0, len(data)

    def skip(self, length: int, what: str) -> int:
        """Skip `length` bytes, and return their start."""
        start = self.at
        if length > self.size - start:
            raise TruncatedError(f"{what} at byte {start} runs past the end of the file ({self.size} bytes)")
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
            raise FormatError(f"{what} at byte {start} is not UTF-8") from None

    def count(self, smallest: int, what: str) -> int:
        """Return a count of entries that each take at least `smallest` bytes."""
        number: int = self.scalar("<Q", what)
        if number * smallest > self.size - self.at:
            raise FormatError(f"{what} is {number}, more than a file of {self.size} bytes can hold")
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
        raise FormatError(f"{key} has the unknown type {kind}")

    def _bool(self, key: str) -> bool:
        byte = self.scalar("<B", key)
        if byte > 1:
            raise FormatError(f"{key} is neither true nor false")
        return bool(byte)

    def _array(self, key: str) -> list[Any] | None:
        kind = self.scalar("<I", key)
        if kind == _STRING:
            number = self.count(8, f"the length of {key}")
            return self._texts(number, key)
        if kind not in _SCALARS:
            raise FormatError(f"{key} is an array of the unknown type {kind}")
        width = struct.calcsize(_SCALARS[kind])
        number = self.count(width, f"the length of {key}")
        start = self.skip(number * width, key)
        if number > MOST_LAYERS:
            return None
        return [struct.unpack_from(_SCALARS[kind], self.data, start + i * width)[0] for i in range(number)]

    def _texts(self, number: int, key: str) -> list[str] | None:
        if number <= _KEPT_TEXTS:
            return [self.text(key) for _ in range(number)]
        # The vocabulary: hundreds of thousands of strings are skipped without making objects.
        read, data, at, size = struct.Struct("<Q").unpack_from, self.data, self.at, self.size
        for _ in range(number):
            if at + 8 > size:
                raise TruncatedError(f"{key} runs past the end of the file ({size} bytes)")
            at += 8 + read(data, at)[0]
        self.skip(at - self.at, key)
        return None
