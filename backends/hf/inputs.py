"""The inputs of a decoding step, in tensors of fixed addresses on the device, and the copies that fill them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from backends.hf.drawing import Settings
from backends.hf.pool import Segment
from backends.hf.rows import Row

AHEAD = 32
"""Steps for which random numbers are copied to the device together."""
PARAMETERS = ("cold", "heat", "top_k", "top_p", "min_p", "penalty")
"""Fields of `Settings` that hold one number a row, which no step changes."""


@dataclass(eq=False)
class Slot:
    """A row of the batch and its segment of the cache."""

    row: Row
    segment: Segment
    index: int
    """Index of the row's last token among the tokens on the device; see `Inputs.gather_last`."""
    drawn: int = 1
    """Number of drawn tokens, including those that are not read yet."""

    @property
    def must_be_read(self) -> bool:
        """Return whether the row's last token must be read before the next step: it decides what may come next."""
        reader = self.row.reader
        return bool(self.row.options) or (reader is not None and reader.may_force(self.drawn))

    @property
    def finished(self) -> bool:
        """Return whether the row needs no more steps, as far as is known before its last token is read."""
        return self.row.ended or self.drawn >= self.row.longest - len(self.row.prompt)


@dataclass
class Inputs:
    """The inputs of a step for at most `size` rows."""

    ids: torch.Tensor
    """(size), int64: last tokens; a step replaces them by new ones."""
    length: torch.Tensor
    """(size), int32: tokens of each row in the cache."""
    grow: torch.Tensor
    """(size), int32: 1 for a row, 0 for a slot without a row."""
    starts: torch.Tensor
    """(size + 1), int32: the first position of each row in the pool."""
    bounds: torch.Tensor
    """(size + 1), int32: 0, 1, 2, ..."""
    logprobs: torch.Tensor
    """(size), float32: log-probabilities of the new tokens."""
    settings: Settings

    @classmethod
    def make(cls, size: int, vocabulary: int, device: torch.device) -> Inputs:
        """Return inputs without rows."""
        new = partial(torch.zeros, device=device)
        settings = Settings(
            cold=new(size, dtype=torch.bool),
            heat=new(size),
            top_k=new(size, dtype=torch.long),
            top_p=new(size),
            min_p=new(size),
            penalty=new(size),
            uniform=new(size, AHEAD, dtype=torch.float64),
            step=new(1, dtype=torch.long),
            seen=new(0, vocabulary, dtype=torch.bool),
            allowed=new(0, vocabulary, dtype=torch.bool),
            forced=new(size, dtype=torch.long),
        )
        return cls(
            ids=new(size, dtype=torch.long),
            length=new(size, dtype=torch.int32),
            grow=new(size, dtype=torch.int32),
            starts=new(size + 1, dtype=torch.int32),
            bounds=torch.arange(size + 1, dtype=torch.int32, device=device),
            logprobs=new(size),
            settings=settings,
        )

    @property
    def changing(self) -> list[torch.Tensor]:
        """The tensors that a step both reads and changes."""
        return [self.ids, self.length, self.settings.step, self.settings.seen]

    def upload(self, slots: Sequence[Slot], count: int, nowhere: int) -> None:
        """Copy to the device what depends on the rows. The inputs of slots up to `count` without a row are harmless:
        they write to the position `nowhere` of the pool."""
        free = count - len(slots)
        lengths = [len(slot.row.prompt) + slot.drawn - 1 for slot in slots]
        starts = [slot.segment.start for slot in slots]
        copy_first(self.length, torch.tensor(lengths + [0] * free, dtype=torch.int32))
        copy_first(self.grow, torch.tensor([1] * len(slots) + [0] * free, dtype=torch.int32))
        copy_first(self.starts, torch.tensor(starts + [nowhere] * (free + 1), dtype=torch.int32))
        settings = make_settings([slot.row for slot in slots], count)
        for name in PARAMETERS:
            copy_first(getattr(self.settings, name), getattr(settings, name))

    def gather_last(self, slots: Sequence[Slot], first_tokens: Sequence[torch.Tensor]) -> None:
        """Put the last tokens of rows in the order of the rows. They may not be on the host yet.

        `first_tokens` holds the first tokens of rows that have joined; a slot's `index` counts them after `ids`.
        """
        source = torch.cat([self.ids, *first_tokens])
        index = torch.tensor([slot.index for slot in slots]).to(source.device, non_blocking=True)
        self.ids[: len(index)] = source.index_select(0, index)
        for number, slot in enumerate(slots):
            slot.index = number

    def upload_uniform(self, slots: Sequence[Slot]) -> None:
        """Copy the random numbers of the next steps to the device."""
        copy_first(self.settings.uniform, torch.stack([slot.row.uniform(slot.drawn, AHEAD) for slot in slots]))
        self.settings.step.zero_()

    def upload_seen(self, slots: Sequence[Slot]) -> bool:
        """Mark the tokens of prompts and replies, for repeat penalties; return whether the table had to be made.

        The last token of a row may be on the device alone.
        """
        made = not len(self.settings.seen)
        if made:
            self.settings.seen = self.settings.seen.new_zeros(len(self.ids), self.settings.seen.shape[1])
        mark(self.settings.seen, [[*slot.row.prompt, *slot.row.ids] for slot in slots])
        self.settings.seen.scatter_(1, self.ids[:, None], True)
        return made

    def upload_forced(self, slots: Sequence[Slot]) -> None:
        """Copy the tokens that must come next to the device. Their rows must have been read."""
        copy_first(self.settings.forced, list_forced([slot.row for slot in slots]))

    def upload_allowed(self, slots: Sequence[Slot]) -> bool:
        """Mark the tokens that may come next, for rows with choices; return whether the table had to be made.

        All tokens of such rows must have been read.
        """
        made = not len(self.settings.allowed)
        if made:
            self.settings.allowed = self.settings.allowed.new_ones(len(self.ids), self.settings.allowed.shape[1])
        mark_allowed(self.settings.allowed, [slot.row for slot in slots])
        return made


def make_settings(rows: Sequence[Row], count: int) -> Settings:
    """Return the sampling parameters of rows that have drawn nothing, on the host, for `count` slots."""
    free = count - len(rows)
    samplings = [row.request.sampling for row in rows]
    heats = [sampling.temperature for sampling in samplings]
    return Settings(
        cold=torch.tensor([heat == 0 for heat in heats] + [True] * free),
        heat=torch.tensor([heat or 1.0 for heat in heats] + [1.0] * free),
        top_k=torch.tensor([sampling.top_k for sampling in samplings] + [0] * free),
        top_p=torch.tensor([sampling.top_p for sampling in samplings] + [1.0] * free),
        min_p=torch.tensor([sampling.min_p for sampling in samplings] + [0.0] * free),
        penalty=torch.tensor([sampling.repeat_penalty for sampling in samplings] + [1.0] * free),
        uniform=torch.stack([row.uniform(0, 1) for row in rows]),
        step=torch.zeros(1, dtype=torch.long),
        seen=torch.empty(0, dtype=torch.bool),
        allowed=torch.empty(0, dtype=torch.bool),
        forced=list_forced(rows),
    )


def list_forced(rows: Sequence[Row]) -> torch.Tensor:
    """Return the token that must come next in each row (rows), int64; -1 where any may."""
    forced = [row.forced for row in rows]
    return torch.tensor([-1 if token is None else token for token in forced])


def make_first_settings(rows: Sequence[Row], logits: torch.Tensor) -> Settings:
    """Return the sampling parameters for the first tokens of rows, on the device of the logits (rows, vocabulary)."""
    on_host = make_settings(rows, len(rows))
    settings = Settings(**{name: part.to(logits.device, non_blocking=True) for name, part in vars(on_host).items()})
    if any(row.request.sampling.repeat_penalty != 1.0 for row in rows):
        settings.seen = torch.zeros_like(logits, dtype=torch.bool)
        mark(settings.seen, [row.prompt for row in rows])
    if any(row.options for row in rows):
        settings.allowed = torch.ones_like(logits, dtype=torch.bool)
        mark_allowed(settings.allowed, rows)
    return settings


def mark_allowed(table: torch.Tensor, rows: Sequence[Row]) -> None:
    """Set the entries of a bool table (rows, vocabulary) that may come next; rows without choices may draw any."""
    table.fill_(True)
    chosen = {number: row for number, row in enumerate(rows) if row.options}
    allowed = {number: tokens for number, row in chosen.items() if (tokens := row.allowed)}
    table[_put(list(allowed), table)] = False
    _set(table, allowed)
    _set(table, {number: row.barred for number, row in chosen.items() if number not in allowed}, False)


def mark(table: torch.Tensor, tokens: Sequence[Sequence[int]]) -> None:
    """Set the entries of `tokens[i]` in row i of a bool table (rows, vocabulary), and clear all others."""
    table.fill_(False)
    _set(table, dict(enumerate(tokens)))


def _set(table: torch.Tensor, tokens: Mapping[int, Sequence[int]], value: bool = True) -> None:
    width = table.shape[1]
    flat = [row * width + token for row, listed in tokens.items() for token in listed]
    table.view(-1)[_put(flat, table)] = value


def _put(numbers: list[int], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.long).to(like.device, non_blocking=True)


def copy_first(target: torch.Tensor, source: torch.Tensor) -> None:
    """Copy to the first rows of a tensor on the device, without waiting for the device."""
    target[: len(source)].copy_(source, non_blocking=True)
