"""The key-value cache of a static batch: one pool of tokens, in which each sequence owns a contiguous segment.

A segment has room for the whole prompt and reply, so a sequence never moves while it is decoded, and no position of
the pool is padding. Segments are moved together when the free tokens are scattered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(eq=False)
class Segment:
    """Positions `start` to `start + size - 1` of the pool."""

    start: int
    size: int


class PoolLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]  # transformers does not type its subclass hook
    """Keys and values of one layer, each (tokens, heads, size). The last token is for rows that hold no sequence."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pool = pool

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the tensors. They hold zeros, since masked values must be finite."""
        for name, states in (("keys", key_states), ("values", value_states)):
            _, heads, _, size = states.shape
            setattr(self, name, states.new_zeros(self.pool.tokens + 1, heads, size))
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the keys and values (1, heads, new tokens, size) where the pool says, and return those of the whole
        pool in the same order of dimensions."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        for stored, new in zip(self.held, (key_states, value_states), strict=True):
            stored.index_copy_(0, self.pool.where, new[0].transpose(0, 1))
        keys, values = self.held
        return keys.transpose(0, 1)[None], values.transpose(0, 1)[None]

    @property
    def held(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of the whole pool."""
        return cast(torch.Tensor, self.keys), cast(torch.Tensor, self.values)

    def copy(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """Copy the keys and values at the positions `source` to the positions `target`."""
        for stored in self.held:
            stored.index_copy_(0, target, stored.index_select(0, source))

    def resize(self, tokens: int, source: torch.Tensor) -> None:
        """Move to tensors for `tokens` tokens, which begin with the positions `source` of the old tensors."""
        for name, stored in zip(("keys", "values"), self.held, strict=True):
            larger = stored.new_zeros(tokens + 1, *stored.shape[1:])
            larger[: len(source)] = stored.index_select(0, source)
            setattr(self, name, larger)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the tokens that attention sees, and where they start. No mask is made of that: see `packed`."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """Return 0: each sequence has a length of its own."""
        return 0

    def get_max_length(self) -> int:
        """Return the number of tokens in the pool."""
        return self.pool.tokens

    get_max_cache_shape = get_max_length  # its name in earlier versions of transformers


class Pool(Cache):
    """A cache of `layers` layers with segments for sequences. It grows as far as `limit` tokens."""

    def __init__(self, layers: int, limit: int, device: torch.device) -> None:
        super().__init__(layers=[PoolLayer(self) for _ in range(layers)])
        self.limit, self.device = limit, device
        self.tokens = 0
        self.top = 0
        """The first position after the last segment."""
        self.segments: list[Segment] = []
        self.where = torch.empty(0, dtype=torch.long, device=device)
        """Positions at which the next call of the model stores its tokens, in their order."""

    @property
    def parts(self) -> list[PoolLayer]:
        """The layers."""
        return cast(list[PoolLayer], self.layers)

    def allocate(self, sizes: Sequence[int]) -> tuple[list[Segment], bool]:
        """Return segments of these sizes, and whether tensors have moved. Segments may move; `limit` is exceeded only
        where they cannot fit otherwise."""
        needed, moved = sum(sizes), False
        if self.top + needed > self.tokens:
            needed_in_all = needed + sum(segment.size for segment in self.segments)
            if needed_in_all > self.tokens:
                self._move(max(needed_in_all, min(self.limit, _power_of_two(needed_in_all))))
                moved = True
            else:
                self._move(self.tokens)
        new = []
        for size in sizes:
            new.append(Segment(self.top, size))
            self.top += size
        self.segments += new
        return new, moved

    def free(self, segment: Segment) -> None:
        """Give the positions of a segment to others."""
        self.segments.remove(segment)
        if not self.segments:
            self.top = 0

    def copy(self, pairs: Sequence[tuple[int, int, int]]) -> None:
        """Copy tokens within the pool; each pair is (first source, first target, number)."""
        source = self._ranges([(first, number) for first, _, number in pairs])
        target = self._ranges([(first, number) for _, first, number in pairs])
        for layer in self.parts:
            layer.copy(source, target)

    def _move(self, tokens: int) -> None:
        """Move all segments together, in tensors for `tokens` tokens."""
        source = self._ranges([(segment.start, segment.size) for segment in self.segments])
        for layer in self.parts:
            if not layer.is_initialized:
                continue
            if tokens != self.tokens:
                layer.resize(tokens, source)
            else:
                layer.copy(source, torch.arange(len(source), device=self.device))
        self.tokens, self.top = tokens, 0
        for segment in self.segments:
            segment.start = self.top
            self.top += segment.size

    def _ranges(self, spans: Sequence[tuple[int, int]]) -> torch.Tensor:
        """Return the positions of spans (first, number), one after another."""
        parts = [torch.arange(first, first + number) for first, number in spans]
        return torch.cat(parts or [torch.empty(0, dtype=torch.long)]).to(self.device, non_blocking=True)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
