"""How large things are in memory: known from a model's header, before anything loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.base import Memory
from backends.llama_cpp.config import LlamaCpp
from backends.llama_cpp.convert import weights_size
from backends.models.gguf_file import GGUFInfo

DEFAULT_CONTEXT = 2048
"""Tokens of a slot where no scenario says what it needs."""
MOST_SLOTS = 144
FEWEST_ROWS = 32
"""Slots that a worker has at least, where there are several: smaller batches cost more than waiting threads."""
BLOCK = 16
"""Rows of every batch in reproducible mode: a worker's slots come in whole blocks."""
STEP = 256
"""llama.cpp makes slots in multiples of so many tokens."""
LARGEST_BATCH = 512
"""Tokens of prompts that are computed in one go."""
USUAL_VOCABULARY = 1 << 17
"""Words of a model whose header does not say how many there are."""
CHUNK = 64
"""Tokens of a prompt computed in one go in reproducible mode, and of a reply that is scored."""
_SHARE = 3  # of the free memory, one part in so many is for the slots


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tokens a slot holds, the number of workers and of slots of each, bytes of one token's keys and values, and of
    all that is computed."""

    length: int
    workers: int
    rows: int
    token_bytes: int
    buffer_bytes: int

    @property
    def slots(self) -> int:
        """Slots of all workers together."""
        return self.workers * self.rows

    @property
    def context_bytes(self) -> int:
        """Bytes of all slots together."""
        return self.slots * self.length * self.token_bytes


def find_sizes(config: LlamaCpp, info: GGUFInfo) -> Sizes:
    """What the options, the model and the free memory make of a context: at most `MOST_SLOTS` slots by default."""
    length = round_up(config.context or min(DEFAULT_CONTEXT, info.context_length or DEFAULT_CONTEXT), STEP)
    token_bytes = _token_bytes(info)
    slots = config.slots or _affordable(length * token_bytes)
    workers = _workers(config, slots)
    rows = round_up(-(-slots // workers), BLOCK if config.reproducible else 1)
    return Sizes(length, workers, rows, token_bytes, workers * _buffer_bytes(info, rows))


def find_memory(config: LlamaCpp, info: GGUFInfo, adapters: Sequence[Path]) -> Memory:
    """Weights, slots, adapters and working memory, in bytes."""
    sizes = find_sizes(config, info)
    weights = weights_size(config.requantize, info)
    loras = sum(path.stat().st_size for path in adapters if path.is_file())
    return Memory(weights, sizes.context_bytes, loras, sizes.buffer_bytes)


def round_up(number: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-number // step) * step


def _token_bytes(info: GGUFInfo) -> int:
    """Keys and values of one token in every layer, 2 bytes a number."""
    heads = info.number("attention.head_count")
    width = info.number("attention.key_length") or info.number("embedding_length") // max(heads, 1)
    numbers = 2 * info.number("block_count") * (info.number("attention.head_count_kv") or heads) * width
    return max(1, 2 * numbers)


def _workers(config: LlamaCpp, slots: int) -> int:
    """How many batches are computed side by side: on a GPU one, else as many as have threads and rows enough."""
    if config.gpu_layers:
        return 1
    return max(1, min(config.threads or os.cpu_count() or 1, slots // FEWEST_ROWS))


def most_logits(rows: int) -> int:
    """Tokens of a batch whose logits may be wanted."""
    return max(rows, CHUNK)


def _buffer_bytes(info: GGUFInfo, rows: int) -> int:
    """What a worker's batch takes while it is computed, 4 bytes a number: activations, and logits computed and kept."""
    vocabulary = info.number("vocab_size") or USUAL_VOCABULARY
    widest = max(info.number("feed_forward_length"), info.number("embedding_length"))
    return 4 * (2 * most_logits(rows) * vocabulary + 4 * LARGEST_BATCH * widest)


def free_memory() -> int | None:
    """Bytes that a program may still take, as far as the system says."""
    found = [size for size in (_available(), _left_in_group()) if size is not None]
    return min(found, default=None)


def _available() -> int | None:
    """What Linux counts as available; elsewhere what lies idle."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # this system does not say
        return None


def _left_in_group() -> int | None:
    """What a container may still take (cgroup v2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return None


def _affordable(slot_bytes: int) -> int:
    """As many slots as a third of the free memory holds, at least 1."""
    free = free_memory()
    return MOST_SLOTS // 2 if free is None else max(1, min(MOST_SLOTS, free // _SHARE // slot_bytes))
