"""Decoding over a dynamic key-value cache: rows join the batch, step together and leave.

Sequences are padded on the left, so the newest token of every row is in the last column. Positions count the tokens of
a row without its padding. Columns that no row uses are cut off.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer

from backends.hf.rows import Row
from backends.hf.sampling import sample
from backends.hf.scoring import portion
from backends.hf.weights import Weights

ROOM = 64
"""Columns by which a full cache grows. Concatenating at every step would copy the cache at every step."""


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers does not type its subclass hook
    """A cache layer with spare rows and columns.

    `keys` and `values`, each (rows, heads, columns, size), are views of larger tensors. Columns are added and rows join
    and leave without copying the others.
    """

    room: tuple[torch.Tensor, torch.Tensor]
    begin: int
    """First column of `room` that is in use."""

    @property
    def held(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values in use."""
        return cast(torch.Tensor, self.keys), cast(torch.Tensor, self.values)

    @property
    def end(self) -> int:
        """Column of `room` after the newest one."""
        return self.begin + self.held[0].shape[2]

    def put(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replace keys and values. Later updates write to these tensors."""
        self.room = keys, values
        self._look(len(keys), 0, keys.shape[2])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values, and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.put(key_states[:, :, :0], value_states[:, :, :0])
        rows, _, more, _ = key_states.shape
        if self.end + more > self.room[0].shape[2]:
            self._grow(max(rows, len(self.room[0])), self.held[0].shape[2], max(more, ROOM))  # for rows to join, too
        start, end = self.end, self.end + more
        for states, new in zip(self.room, (key_states, value_states), strict=True):
            states[:rows, :, start:end] = new
        self._look(rows, self.begin, end)
        return self.held

    def keep(self, kept: Sequence[int], first: int) -> None:
        """Make row `kept[i]` row i, and drop all other rows and the columns before `first`."""
        places = [i for i, row in enumerate(kept) if i != row]
        if places:
            for states in self.room:
                states[places] = states[[kept[i] for i in places]]
        self._look(len(kept), self.begin + first, self.end)

    def join(self, keys: torch.Tensor, values: torch.Tensor, columns: int, expected: int) -> None:
        """Append rows, with the newest columns aligned; `columns` are in use afterwards.

        Room is made for `expected` rows, since several groups of rows may join one after another.
        """
        rows = len(self.held[0])
        if rows + len(keys) > len(self.room[0]) or columns > self.end:
            self._grow(max(rows + len(keys), expected, len(self.room[0])), columns, ROOM)
        for states, new in zip(self.room, (keys, values), strict=True):
            start = self.end - new.shape[2]
            states[rows : rows + len(new), :, start : self.end] = new
            states[rows : rows + len(new), :, :start] = 0  # masked values must be finite
        self._look(rows + len(keys), self.end - columns, self.end)

    def _look(self, rows: int, begin: int, end: int) -> None:
        """Use this part of `room`."""
        self.begin = begin
        self.keys, self.values = (states[:rows, :, begin:end] for states in self.room)

    def _grow(self, rows: int, columns: int, spare: int) -> None:
        """Move to new tensors of `columns + spare` columns. The present columns end at `columns`."""
        present, heads, used, size = self.held[0].shape
        larger = tuple(states.new_empty(rows, heads, columns + spare, size) for states in self.held)
        for new, old in zip(larger, self.held, strict=True):
            new[:present, :, columns - used : columns] = old
            new[:present, :, : columns - used] = 0
        self.room = cast(tuple[torch.Tensor, torch.Tensor], larger)
        self._look(present, columns - used, columns)


class Batch:
    """Rows that are decoded together. `mask` (rows, columns) is 1 for tokens and 0 for padding."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.clear()

    def release(self) -> None:
        """Do nothing: the cache exists only while there are rows."""

    def cost(self, count: int, longest: int, total: int) -> int:
        """Return the cache tokens of `count` rows with `total` tokens, the longest with `longest`."""
        return count * longest

    def clear(self) -> None:
        """Drop all rows and the cache."""
        self.rows: list[Row] = []
        self.mask = torch.zeros(0, 0, dtype=torch.long, device=self.weights.device)
        self.cache = Cache(layer_class_to_replicate=RoomyLayer)

    @property
    def columns(self) -> int:
        """Number of tokens in the longest row so far."""
        return self.mask.shape[1]

    @torch.inference_mode()
    def advance(self, joining: Sequence[Row]) -> list[Row]:
        """Let rows join, draw one token for every row, and return the rows that are finished or cancelled."""
        started = time.perf_counter()
        present = list(self.rows)
        if present:
            self._step()
        for part in reversed(portion(range(len(joining)), [len(row.prompt) for row in joining])):  # longest first
            self._join([joining[i] for i in part], len(present) + len(joining))
        share = (time.perf_counter() - started) / max(len(present) + len(joining), 1)
        for row in (*present, *joining):
            row.seconds += share
        ended = [row.ended for row in self.rows]  # asked once: another thread may cancel a row at any time
        done = [row for row, at_end in zip(self.rows, ended, strict=True) if at_end]
        self._keep([i for i, at_end in enumerate(ended) if not at_end])
        return done

    def _step(self) -> None:
        """Draw one more token for every row."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], 1)
        last = torch.tensor([[row.ids[-1]] for row in self.rows], device=self.mask.device)
        logits = self._forward(self.rows, last, self.mask, self.mask.sum(1, keepdim=True) - 1, self.cache)
        self._draw(logits, self.rows)

    def _join(self, rows: Sequence[Row], expected: int) -> None:
        """Compute the prompts of new rows, draw their first tokens, and append the rows: `expected` in all.

        Agents with the same weights often read the same prompt. It is computed once.
        """
        prompts = {(row.request.adapter, tuple(row.prompt)): row for row in rows}
        places = list(prompts)
        of = [places.index((row.request.adapter, tuple(row.prompt))) for row in rows]
        ids, mask = pad_left([row.prompt for row in prompts.values()], self.mask.device)
        cache = Cache(layer_class_to_replicate=RoomyLayer)
        logits = self._forward(list(prompts.values()), ids, mask, (mask.cumsum(1) - 1).clamp(min=0), cache)[of]
        mask = mask[of]
        for layer in layers_of(cache):
            keys, values = (states[of] for states in layer.held)
            layer.put(keys, values)
        self._draw(logits, rows)
        if self.rows:
            columns = max(self.columns, ids.shape[1])
            self.mask = torch.cat([widen(self.mask, columns), widen(mask, columns)])
            for old, new in zip(layers_of(self.cache), layers_of(cache), strict=True):
                old.join(*new.held, columns, expected)
        else:
            self.mask, self.cache = mask, cache
        self.rows = [*self.rows, *rows]

    def _forward(
        self,
        rows: Sequence[Row],
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Cache,
    ) -> torch.Tensor:
        """Return float32 logits (rows, vocabulary) after the last column."""
        names = [row.request.adapter for row in rows]
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": cache,
        }
        # An index instead of "the last 1": for a slice, torch copies the output layer's weights for every row.
        last = torch.tensor([ids.shape[1] - 1], device=ids.device)
        out = self.weights.forward(names, **inputs, use_cache=True, logits_to_keep=last)
        return out.logits[:, -1].float()  # type: ignore[no-any-return]

    @staticmethod
    def _draw(logits: torch.Tensor, rows: Sequence[Row]) -> None:
        for row, token, logprob in zip(rows, *sample(logits, rows), strict=True):
            row.add(token, logprob)

    def _keep(self, kept: list[int]) -> None:
        """Drop all other rows, and the columns on the left that none of the kept rows uses."""
        if len(kept) == len(self.rows):
            return
        if not kept:
            self.clear()
            return
        kept = close_ranks(kept)
        self.rows = [self.rows[i] for i in kept]
        self.mask = self.mask[kept]
        first = int(self.mask.any(0).int().argmax())
        self.mask = self.mask[:, first:]
        for layer in layers_of(self.cache):
            layer.keep(kept, first)


def close_ranks(kept: Sequence[int]) -> list[int]:
    """Return rows (ascending) in an order that moves few of them: the last rows fill the places that became free."""
    places = list(range(len(kept)))
    late = [row for row in kept if row >= len(kept)]
    for place, row in zip(sorted(set(places).difference(kept)), late, strict=True):
        places[place] = row
    return places


def layers_of(cache: Cache) -> list[RoomyLayer]:
    """Return the layers of a cache that has `RoomyLayer` layers alone."""
    return cast(list[RoomyLayer], cache.layers)


def pad_left(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask, both (rows, columns), padded on the left."""
    columns = max(map(len, sequences))
    ids = torch.tensor([[0] * (columns - len(s)) + list(s) for s in sequences], device=device)
    mask = torch.tensor([[0] * (columns - len(s)) + [1] * len(s) for s in sequences], device=device)
    return ids, mask


def widen(mask: torch.Tensor, columns: int) -> torch.Tensor:
    """Return a mask with zeros added on the left, up to `columns` columns."""
    return torch.cat([mask.new_zeros(len(mask), columns - mask.shape[1]), mask], 1)
