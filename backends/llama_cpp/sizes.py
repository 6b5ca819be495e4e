"""Sizes of weights, slots and buffers in memory, known from a model's header before anything loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.llama_cpp.cache_sizes import count_cache_bytes
from backends.llama_cpp.config import LlamaCpp
from backends.llama_cpp.convert import weights_size
from backends.models.gguf_file import GGUFInfo
from backends.sizes import Memory

DEFAULT_CONTEXT = 2048
"""Tokens of a slot without a scenario."""
MOST_SLOTS = 144
"""Maximum number of slots by default."""
FEWEST_ROWS = 32
"""Minimum number of slots of each of several workers: smaller batches cost more than waiting threads."""
BLOCK = 16
"""Rows of every batch in reproducible mode; a worker's slots are a multiple of it."""
STEP = 256
"""Granularity of llama.cpp's slots, in tokens."""
LARGEST_BATCH = 512
"""Maximum tokens of prompts in one batch."""
USUAL_VOCABULARY = 1 << 17
"""Assumed size of the vocabulary if the header names no embeddings."""
CHUNK = 64
"""Tokens of a chunk: of a prompt in reproducible mode, and of a reply that is scored."""
_SHARE = 3  # a third of the free memory is for the slots


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a context."""

    length: int
    """Tokens of a slot."""
    workers: int
    rows: int
    """Slots of each worker."""
    token_bytes: int
    """Bytes of the keys and values of one token."""
    buffer_bytes: int
    """Bytes of the working buffers."""
    state_bytes: int = 0
    """Bytes of a slot's recurrent states, whatever its length."""

    @property
    def slots(self) -> int:
        """Number of slots of all workers."""
        return self.workers * self.rows

    @property
    def slot_bytes(self) -> int:
        """Bytes of a slot."""
        return self.length * self.token_bytes + self.state_bytes

    @property
    def context_bytes(self) -> int:
        """Bytes of all slots."""
        return self.slots * self.slot_bytes


def find_sizes(config: LlamaCpp, info: GGUFInfo) -> Sizes:
    """Return the sizes of a context for the options, the model and the free memory."""
    length = round_up(config.context or min(DEFAULT_CONTEXT, info.context_length or DEFAULT_CONTEXT), STEP)
    token_bytes, state_bytes = count_cache_bytes(info)
    slots = config.slots or _affordable(length * token_bytes + state_bytes)
    workers = _workers(config, slots)
    rows = round_up(-(-slots // workers), BLOCK if config.reproducible else 1)
    return Sizes(length, workers, rows, token_bytes, workers * _buffer_bytes(info, rows), state_bytes)


def find_memory(config: LlamaCpp, info: GGUFInfo, adapters: Sequence[Path]) -> Memory:
    """Return the bytes of weights, slots, adapters and working buffers."""
    sizes = find_sizes(config, info)
    weights = weights_size(config.requantize, info)
    loras = sum(path.stat().st_size for path in adapters if path.is_file())
    return Memory(weights, sizes.context_bytes, loras, sizes.buffer_bytes)


def round_up(number: int, step: int) -> int:
    """Return the next multiple of `step`."""
    return -(-number // step) * step


def _workers(config: LlamaCpp, slots: int) -> int:
    """Return the number of workers: 1 on a GPU, otherwise as many as have enough threads and rows."""
    if config.gpu_layers:
        return 1
    return max(1, min(config.threads or os.cpu_count() or 1, slots // FEWEST_ROWS))


def most_logits(rows: int) -> int:
    """Return the maximum number of tokens of a batch with logits."""
    return max(rows, CHUNK)


def _buffer_bytes(info: GGUFInfo, rows: int) -> int:
    """Return the bytes of a worker's buffers, with 4 bytes per number: activations, and logits twice."""
    vocabulary = info.shapes.get("token_embd.weight", (0, USUAL_VOCABULARY))[1]
    experts = info.number("expert_feed_forward_length") * info.number("expert_used_count")
    inner = 2 * info.number("ssm.inner_size")
    widest = max(info.number("feed_forward_length"), info.number("embedding_length"), experts, inner)
    return 4 * (2 * most_logits(rows) * vocabulary + 4 * LARGEST_BATCH * widest)


def free_memory() -> int | None:
    """Return the free memory in bytes; None if the system does not report it."""
    found = [size for size in (_available(), _left_in_group()) if size is not None]
    return min(found, default=None)


def _available() -> int | None:
    """Return the available memory on Linux, and the unused memory on other systems."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # this system does not report it
        return None


def _left_in_group() -> int | None:
    """Return the memory that a container may still use (cgroup v2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return None


def _affordable(slot_bytes: int) -> int:
    """Return the number of slots that fit into a third of the free memory, at least 1."""
    free = free_memory()
    return MOST_SLOTS // 2 if free is None else max(1, min(MOST_SLOTS, free // _SHARE // max(1, slot_bytes)))
