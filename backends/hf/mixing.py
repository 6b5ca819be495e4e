"""LoRA adapters that share a batch, with two products a layer for any number of adapters.

The matrices of all adapters are concatenated, like one adapter of a higher rank. A mask keeps the columns of each row's
own adapter. PEFT computes mixed batches too, but one adapter after another, and copies rows for each.

The product of the layer's own weights is added to the product of the adapters, so in bfloat16 the sum is rounded once.
If the adapters were added to a rounded output, values below half of its last bit would be lost. Those are a large part
of an adapter after few training steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

ODD = ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "alora_invocation_tokens")
"""Settings of a PEFT adapter that do more than add a product of two matrices."""


def can_stack(peft: Any, names: Sequence[str]) -> bool:
    """Return whether these adapters only add B A x * scaling to the outputs of linear layers."""
    if any(getattr(peft.peft_config[name], setting, None) for name in names for setting in ODD):
        return False
    return all(_is_plain(layer, name) for layer in _layers(peft) for name in names)


def _is_plain(layer: Any, name: str) -> bool:
    if name in layer.lora_embedding_A or name in layer.lora_variant:
        return False
    return name not in layer.lora_A or isinstance(layer.lora_A[name], torch.nn.Linear)


def _layers(peft: Any) -> Iterator[Any]:
    from peft.tuners.lora import LoraLayer

    return (module for module in peft.modules() if isinstance(module, LoraLayer))


class Stack:
    """Adapters of a PEFT model, applied to its linear layers within `on` or `masked`."""

    def __init__(self, peft: Any, names: Sequence[str]) -> None:
        layers = [layer for layer in _layers(peft) if any(name in layer.lora_A for name in names)]
        self.ranks = {name: max(layer.r.get(name, 0) for layer in layers) for name in names}
        self.mask: torch.Tensor | None = None
        """(rows, 1, sum of ranks), or (1, tokens, sum of ranks) for a packed batch: 1 where a column belongs to the
        adapter of the row or token, else 0. None outside of `on` and `masked`."""
        self.kept: torch.Tensor | None = None
        """The mask (1, tokens, sum of ranks) of the output layer, where that computes fewer tokens than the rest."""
        self.undo = [self._join_in(layer) for layer in layers]

    def remove(self) -> None:
        """Restore the layers of the model."""
        for undo in self.undo:
            undo()

    def on(self, names: Sequence[str]) -> AbstractContextManager[None]:
        """Apply the adapter `names[i]` to row i of the batch within this context; any other name is the base."""
        return self.masked(self.columns_of(names)[:, None])

    def columns_of(self, names: Sequence[str | None]) -> torch.Tensor:
        """Return the mask (names, sum of ranks), on the CPU: 1 where a column belongs to the adapter of that name."""
        owners = [other for other, rank in self.ranks.items() for _ in range(rank)]
        rows = {name: [float(name == owner) for owner in owners] for name in set(names)}
        return torch.tensor([rows[name] for name in names])

    @contextmanager
    def masked(self, mask: torch.Tensor, kept: torch.Tensor | None = None) -> Iterator[None]:
        """Apply the adapters to a batch with these masks within this context; see `mask` and `kept`."""
        self.mask, self.kept = mask, kept
        try:
            yield
        finally:
            self.mask = self.kept = None

    def _join_in(self, layer: Any) -> Callable[[], None]:
        """Make the layer's base layer add the adapters, and return a function that undoes that."""
        base, matrices = layer.base_layer, self._matrices(layer)
        plain = type(base) is torch.nn.Linear and "forward" not in vars(base)
        if plain:
            base.forward = partial(self._sum, *matrices, base)
            return partial(delattr, base, "forward")
        undo: Callable[[], None] = base.register_forward_hook(partial(self._add, *matrices)).remove
        return undo

    @torch.no_grad()
    def _matrices(self, layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return A (sum of ranks, in) and scaled B (out, sum of ranks); 0 for adapters without this layer."""
        some = next(layer.lora_A[name].weight for name in self.ranks if name in layer.lora_A)
        base = layer.base_layer.weight
        dtype = base.dtype if base.is_floating_point() else some.dtype
        width = sum(self.ranks.values())
        down = some.new_zeros(width, layer.in_features, dtype=dtype)
        up = some.new_zeros(layer.out_features, width, dtype=dtype)
        start = 0
        for name, rank in self.ranks.items():
            if name in layer.lora_A:
                end = start + layer.r[name]
                down[start:end] = layer.lora_A[name].weight
                up[:, start:end] = layer.lora_B[name].weight * layer.scaling[name]
            start += rank
        return down, up

    def _sum(self, down: torch.Tensor, up: torch.Tensor, base: torch.nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
        """Return the output of a plain linear layer with the adapters, rounded once."""
        if self.mask is None:
            return linear(inputs, base.weight, base.bias)
        added = linear(self._low(inputs, down), up, base.bias)
        added.flatten(0, -2).addmm_(inputs.flatten(0, -2), base.weight.t())
        return added

    def _add(
        self, down: torch.Tensor, up: torch.Tensor, module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> torch.Tensor | None:
        """Return the output of another linear layer, such as a quantised one, with the adapters added."""
        if self.mask is None:
            return None
        return output + linear(self._low(inputs[0], down), up).to(output.dtype)

    def _low(self, inputs: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        """Return A x (rows, tokens, sum of ranks), with 0 in the columns of other rows' adapters."""
        low = linear(inputs.to(down.dtype), down)
        self.mask = torch.as_tensor(self.mask).to(low)  # once for all layers
        if self.kept is not None and self.mask.shape[1] != low.shape[1]:
            return low.mul_(self.kept)
        return low.mul_(self.mask)
