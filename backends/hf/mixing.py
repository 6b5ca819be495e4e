"""LoRA adapters that share a batch: two products a layer for all of them, whatever their number.

The matrices of all adapters are put side by side, as if they were one adapter of a higher rank, and each row keeps
only the part of its own. PEFT computes mixed batches too, but one adapter after another, and copies rows for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

ODD = ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "alora_invocation_tokens")
"""Settings of a PEFT adapter that do more than add the product of two matrices."""


def can_stack(peft: Any, names: Sequence[str]) -> bool:
    """Whether these adapters do nothing but add B A x * scaling to the outputs of linear layers."""
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
    """Some adapters of a PEFT model, applied to its layers' outputs within `on` and nowhere else."""

    def __init__(self, peft: Any, names: Sequence[str]) -> None:
        layers = [layer for layer in _layers(peft) if any(name in layer.lora_A for name in names)]
        self.ranks = {name: max(layer.r.get(name, 0) for layer in layers) for name in names}
        self.mask: torch.Tensor | None = None
        """(rows, 1, sum of ranks): 1 where a column belongs to the row's adapter. None outside of `on`."""
        self.hooks = [
            layer.base_layer.register_forward_hook(partial(self._add, *self._join(layer))) for layer in layers
        ]

    def remove(self) -> None:
        """Leave the model as it was."""
        for hook in self.hooks:
            hook.remove()

    @contextmanager
    def on(self, names: Sequence[str]) -> Iterator[None]:
        """Within, row i of the batch has the adapter `names[i]`; any other name is that of the base."""
        owners = [other for other, rank in self.ranks.items() for _ in range(rank)]
        self.mask = torch.tensor([[[float(name == owner) for owner in owners]] for name in names])
        try:
            yield
        finally:
            self.mask = None

    @torch.no_grad()
    def _join(self, layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """A (sum of ranks, in) and B (out, sum of ranks), scaled; 0 where an adapter has no part in this layer."""
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

    def _add(
        self, down: torch.Tensor, up: torch.Tensor, module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> torch.Tensor | None:
        """The output of a linear layer with what the adapters add to it."""
        if self.mask is None:
            return None
        low = linear(inputs[0].to(down.dtype), down)
        self.mask = self.mask.to(low)  # once for all layers
        return output + linear(low * self.mask, up).to(output.dtype)
