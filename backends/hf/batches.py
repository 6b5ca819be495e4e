"""The batches of a training. Seed and epoch decide their order; several processes share them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from backends.training import TrainSettings

Row = tuple[list[int], int]
"""Tokens of an example, and the index at which the learned part starts."""
NOTHING: Row = ([0, 0], 2)
"""Row without learned tokens, for processes that have no batch left at the end of an epoch."""


class Batches(Sampler[list[int]]):
    """Indices of the units of each batch; one iteration is an epoch. A unit is a row, or `width` rows together.

    Process `rank` of `processes` takes every `processes`-th batch. In each optimizer step, all processes together take
    the batches that a single process would take. The last batches are empty if their number is no multiple of
    `processes`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        settings: TrainSettings,
        seed: int,
        rank: int = 0,
        processes: int = 1,
        width: int = 1,
    ) -> None:
        self.size = max(1, settings.batch_size // width)
        self.lengths, self.settings, self.seed = list(lengths), settings, seed
        self.rank, self.processes = rank, processes
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(math.ceil(len(self.lengths) / self.size) / self.processes)

    def __iter__(self) -> Iterator[list[int]]:
        order, size = self._order(), self.size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        batches += [[] for _ in range(-len(batches) % self.processes)]
        self.epoch += 1
        yield from batches[self.rank :: self.processes]

    def _order(self) -> list[int]:
        random = torch.Generator().manual_seed(self.seed + self.epoch)
        if not self.settings.group_by_length:
            return list(torch.randperm(len(self.lengths), generator=random).tolist())
        step = self.size * self.settings.accumulation
        grouped: Any = get_length_grouped_indices
        return list(grouped(self.lengths, step, generator=random))
