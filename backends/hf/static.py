"""Decoding over a static cache: all tensors of a step have fixed addresses, so CUDA graphs run the steps.

The number of rows is rounded up to one of a few sizes. Inputs that depend on the rows are tensors of fixed addresses:
last tokens, lengths, positions in the cache, adapters, sampling parameters and random numbers. Tokens are drawn on the
device and read one step late, while the device computes the next step. For a row that ends by its text, one step more
has been computed by then; its token is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from backends.hf.decode import Batch
from backends.hf.drawing import Kind, draw_tokens
from backends.hf.graphs import Graphs
from backends.hf.inputs import AHEAD, Inputs, Slot, copy_first, make_first_settings
from backends.hf.mixing import Stack
from backends.hf.norms import find_norms, fused_norms
from backends.hf.packed import Packing, count_layers, packed_attention
from backends.hf.pool import Pool
from backends.hf.prefill import Prefill
from backends.hf.rows import Row
from backends.hf.weights import Weights

SHORTEST_WINDOW = 256
"""Minimum, in tokens, of the lengths for which a step is prepared; larger ones are powers of two."""


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


class StaticBatch:
    """Rows that are decoded together over a pool of at most `tokens` tokens, `slots` rows at most.

    `graphs` records steps as CUDA graphs; without them the same steps run kernel by kernel, on any device. Rows with
    adapters that cannot be stacked are decoded by a dynamic `Batch`.
    """

    def __init__(self, weights: Weights, slots: int, tokens: int, graphs: bool | None = None) -> None:
        self.weights, self.limit, self.size = weights, tokens, round_rows(slots)
        self.with_graphs = weights.device.type == "cuda" if graphs is None else graphs
        self.norms = find_norms(weights.model)
        self.dynamic = Batch(weights)
        self.clear()

    def clear(self) -> None:
        """Drop all rows, the cache and everything recorded."""
        self.dynamic.clear()
        self.slots: list[Slot] = []
        self.ending: list[Row] = []
        self.unread: list[Drawn] = []
        self.first_tokens: list[torch.Tensor] = []
        self.pool: Pool | None = None
        self.inputs: Inputs | None = None
        self.release()

    def release(self) -> None:
        """Drop recorded steps and, where there are no rows, the cache. Both are made again when needed."""
        if self.with_graphs:
            torch.cuda.synchronize()  # a graph may be running
        self.graphs = Graphs() if self.with_graphs else None
        self.stale = True
        """Whether the inputs of a step belong to other rows than the present ones."""
        self.masks_fit = False
        self.stack: Stack | None = None
        """The adapters of the present rows, None for the base alone."""
        self.masked: Stack | None = None
        """The last stack; `masks` (1, size, sum of ranks) says which of its columns each row has."""
        self.masks: torch.Tensor | None = None
        if not self.slots:
            self.pool = None

    @property
    def rows(self) -> list[Row]:
        """Rows that were not returned yet."""
        return [*self.dynamic.rows, *(slot.row for slot in self.slots), *self.ending]

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
        if self.slots:
            self._step()
        if joining:
            self._join(joining)
        if any(slot.must_be_read for slot in self.slots):  # what may come next depends on what was drawn
            unread, self.unread = [*unread, *self.unread], []
        for drawn in unread:
            drawn.read()
        share = (time.perf_counter() - started) / max(len(everyone), 1)
        for row in everyone:
            row.seconds += share
        ended = {row for row in everyone if row.ended}  # asked once: another thread may cancel a row at any time
        self._drop_finished()
        self.ending = [row for row in self.ending if row not in ended]
        return [row for row in everyone if row in ended]

    def _drop_finished(self) -> None:
        """Make rows that need no more steps `ending`: their last token may be unread, and they were not returned."""
        assert self.pool is not None or not self.slots
        kept = []
        for slot in self.slots:
            if not slot.finished:
                kept.append(slot)
                continue
            assert self.pool is not None
            self.pool.free(slot.segment)
            self.stale = True
            self.ending.append(slot.row)
        self.slots = kept

    # One step

    def _step(self) -> None:
        """Launch one more token for every row."""
        rows = [slot.row for slot in self.slots]
        if self.stale:
            self._upload()
        elif self.steps == AHEAD:
            self._upload_uniform()
        self._choose_stack([row.request.adapter for row in rows])
        inputs = self._inputs()
        if self.kind.forced:
            inputs.upload_forced(self.slots)
        if self.kind.choices and inputs.upload_allowed(self.slots):
            self._drop_graphs()
        longest = max(len(slot.row.prompt) + slot.drawn for slot in self.slots)
        count, columns = round_rows(len(rows)), max(SHORTEST_WINDOW, 1 << (longest - 1).bit_length())
        compute = partial(self._compute, count, columns, self.stack, self.kind)
        if self.graphs is None:
            compute()
        else:
            self.graphs.run((count, columns, self.stack, self.kind), compute, inputs.changing)
        self.steps += 1
        for slot in self.slots:
            slot.drawn += 1
        self._fetch(rows, inputs.ids, inputs.logprobs)

    def _compute(self, count: int, columns: int, stack: Stack | None, kind: Kind) -> None:
        """Compute one step of the first `count` rows in place. Only tensors of fixed addresses are used."""
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
        with packed_attention(self.weights.model, packing), fused_norms(self.norms):
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
        inputs = self._inputs()
        assert self.pool is not None
        rows = [slot.row for slot in self.slots]
        inputs.gather_last(self.slots, self.first_tokens)
        self.first_tokens = []
        inputs.upload(self.slots, round_rows(len(rows)), self.pool.tokens)
        self._upload_uniform()
        self.kind = Kind.of(rows)
        if self.kind.penalty and inputs.upload_seen(self.slots):
            self._drop_graphs()
        self.stale = self.masks_fit = False

    def _upload_uniform(self) -> None:
        self._inputs().upload_uniform(self.slots)
        self.steps = 0

    def _choose_stack(self, names: Sequence[str | None]) -> None:
        """Put the weights of these rows in place: scoring may have put others there since the last step.

        Where rows or stack are new, copy to the device which columns of the stack each row has.
        """
        stack = self.weights.prepare_stack(names)
        if stack is self.stack and self.masks_fit:
            return
        self.stack, self.masks_fit = stack, True
        if stack is None:
            return
        columns = stack.columns_of(names)
        if self.masks is None or self.masked is not stack:
            size, model = columns.shape[1], self.weights.model
            self.masks = torch.zeros(1, self.size, size, dtype=model.dtype, device=model.device)
            self.masked = stack
            self._drop_graphs(stack)
        copy_first(self.masks[0], columns)

    def _drop_graphs(self, stack: Stack | None = None) -> None:
        """Drop recorded steps whose tensors have moved: all, or those with a stack of adapters."""
        if self.graphs is None:
            return
        torch.cuda.synchronize()  # a graph may be running
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
        if not self.slots:
            self.first_tokens = []
        segments, moved = self.pool.allocate([row.longest for row in rows])
        if moved:
            self._drop_graphs()
        self.stale = True
        owned = dict(zip(rows, segments, strict=True))
        logits, ordered = Prefill(self.weights, self.pool, self._forward).compute(owned)
        tokens, logprobs = draw_tokens(logits, make_first_settings(ordered, logits), Kind.of(ordered))
        first = self.size + sum(map(len, self.first_tokens))
        self.first_tokens.append(tokens)
        self.slots += [Slot(row, owned[row], first + number) for number, row in enumerate(ordered)]
        self._fetch(ordered, tokens, logprobs)


def round_rows(count: int) -> int:
    """Round a number of rows up to one of a few sizes: 1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, ..."""
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if power >= 64 and count <= power * 3 // 4 else power
