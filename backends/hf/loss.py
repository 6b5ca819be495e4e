"""The training loss: cross-entropy over the learned tokens alone, without holding all logits at once.

Logits exist for a chunk of tokens at a time. Their gradients are computed in the same pass, so that nothing of the size
(tokens, vocabulary) is kept for the backward pass (Hsu et al. 2024, Liger Kernel, arXiv 2410.10989, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

from backends.hf.working import is_shard
from backends.training import LOGITS

MULTIPLE = 64
"""On a GPU, the length of a batch is rounded up to a multiple of this, so that few shapes occur."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """A batch of training rows on its device, padded on the right. Under causal attention padding needs no mask."""

    ids: torch.Tensor
    """(rows, columns)"""
    positions: torch.Tensor
    """(learned,): places in the flattened batch whose next token is learned."""
    labels: torch.Tensor
    """(learned,): those next tokens."""
    weights: torch.Tensor | None = None
    """(learned,): weights of those tokens in the loss; None if all are 1."""


def collate(rows: Sequence[tuple[list[int], int]], device: torch.device, weights: Sequence[float] = ()) -> Inputs:
    """Return rows of (tokens, start of the learned part) as one batch. Nothing waits for the device.

    `weights` has one number for each row.
    """
    longest = max(len(ids) for ids, _ in rows)
    columns = -(-longest // MULTIPLE) * MULTIPLE if device.type == "cuda" else longest
    padded = [ids + [0] * (columns - len(ids)) for ids, _ in rows]
    positions = [row * columns + at - 1 for row, (ids, start) in enumerate(rows) for at in range(start, len(ids))]
    labels = [token for ids, start in rows for token in ids[start:]]
    parts = [torch.tensor(part, dtype=torch.long) for part in (padded, positions, labels)]
    if weights:
        each = [weight for (ids, start), weight in zip(rows, weights, strict=True) for _ in range(start, len(ids))]
        parts.append(torch.tensor(each, dtype=torch.float32))
    if device.type == "cuda":
        parts = [part.pin_memory().to(device, non_blocking=True) for part in parts]
    return Inputs(*parts)


class Loss:
    """The sum of the cross-entropies of a batch's learned tokens under a causal language model.

    `forward` is the model, or a wrapper around it. A model whose logits are not simply the output of its last layer,
    one that caps them for example, computes them itself, at the learned positions.
    """

    def __init__(self, model: Any, forward: Any, dtype: torch.dtype | None, plain: bool = False) -> None:
        self.model, self.forward, self.dtype = model, forward, dtype
        self.head = model.get_output_embeddings()
        self.sharded = any(map(is_shard, model.parameters()))
        """Whether FSDP gathers the weights, in the precision of the arithmetic."""
        others = (p.is_floating_point() and p.dtype != dtype for p in model.parameters())
        self.mixed = dtype is not None and not self.sharded and any(others)
        """Whether some parameters have another precision than the arithmetic, so that autocast must choose."""
        with self._precision():
            self.fused = not plain and self._is_last()
        _free_gathered(model)
        self.frozen: torch.Tensor | None = None
        """The last layer's weights in the precision of the arithmetic, if training does not change them."""

    def _is_last(self) -> bool:
        """Return whether the model's logits are the unchanged output of its last layer, a linear one without bias."""
        if type(self.head) is not torch.nn.Linear or self.head.bias is not None:
            return False
        outputs: list[tuple[torch.Tensor, int]] = []  # with the number of changes in place until then
        hook = self.head.register_forward_hook(lambda _, __, output: outputs.append((output, output._version)))
        try:
            with torch.no_grad():
                logits = self.forward(input_ids=torch.zeros(1, 2, dtype=torch.long, device=self.model.device)).logits
        finally:
            hook.remove()
        return len(outputs) == 1 and logits is outputs[0][0] and logits._version == outputs[0][1]

    def __call__(self, batch: Inputs, scale: float = 1.0) -> torch.Tensor:
        """Return `scale` times the weighted sum over the learned tokens, in nats, as a float32 scalar on the device."""
        with self._precision():
            if not self.fused:
                if batch.weights is None:
                    return cross_entropy(self._logits(batch).float(), batch.labels, reduction="sum") * scale
                each = cross_entropy(self._logits(batch).float(), batch.labels, reduction="none")
                return (each * batch.weights).sum() * scale
            apply: Callable[..., torch.Tensor] = LinearCrossEntropy.apply
            if self.sharded:
                return self._in_head(
                    batch, lambda hidden, weight: apply(hidden, weight, batch.labels, scale, batch.weights)
                )
            hidden = self._hidden(batch)
            weight = self._weight(hidden.dtype)
            return apply(hidden.to(weight.dtype), weight, batch.labels, scale, batch.weights)

    def logprobs(self, batch: Inputs) -> torch.Tensor:
        """Return the log-probability (learned,) of each learned token, float32. Logits are computed again backwards."""
        with self._precision():
            if not self.fused:
                logits = self._logits(batch).float()
                return logits.gather(1, batch.labels[:, None])[:, 0] - logits.logsumexp(-1)
            hidden = self._hidden(batch)
            weight = self._weight(hidden.dtype)
            hidden, size = hidden.to(weight.dtype), max(LOGITS // weight.shape[0], 1)
            parts = zip(torch.split(hidden, size), torch.split(batch.labels, size), strict=True)
            compute: Any = checkpoint
            found = [compute(_logprobs, part, weight, labels, use_reentrant=False) for part, labels in parts]
            return torch.cat([hidden.new_zeros(0, dtype=torch.float32), *found])

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Leave dropout out within this context."""
        self.forward.eval()
        try:
            yield
        finally:
            self.forward.train()

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return torch.device(self.model.device)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.model.device.type, self.dtype or torch.bfloat16, enabled=self.mixed)

    def _logits(self, batch: Inputs) -> torch.Tensor:
        """Return logits (learned, vocabulary); the last layer sees the learned positions alone."""

        def pick(_: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            return (inputs[0].flatten(0, -2)[batch.positions],)

        hook = self.head.register_forward_pre_hook(pick)
        try:
            logits: torch.Tensor = self.forward(input_ids=batch.ids, use_cache=False).logits
            return logits
        finally:
            hook.remove()

    def _hidden(self, batch: Inputs) -> torch.Tensor:
        """Return the last layer's inputs (learned, hidden), without computing its output."""
        found: list[torch.Tensor] = []

        def take(inputs: torch.Tensor) -> torch.Tensor:
            found.append(inputs.flatten(0, -2)[batch.positions])
            return inputs[:1, :1]

        self.head.forward = take
        try:
            self.forward(input_ids=batch.ids, use_cache=False)
        finally:
            del self.head.forward
        return found[0]

    def _in_head(self, batch: Inputs, compute: Callable[..., torch.Tensor]) -> torch.Tensor:
        """Return the scalar that `compute` returns for the last layer's inputs (learned, hidden) and weights.

        It is computed in place of the layer's output: only there are sharded weights gathered.
        """

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            hidden = inputs.flatten(0, -2)[batch.positions]
            return compute(hidden.to(self.head.weight.dtype), self.head.weight).view(1, 1, 1)

        self.head.forward = forward
        try:
            found: torch.Tensor = self.forward(input_ids=batch.ids, use_cache=False).logits
            return found.view(())
        finally:
            del self.head.forward

    def _weight(self, dtype: torch.dtype) -> torch.Tensor:
        weight: torch.Tensor = self.head.weight
        wanted = self.dtype or dtype
        if weight.requires_grad:
            return weight.to(wanted)
        if self.frozen is None:
            self.frozen = weight.to(wanted)
        return self.frozen


def _free_gathered(model: Any) -> None:
    """Free the weights that FSDP keeps after a forward pass for a backward pass, which does not come."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _logprobs(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = linear(hidden, weight).float()
    return logits.gather(1, labels[:, None])[:, 0] - logits.logsumexp(-1)


class LinearCrossEntropy(torch.autograd.Function):
    """`scale` times the weighted sum of the cross-entropies of `linear(hidden, weight)`, in chunks of tokens."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        scale: float,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`hidden` has shape (tokens, hidden), `weight` (vocabulary, hidden), `labels` and `weights` (tokens,)."""
        total = hidden.new_zeros((), dtype=torch.float32)
        ctx.of_hidden = torch.empty_like(hidden)
        ctx.of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        size = max(LOGITS // weight.shape[0], 1)
        for start in range(0, len(labels), size):
            part, wanted = hidden[start : start + size], labels[start : start + size, None]
            logits = linear(part, weight).float()
            each = logits.logsumexp(-1) - logits.gather(1, wanted)[:, 0]
            share = None if weights is None else weights[start : start + size]
            total += (each if share is None else each * share).sum()
            # The gradient of the loss by the logits: the probabilities, less 1 at the label.
            slopes = logits.softmax(-1)
            slopes.scatter_add_(1, wanted, slopes.new_full((1, 1), -1.0).expand_as(wanted))
            if share is not None:
                slopes.mul_(share[:, None])
            slopes = slopes.mul_(scale).to(hidden.dtype)
            ctx.of_hidden[start : start + size] = slopes @ weight
            if ctx.of_weight is not None:
                ctx.of_weight.addmm_(slopes.t(), part)
        return total * scale

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None, None, None]:
        """Multiply the gradients that the forward pass has computed."""
        of_hidden, of_weight = ctx.of_hidden, ctx.of_weight
        ctx.of_hidden = ctx.of_weight = None  # the loss may live on while the next batch is computed
        outer = gradients[0].to(of_hidden.dtype)
        return of_hidden.mul_(outer), None if of_weight is None else of_weight.mul_(outer), None, None, None
