"""Decoding over a dynamic key-value cache: rows join the batch, step together and leave.

Sequences are padded on the left, so the newest token of every row is in the last column. Positions count the tokens of
a row without its padding. Columns that no row uses are cut off. Prompts of recurrent models are computed in groups of
equal length, since padding would change their states.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

import torch
from transformers.cache_utils import Cache

from backends.hf.attention import plain_attention
from backends.hf.caches import cache_maker, has_columns, has_states, layers_of
from backends.hf.rows import Row
from backends.hf.sampling import sample
from backends.hf.scoring import portion
from backends.hf.weights import Weights


class Batch:
    """Rows that are decoded together. `mask` (rows, columns) is 1 for tokens and 0 for padding."""

    def __init__(self, weights: Weights) -> None:
        self.weights, self.make_cache = weights, cache_maker(weights.model)
        self.clear()
        self.stateful, self.masked = has_states(self.cache), has_columns(self.cache)

    def release(self) -> None:
        """Do nothing: the cache exists only while there are rows."""

    def cost(self, count: int, longest: int, total: int) -> int:
        """Return the cache tokens of `count` rows with `total` tokens, the longest with `longest`."""
        return count * longest

    def clear(self) -> None:
        """Drop all rows and the cache."""
        self.rows: list[Row] = []
        self.mask = torch.zeros(0, 0, dtype=torch.long, device=self.weights.device)
        self.cache = self.make_cache()

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
        for part in reversed(self._parts([len(row.prompt) for row in joining])):  # longest first
            self._join([joining[i] for i in part], len(present) + len(joining))
        share = (time.perf_counter() - started) / max(len(present) + len(joining), 1)
        for row in (*present, *joining):
            row.seconds += share
        ended = [row.ended for row in self.rows]  # asked once: another thread may cancel a row at any time
        done = [row for row, at_end in zip(self.rows, ended, strict=True) if at_end]
        self._keep([i for i, at_end in enumerate(ended) if not at_end])
        return done

    def _parts(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the indices of prompts of these lengths in groups that are computed together, the shortest first."""
        parts = portion(range(len(lengths)), lengths)
        if not self.stateful:
            return parts
        return [list(alike) for part in parts for _, alike in groupby(part, key=lambda i: lengths[i])]

    def _step(self) -> None:
        """Draw one more token for every row."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], 1)
        last = torch.tensor([[row.ids[-1]] for row in self.rows], device=self.mask.device)
        with plain_attention(self.weights.model, self.columns):
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
        cache = self.make_cache()
        logits = self._forward(list(prompts.values()), ids, mask, (mask.cumsum(1) - 1).clamp(min=0), cache)[of]
        mask = mask[of]
        for layer in layers_of(cache):
            layer.pick(of)
        self._draw(logits, rows)
        if self.rows:
            columns = max(self.columns, ids.shape[1])
            self.mask = torch.cat([widen(self.mask, columns), widen(mask, columns)])
            for old, new in zip(layers_of(self.cache), layers_of(cache), strict=True):
                old.join(new, columns, expected)
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
        inputs = {"input_ids": ids, "position_ids": positions, "past_key_values": cache}
        if self.masked:  # otherwise no row has padding
            inputs["attention_mask"] = mask
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


def pad_left(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids and mask, both (rows, columns), padded on the left."""
    columns = max(map(len, sequences))
    ids = torch.tensor([[0] * (columns - len(s)) + list(s) for s in sequences], device=device)
    mask = torch.tensor([[0] * (columns - len(s)) + [1] * len(s) for s in sequences], device=device)
    return ids, mask


def widen(mask: torch.Tensor, columns: int) -> torch.Tensor:
    """Return a mask with zeros added on the left, up to `columns` columns."""
    return torch.cat([mask.new_zeros(len(mask), columns - mask.shape[1]), mask], 1)
