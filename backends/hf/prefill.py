"""Prefill: prompts are packed into few calls of the model; equal prompts and shared prefixes are computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from backends.hf.mixing import Stack
from backends.hf.packed import Packing, make_packing
from backends.hf.pool import Pool, Segment
from backends.hf.prompts import Family, Prompt, find_families
from backends.hf.rows import Row
from backends.hf.weights import Weights

PACK_TOKENS = 8192
"""Maximum number of prompt tokens in one call of the model, unless one prompt alone has more."""
Forward = Callable[..., torch.Tensor]
"""Computes packed tokens; see `StaticBatch._forward`."""


@dataclass(frozen=True)
class Piece:
    """Tokens `first` to `end - 1` of a prompt, which starts at the position `start` of the pool."""

    prompt: Prompt
    first: int
    end: int
    start: int


class Prefill:
    """Computes the prompts of rows that join."""

    def __init__(self, weights: Weights, pool: Pool, forward: Forward) -> None:
        self.weights, self.pool, self.forward = weights, pool, forward

    def compute(self, owned: dict[Row, Segment]) -> tuple[torch.Tensor, list[Row]]:
        """Compute the prompts of rows into their segments.

        Returns float32 logits (rows, vocabulary) after the prompts, and the rows in that order.
        """
        families = find_families(list(owned))
        self._compute_shared(families, owned)
        pieces: list[Piece] = []
        copies: list[tuple[int, int, int]] = []
        rows: list[Row] = []
        sources: list[int] = []
        for family in families:
            for prompt in family.prompts:
                start, *others = (owned[row].start for row in prompt.rows)
                copies += [(start, other, len(prompt.ids)) for other in others]
                rows += prompt.rows
                sources += [len(pieces)] * len(prompt.rows)
                pieces.append(Piece(prompt, family.shared, len(prompt.ids), start))
        logits = self._compute_pieces(pieces)
        if copies:
            self.pool.copy(copies)
            logits = logits[torch.tensor(sources).to(logits.device, non_blocking=True)]
        return logits, rows

    def _compute_shared(self, families: Sequence[Family], owned: dict[Row, Segment]) -> None:
        """Compute the prefix of each family and copy it to the segments of its prompts."""
        pieces: list[Piece] = []
        copies: list[tuple[int, int, int]] = []
        for family in families:
            if family.shared:
                start, *others = (owned[prompt.rows[0]].start for prompt in family.prompts)
                pieces.append(Piece(family.prompts[0], 0, family.shared, start))
                copies += [(start, other, family.shared) for other in others]
        if pieces:
            self._compute_pieces(pieces)
            self.pool.copy(copies)

    def _compute_pieces(self, pieces: Sequence[Piece]) -> torch.Tensor:
        """Compute pieces of prompts and return the logits (pieces, vocabulary) after each."""
        packs: list[list[Piece]] = []
        filled = PACK_TOKENS
        for piece in pieces:
            filled += piece.end - piece.first
            if filled > PACK_TOKENS:
                packs.append([])
                filled = piece.end - piece.first
            packs[-1].append(piece)
        return torch.cat([self._compute_pack(pack) for pack in packs])

    def _compute_pack(self, pack: Sequence[Piece]) -> torch.Tensor:
        """Compute pieces of prompts in one call of the model."""
        device = self.weights.device
        ids: list[int] = []
        positions: list[int] = []
        where: list[int] = []
        for piece in pack:
            ids += piece.prompt.ids[piece.first : piece.end]
            positions += range(piece.first, piece.end)
            where += range(piece.start + piece.first, piece.start + piece.end)
        on_device = [torch.tensor(part).to(device, non_blocking=True) for part in (ids, positions, where)]
        self.pool.where = on_device[2]
        packing = make_packing([(piece.end - piece.first, piece.start, piece.end) for piece in pack], device)
        names = [piece.prompt.adapter for piece in pack]
        stack = self.weights.prepare_stack(names)
        masks = [] if stack is None else self._make_masks(stack, names, packing, len(ids))
        return self.forward(on_device[0], on_device[1], packing, stack, masks, packing.bounds[1:].long() - 1)

    def _make_masks(
        self, stack: Stack, names: Sequence[str | None], packing: Packing, tokens: int
    ) -> list[torch.Tensor]:
        """Return the stack's masks of all packed tokens and of the last token of each piece."""
        mask = stack.columns_of(names).to(self.weights.device, self.weights.model.dtype, non_blocking=True)
        return [mask.repeat_interleave(packing.bounds.diff().long(), 0, output_size=tokens)[None], mask[None]]
