"""Token ids as bytes: one byte that gives the width of an id, then the ids, little-endian, of that width each."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_FORMATS = {2: "H", 4: "I"}
"""`struct` code of an id, by its width in bytes. Most vocabularies fit into two bytes."""
RULE = (
    "tokens IS NULL OR typeof(tokens) = 'blob' AND hex(substr(tokens, 1, 1)) IN ('02', '04')"
    " AND (length(tokens) - 1) % CAST(hex(substr(tokens, 1, 1)) AS INTEGER) = 0"
)
"""SQL that holds for every value of the column `tokens` that `unpack_tokens` reads."""


def pack_tokens(tokens: Sequence[int] | None) -> bytes | None:
    """Return the ids, each from 0 to 2**32 - 1, as bytes; None for None."""
    if tokens is None:
        return None
    width = 2 if max(tokens, default=0) < 1 << 16 else 4
    return bytes([width]) + struct.pack(f"<{len(tokens)}{_FORMATS[width]}", *tokens)


def unpack_tokens(data: bytes | None) -> tuple[int, ...] | None:
    """Return the ids that `pack_tokens` packed."""
    if data is None:
        return None
    width = data[0]
    return struct.unpack_from(f"<{(len(data) - 1) // width}{_FORMATS[width]}", data, 1)
