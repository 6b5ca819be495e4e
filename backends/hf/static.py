"""Decoding over a static cache: every step has the same tensors in the same places, so that CUDA graphs run it.

The rows of a step are rounded up to a few sizes. What depends on the rows (their last tokens, lengths, places in the
cache, adapters, sampling parameters and random numbers) are tensors of fixed addresses. Tokens are drawn on the device
and read one step late, while the device computes the next step. A row that ends by its text has then been computed for
one step more; that token is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch

from backends.hf.decode import Batch
from backends.hf.drawing import Kind, Settings, draw_tokens
from backends.hf.graphs import Graphs
from backends.hf.mixing import Stack
from backends.hf.packed import Packing, count_layers, make_packing, packed_attention
from backends.hf.pool import Pool, Segment
from backends.hf.prompts import Family, Prompt, find_families
from backends.hf.rows import Row
from backends.hf.weights import Weights

PACK_TOKENS = 8192
"""Maximum number of prompt tokens in one call of the model, unless one prompt alone has more."""
AHEAD = 32
"""Steps for which random numbers are copied to the device together."""
SHORTEST_WINDOW = 256
"""Minimum, in tokens, of the lengths for which a step is prepared; larger ones are powers of two."""


Piece = tuple[Prompt, int, int, int]
"""A part of a prompt: its first token, the token after its last, and where the prompt starts in the pool."""


@dataclass(eq=False)
class Place:
    """A row in the batch."""

    row: Row
    segment: Segment
    index: int
    """Where the row's last token is among the tokens on the device; see `StaticBatch._gather_last`."""
    drawn: int = 1
    """Tokens drawn, those included that were not read yet."""

    @property
    def finished(self) -> bool:
        """Return whether no more tokens are needed, as far as it is known."""
        limit = self.row.longest - len(self.row.prompt)
        return self.row.ended or self.drawn >= limit


@dataclass(frozen=True)
class Drawn:
    """Tokens and log-probabilities on their way to the host, for these rows."""

    rows: list[Row]
    tokens: torch.Tensor
    logprobs: torch.Tensor
    event: torch.cuda.Event | None

    def read(self) -> None:
        """Wait for the copy and give the tokens to the rows that have not ended."""
        if self.event is not None:
            self.event.synchronize()
        for row, token, logprob in zip(self.rows, self.tokens.tolist(), self.logprobs.tolist(), strict=True):
            if not row.ended:
                row.add(token, logprob)


@dataclass
class Inputs:
    """The static inputs of a step, for at most `size` rows, on the device."""

    ids: torch.Tensor
    """(size), int64: last tokens; a step replaces them by new ones."""
    length: torch.Tensor
    """(size), int32: tokens of each row in the cache."""
    grow: torch.Tensor
    """(size), int32: 1 for a row, 0 for a place that no row has."""
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


class StaticBatch:
    """Rows that are decoded together over a pool of at most `tokens` tokens, `places` rows at most.

    `graphs` records steps as CUDA graphs; without them the same steps run kernel by kernel, on any device. Rows with
    adapters that cannot be stacked are decoded by a dynamic `Batch`.
    """

    def __init__(self, weights: Weights, places: int, tokens: int, graphs: bool | None = None) -> None:
        self.weights, self.limit, self.size = weights, tokens, round_rows(places)
        self.with_graphs = weights.device.type == "cuda" if graphs is None else graphs
        self.dynamic = Batch(weights)
        self.clear()

    def clear(self) -> None:
        """Drop all rows, the cache and everything recorded."""
        self.dynamic.clear()
        self.places: list[Place] = []
        self.ending: list[Row] = []
        self.unread: list[Drawn] = []
        self.fresh: list[torch.Tensor] = []
        self.pool: Pool | None = None
        self.inputs: Inputs | None = None
        self.release()

    def release(self) -> None:
        """Drop what can be made again: recorded steps and, where no row is here, the cache."""
        self.graphs = Graphs() if self.with_graphs else None
        self.stale = True
        self.stack: Stack | None = None
        """The adapters of the present rows, None for the base alone."""
        self.masked: Stack | None = None
        """The last stack; `masks` (1, size, sum of ranks) says which of its columns each row has."""
        self.masks: torch.Tensor | None = None
        if not self.places:
            self.pool = None

    @property
    def rows(self) -> list[Row]:
        """Rows that were not returned yet."""
        return [*self.dynamic.rows, *(place.row for place in self.places), *self.ending]

    def cost(self, count: int, longest: int, total: int) -> int:
        """Return the cache tokens of `count` rows with `total` tokens, the longest with `longest`."""
        return total

    @torch.inference_mode()
    def advance(self, joining: Sequence[Row]) -> list[Row]:
        """Let rows join, launch one step, read the tokens of the step before, and return rows that have ended."""
        if self.dynamic.rows or (joining and self.weights.group(joining[0].request.adapter) in self.weights.alone):
            return self.dynamic.advance(joining)
        started = time.perf_counter()
        unread, self.unread = self.unread, []
        everyone = [*self.rows, *joining]
        self._drop_finished()
        if self.places:
            self._step()
        if joining:
            self._join(joining)
        if any(place.row.options for place in self.places):  # what may come next depends on what was drawn
            unread, self.unread = [*unread, *self.unread], []
        for drawn in unread:
            drawn.read()
        share = (time.perf_counter() - started) / max(len(everyone), 1)
        for row in everyone:
            row.seconds += share
        ended = [row for row in everyone if row.ended]
        self._drop_finished()
        self.ending = [row for row in self.ending if not row.ended]
        return ended

    def _drop_finished(self) -> None:
        """Take rows that need no more steps out of the batch; those whose last token is unread are `ending`."""
        assert self.pool is not None or not self.places
        kept = []
        for place in self.places:
            if not place.finished:
                kept.append(place)
                continue
            assert self.pool is not None
            self.pool.free(place.segment)
            self.stale = True
            if not place.row.ended:
                self.ending.append(place.row)
        self.places = kept

    # One step

    def _step(self) -> None:
        """Launch one more token for every row."""
        rows = [place.row for place in self.places]
        if self.stale:
            self._upload()
        elif self.steps == AHEAD:
            self._upload_uniform()
        if self.kind.choices:
            self._upload_allowed()
        inputs = self._inputs()
        longest = max(len(place.row.prompt) + place.drawn for place in self.places)
        count, columns = round_rows(len(rows)), max(SHORTEST_WINDOW, 1 << (longest - 1).bit_length())
        compute = partial(self._compute, count, columns, self.stack, self.kind)
        if self.graphs is None:
            compute()
        else:
            state = [inputs.ids, inputs.length, inputs.settings.step, inputs.settings.seen]
            self.graphs.run((count, columns, self.stack, self.kind), compute, state)
        self.steps += 1
        for place in self.places:
            place.drawn += 1
        self._fetch(rows, inputs.ids, inputs.logprobs)

    def _compute(self, count: int, columns: int, stack: Stack | None, kind: Kind) -> None:
        """Compute one step of the first `count` rows, in place. Only tensors of fixed addresses are used."""
        inputs = self._inputs()
        assert self.pool is not None
        length, positions = inputs.length[:count], inputs.length[:count].long()
        self.pool.where = inputs.starts[:count] + positions
        packing = Packing(inputs.bounds[: count + 1], inputs.starts[: count + 1], length + 1, 1, columns)
        masks = [] if stack is None or self.masks is None else [self.masks[:, :count]]
        logits = self._forward(inputs.ids[:count], positions, packing, stack, masks)
        settings = inputs.settings.first(count)
        tokens, logprobs = draw_tokens(logits, settings, kind)
        if kind.penalty:
            settings.seen.scatter_(1, tokens[:, None], True)
        inputs.ids[:count] = tokens
        inputs.logprobs[:count] = logprobs
        inputs.length[:count] += inputs.grow[:count]
        inputs.settings.step += 1

    def _forward(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        packing: Packing,
        stack: Stack | None,
        masks: Sequence[torch.Tensor],
        kept: torch.Tensor | int = 0,
    ) -> torch.Tensor:
        """Return float32 logits (tokens, vocabulary) of packed tokens, or of those at the indices `kept`."""
        with packed_attention(self.weights.model, packing):
            out = self.weights.forward_packed(
                stack,
                masks,
                input_ids=ids[None],
                position_ids=positions[None],
                past_key_values=self.pool,
                use_cache=True,
                logits_to_keep=kept,
            )
        return out.logits[0].float()  # type: ignore[no-any-return]

    def _fetch(self, rows: list[Row], tokens: torch.Tensor, logprobs: torch.Tensor) -> None:
        """Start copying the first tokens and log-probabilities to the host."""
        if not tokens.is_cuda:
            self.unread.append(Drawn(rows, tokens[: len(rows)].clone(), logprobs[: len(rows)].clone(), None))
            return
        event: Any = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        on_host = [torch.empty(len(rows), dtype=tensor.dtype, pin_memory=True) for tensor in (tokens, logprobs)]
        for target, tensor in zip(on_host, (tokens, logprobs), strict=True):
            target.copy_(tensor[: len(rows)], non_blocking=True)
        event.record()
        self.unread.append(Drawn(rows, on_host[0], on_host[1], event))

    # Inputs of a step

    def _inputs(self) -> Inputs:
        if self.inputs is None:
            vocabulary = self.weights.model.get_output_embeddings().weight.shape[0]
            self.inputs = Inputs.make(self.size, vocabulary, self.weights.device)
        return self.inputs

    def _upload(self) -> None:
        """Copy to the device what depends on which rows there are."""
        inputs, device = self._inputs(), self.weights.device
        assert self.pool is not None
        rows = [place.row for place in self.places]
        count = round_rows(len(rows))
        free = count - len(rows)
        self._gather_last()
        lengths = [len(place.row.prompt) + place.drawn - 1 for place in self.places]
        starts = [place.segment.start for place in self.places]
        _copy(inputs.length, torch.tensor([*lengths, *[0] * free], dtype=torch.int32))
        _copy(inputs.grow, torch.tensor([1] * len(rows) + [0] * free, dtype=torch.int32))
        _copy(inputs.starts, torch.tensor([*starts, *[self.pool.tokens] * (free + 1)], dtype=torch.int32))
        self.kind = Kind.of(rows)
        settings = make_settings(rows, count)
        for name in ("cold", "heat", "top_k", "top_p", "min_p", "penalty"):
            _copy(getattr(inputs.settings, name), getattr(settings, name))
        self._upload_uniform()
        if self.kind.penalty:
            self._upload_seen()
        self._upload_masks([row.request.adapter for row in rows], count, device)
        self.stale = False

    def _gather_last(self) -> None:
        """Put the last tokens of the rows in the order of the rows. They may not be on the host yet."""
        inputs = self._inputs()
        source = torch.cat([inputs.ids, *self.fresh])
        index = torch.tensor([place.index for place in self.places]).to(source.device, non_blocking=True)
        inputs.ids[: len(index)] = source.index_select(0, index)
        self.fresh = []
        for number, place in enumerate(self.places):
            place.index = number

    def _upload_uniform(self) -> None:
        """Copy the random numbers of the next steps to the device."""
        settings = self._inputs().settings
        _copy(settings.uniform, torch.stack([place.row.uniform(place.drawn, AHEAD) for place in self.places]))
        settings.step.zero_()
        self.steps = 0

    def _upload_seen(self) -> None:
        """Mark the tokens of prompts and replies, for repeat penalties. The last token may be on the device alone."""
        inputs = self._inputs()
        seen = inputs.settings.seen
        if not len(seen):
            seen = inputs.settings.seen = seen.new_zeros(self.size, seen.shape[1])
            self._forget_graphs()
        mark(seen, [[*place.row.prompt, *place.row.ids] for place in self.places], False)
        seen.scatter_(1, inputs.ids[:, None], True)

    def _upload_allowed(self) -> None:
        """Mark the tokens that may come next, for rows with choices; all their tokens have been read."""
        settings = self._inputs().settings
        if not len(settings.allowed):
            settings.allowed = settings.allowed.new_ones(self.size, settings.allowed.shape[1])
            self._forget_graphs()
        settings.allowed.fill_(True)
        mark(settings.allowed, [place.row.allowed for place in self.places], True)

    def _upload_masks(self, names: Sequence[str | None], count: int, device: torch.device) -> None:
        """Choose the stack of adapters for these rows and copy to the device which columns each row has."""
        stack = self.stack = self.weights.prepare_stack(names)
        if stack is None:
            return
        columns = stack.columns_of([*names, *[None] * (count - len(names))])
        if self.masks is None or self.masked is not stack:
            self.masks = torch.zeros(1, self.size, columns.shape[1], dtype=self.weights.model.dtype, device=device)
            self.masked = stack
            self._forget_graphs(stack)
        _copy(self.masks[0], columns)

    def _forget_graphs(self, stack: Stack | None = None) -> None:
        """Drop recorded steps whose tensors have moved: all, or those with a stack of adapters."""
        if self.graphs is None:
            return
        if stack is None:
            self.graphs = Graphs()
            return
        kept = {key: graph for key, graph in self.graphs.recorded.items() if key[2] is None}  # type: ignore[index]
        self.graphs.recorded = kept

    # Prompts

    def _join(self, rows: Sequence[Row]) -> None:
        """Compute the prompts of new rows and draw their first tokens."""
        if self.pool is None:
            self.pool = Pool(count_layers(self.weights.model), self.limit, self.weights.device)
        segments, moved = self.pool.allocate([row.longest for row in rows])
        if moved:
            self._forget_graphs()
        self.stale = True
        owned = dict(zip(rows, segments, strict=True))
        families = find_families(rows)
        self._compute_shared(families, owned)
        logits, ordered = self._compute_prompts(families, owned)
        settings = make_settings(ordered, len(ordered))
        kind = Kind.of(ordered)
        if kind.penalty:
            settings.seen = torch.zeros_like(logits, dtype=torch.bool)
        if kind.choices:
            settings.allowed = torch.ones_like(logits, dtype=torch.bool)
        on_device = [getattr(settings, field.name).to(logits.device, non_blocking=True) for field in fields(settings)]
        settings = Settings(*on_device)
        if kind.penalty:
            mark(settings.seen, [row.prompt for row in ordered], False)
        if kind.choices:
            mark(settings.allowed, [row.allowed for row in ordered], True)
        tokens, logprobs = draw_tokens(logits, settings, kind)
        first = self.size + sum(map(len, self.fresh))
        self.fresh.append(tokens)
        self.places += [Place(row, owned[row], first + i) for i, row in enumerate(ordered)]
        self._fetch(ordered, tokens, logprobs)

    def _compute_shared(self, families: Sequence[Family], owned: dict[Row, Segment]) -> None:
        """Compute the prefix of each family and copy it to the segments of its prompts."""
        sharing = [family for family in families if family.shared]
        if not sharing:
            return
        pieces, copies = [], []
        for family in sharing:
            first, *others = (owned[prompt.rows[0]].start for prompt in family.prompts)
            pieces.append((family.prompts[0], 0, family.shared, first))
            copies += [(first, other, family.shared) for other in others]
        self._compute_pieces(pieces)
        assert self.pool is not None
        self.pool.copy(copies)

    def _compute_prompts(self, families: Sequence[Family], owned: dict[Row, Segment]) -> tuple[torch.Tensor, list[Row]]:
        """Compute what is left of each prompt and copy it to all rows that have it.

        Returns the logits (rows, vocabulary) after the prompts, and the rows in that order.
        """
        pieces: list[Piece] = []
        copies, rows, of = [], [], []
        for family in families:
            for prompt in family.prompts:
                first, *others = (owned[row].start for row in prompt.rows)
                copies += [(first, other, len(prompt.ids)) for other in others]
                rows += prompt.rows
                of += [len(pieces)] * len(prompt.rows)
                pieces.append((prompt, family.shared, len(prompt.ids), first))
        logits = self._compute_pieces(pieces)
        assert self.pool is not None
        if copies:
            self.pool.copy(copies)
        return logits[torch.tensor(of).to(logits.device, non_blocking=True)], rows

    def _compute_pieces(self, pieces: Sequence[Piece]) -> torch.Tensor:
        """Compute pieces of prompts and return the logits (pieces, vocabulary) after each."""
        packs: list[list[Piece]] = []
        filled = 0
        for piece in pieces:
            new = piece[2] - piece[1]
            if not packs or filled + new > PACK_TOKENS:
                packs.append([])
                filled = 0
            packs[-1].append(piece)
            filled += new
        return torch.cat([self._compute_pack(pack) for pack in packs])

    def _compute_pack(self, pack: Sequence[Piece]) -> torch.Tensor:
        """Compute pieces of prompts in one call of the model."""
        device = self.weights.device
        assert self.pool is not None
        ids: list[int] = []
        positions: list[int] = []
        where: list[int] = []
        lengths = []
        for prompt, first, end, start in pack:
            ids += prompt.ids[first:end]
            positions += range(first, end)
            where += range(start + first, start + end)
            lengths.append((end - first, start, end))
        on_device = [torch.tensor(part).to(device, non_blocking=True) for part in (ids, positions, where)]
        self.pool.where = on_device[2]
        packing = make_packing(lengths, device)
        names = [prompt.adapter for prompt, *_ in pack]
        stack = self.weights.prepare_stack(names)
        masks = []
        if stack is not None:
            kept_mask = stack.columns_of(names).to(device, self.weights.model.dtype, non_blocking=True)
            counts = torch.tensor([new for new, _, _ in lengths]).to(device, non_blocking=True)
            masks = [kept_mask.repeat_interleave(counts, 0, output_size=len(ids))[None], kept_mask[None]]
        kept = packing.bounds[1:].long() - 1
        return self._forward(on_device[0], on_device[1], packing, stack, masks, kept)


def round_rows(count: int) -> int:
    """Round a number of rows up to one of a few sizes: 1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, ..."""
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if power >= 64 and count <= power * 3 // 4 else power


def make_settings(rows: Sequence[Row], count: int) -> Settings:
    """Return the sampling parameters of rows, on the host, with places for `count` rows and one random number each."""
    free = count - len(rows)
    samplings = [row.request.sampling for row in rows]
    heats = [sampling.temperature for sampling in samplings]
    nothing = torch.empty(0, dtype=torch.bool)
    return Settings(
        cold=torch.tensor([heat == 0 for heat in heats] + [True] * free),
        heat=torch.tensor([heat or 1.0 for heat in heats] + [1.0] * free),
        top_k=torch.tensor([sampling.top_k for sampling in samplings] + [0] * free),
        top_p=torch.tensor([sampling.top_p for sampling in samplings] + [1.0] * free),
        min_p=torch.tensor([sampling.min_p for sampling in samplings] + [0.0] * free),
        penalty=torch.tensor([sampling.repeat_penalty for sampling in samplings] + [1.0] * free),
        uniform=torch.stack([row.uniform(0, 1) for row in rows]),
        step=torch.zeros(1, dtype=torch.long),
        seen=nothing,
        allowed=nothing,
    )


def mark(table: torch.Tensor, tokens: Sequence[Sequence[int]], restrict: bool) -> None:
    """Set the entries of `tokens[i]` in row i of a bool table (rows, vocabulary), and clear all others of the row.

    With `restrict`, rows without tokens are left as they are.
    """
    rows = [i for i, listed in enumerate(tokens) if listed or not restrict]
    if not rows:
        return
    device = table.device
    table[torch.tensor(rows).to(device, non_blocking=True)] = False
    width = table.shape[1]
    flat = torch.tensor([i * width + token for i in rows for token in tokens[i]], dtype=torch.long)
    table.view(-1)[flat.to(device, non_blocking=True)] = True


def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    """Copy to the first rows of a tensor on the device, without waiting for the device."""
    target[: len(source)].copy_(source, non_blocking=True)
