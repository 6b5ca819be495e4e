"""How large things are in memory: known from a model's header, before anything loads."""

from __future__ import annotations

import os
from dataclasses import dataclass

from backends.gguf_file import GGUFInfo
from backends.llama_cpp.config import LlamaCpp

DEFAULT_CONTEXT = 2048
MOST_SLOTS = 72
BLOCK = 16
"""Rows of every batch in reproducible mode: slots come in whole blocks."""
_SHARE = 3  # of the free memory, one part in so many is for the slots


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tokens a slot holds, the number of slots, and bytes of one token's keys and values."""

    length: int
    slots: int
    token_bytes: int

    @property
    def context_bytes(self) -> int:
        """Bytes of all slots together."""
        return self.slots * self.length * self.token_bytes


def find_sizes(config: LlamaCpp, info: GGUFInfo) -> Sizes:
    """What the options, the model and the free memory make of a context: at most `MOST_SLOTS` slots by default."""
    length = config.context or min(DEFAULT_CONTEXT, info.context_length or DEFAULT_CONTEXT)
    heads = info.number("attention.head_count")
    width = info.number("attention.key_length") or info.number("embedding_length") // max(heads, 1)
    numbers = 2 * info.number("block_count") * (info.number("attention.head_count_kv") or heads) * width
    token_bytes = max(1, 2 * numbers)  # 2 bytes a number
    slots = config.slots or _affordable(length * token_bytes)
    if config.reproducible:
        slots = -(-slots // BLOCK) * BLOCK
    return Sizes(length, slots, token_bytes)


def _affordable(slot_bytes: int) -> int:
    """As many slots as a third of the free memory holds, at least 1."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # this system does not say
        return MOST_SLOTS // 2
    return max(1, min(MOST_SLOTS, free // _SHARE // slot_bytes))
