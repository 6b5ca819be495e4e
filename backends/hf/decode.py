"""The batch that is being generated: rows join it, step together and leave, on one key-value cache.

Sequences are padded on the left, so that the newest token of every row is in the last column. Positions count a
row's own tokens, never the padding. A column that no row uses any more is cut off.
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

ROOM = 64  # columns by which a full cache grows: concatenating every step copies the cache every step


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers does not type its subclass hook
    """A cache layer with room to spare: `keys` and `values`, each (rows, heads, columns, size), are views of larger
    tensors, so that columns come and go and rows leave and join without copying the others."""

    room: tuple[torch.Tensor, torch.Tensor]
    begin: int
    """The first column of the room that is in use."""

    @property
    def held(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values."""
        return cast(torch.Tensor, self.keys), cast(torch.Tensor, self.values)

    @property
    def end(self) -> int:
        """The column of the room after the newest one."""
        return self.begin + self.held[0].shape[2]

    def put(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replace what is held. These tensors will be written to."""
        self.room = keys, values
        self._look(len(keys), 0, keys.shape[2])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values, and give all of them back."""
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
        """Let row `kept[i]` become row i, and leave out all others and the columns before `first`."""
        places = [i for i, row in enumerate(kept) if i != row]
        if places:
            for states in self.room:
                states[places] = states[[kept[i] for i in places]]
        self._look(len(kept), self.begin + first, self.end)

    def join(self, keys: torch.Tensor, values: torch.Tensor, columns: int, expected: int) -> None:
        """Put rows under those that are here, the newest columns aligned; `columns` are then in use. Of all that join
        now, so many rows are `expected` in the end."""
        rows = len(self.held[0])
        if rows + len(keys) > len(self.room[0]) or columns > self.end:
            self._grow(max(rows + len(keys), expected, len(self.room[0])), columns, ROOM)
        for states, new in zip(self.room, (keys, values), strict=True):
            start = self.end - new.shape[2]
            states[rows : rows + len(new), :, start : self.end] = new
            states[rows : rows + len(new), :, :start] = 0  # masked, but what is masked must be finite
        self._look(rows + len(keys), self.end - columns, self.end)

    def _look(self, rows: int, begin: int, end: int) -> None:
        """Hold this part of the room."""
        self.begin = begin
        self.keys, self.values = (states[:rows, :, begin:end] for states in self.room)

    def _grow(self, rows: int, columns: int, spare: int) -> None:
        """Move to new tensors of so many rows and columns, what is held on the right, then columns to spare."""
        present, heads, used, size = self.held[0].shape
        larger = tuple(states.new_empty(rows, heads, columns + spare, size) for states in self.held)
        for new, old in zip(larger, self.held, strict=True):
            new[:present, :, columns - used : columns] = old
            new[:present, :, : columns - used] = 0
        self.room = cast(tuple[torch.Tensor, torch.Tensor], larger)
        self._look(present, columns - used, columns)


class Batch:
    """Rows that are decoded together. `mask` is (rows, columns): 1 where a row has a token, 0 where padding."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.clear()

    def release(self) -> None:
        """Drop what can be made again: nothing here outlives the rows."""

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
        """Tokens in the longest row so far."""
        return self.mask.shape[1]

    @torch.inference_mode()
    def advance(self, joining: Sequence[Row]) -> list[Row]:
        """Let rows join, draw one token for every row, and give back those that are done or cancelled."""
        started = time.perf_counter()
        present = list(self.rows)
        if present:
            self._step()
        for part in reversed(portion(range(len(joining)), [len(row.prompt) for row in joining])):  # the longest first
            self._join([joining[i] for i in part], len(present) + len(joining))
        share = (time.perf_counter() - started) / max(len(present) + len(joining), 1)
        for row in (*present, *joining):
            row.seconds += share
        done = [row for row in self.rows if row.finish or row.cancelled]
        self._keep([i for i, row in enumerate(self.rows) if not (row.finish or row.cancelled)])
        return done

    def _step(self) -> None:
        """One more token for every row."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], 1)
        last = torch.tensor([[row.ids[-1]] for row in self.rows], device=self.mask.device)
        logits = self._forward(self.rows, last, self.mask, self.mask.sum(1, keepdim=True) - 1, self.cache)
        self._draw(logits, self.rows)

    def _join(self, rows: Sequence[Row], expected: int) -> None:
        """Compute the prompts of new rows, draw their first tokens, and put them under the others, `expected` in all.

        Agents with the same weights often read the same prompt: it is computed once.
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
        """The float32 logits (rows, vocabulary) after the last column."""
        names = [row.request.adapter for row in rows]
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": cache,
        }
        # By its index, not as "the last 1": of a slice, torch copies the output layer's weights for every row.
        last = torch.tensor([ids.shape[1] - 1], device=ids.device)
        out = self.weights.forward(names, **inputs, use_cache=True, logits_to_keep=last)
        return out.logits[:, -1].float()  # type: ignore[no-any-return]

    @staticmethod
    def _draw(logits: torch.Tensor, rows: Sequence[Row]) -> None:
        for row, token, logprob in zip(rows, *sample(logits, rows), strict=True):
            row.add(token, logprob)

    def _keep(self, kept: list[int]) -> None:
        """Take out all other rows, and the columns on the left that none of these uses."""
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
    """The same rows (ascending) in an order that moves few: the last ones into the places of those that left."""
    places = list(range(len(kept)))
    late = [row for row in kept if row >= len(kept)]
    for place, row in zip(sorted(set(places).difference(kept)), late, strict=True):
        places[place] = row
    return places


def layers_of(cache: Cache) -> list[RoomyLayer]:
    """The cache's layers, which are all of one kind."""
    return cast(list[RoomyLayer], cache.layers)


def pad_left(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both (rows, columns), with the padding on the left."""
    columns = max(map(len, sequences))
    ids = torch.tensor([[0] * (columns - len(s)) + list(s) for s in sequences], device=device)
    mask = torch.tensor([[0] * (columns - len(s)) + [1] * len(s) for s in sequences], device=device)
    return ids, mask


def widen(mask: torch.Tensor, columns: int) -> torch.Tensor:
    """The same with zeros on the left, up to so many columns."""
    return torch.cat([mask.new_zeros(len(mask), columns - mask.shape[1]), mask], 1)
