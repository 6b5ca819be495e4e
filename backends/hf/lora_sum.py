"""LoRA layers in training: a layer's own output and what the adapter adds, summed in float32 and rounded once.

A bfloat16 has eight significant bits. Added to an output that is rounded already, a number smaller than a 512th of it
is lost. A new adapter adds such numbers: its first steps would not change the loss. Here the layer's own product begins
with what the adapter adds, and its float32 sums are rounded at the end. This costs neither time nor memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear


@contextmanager
def rounded_once(model: Any, name: str, dtype: torch.dtype | None) -> Iterator[None]:
    """Within, layers with the LoRA adapter `name` round their sums once, in `dtype`; where it is None, nothing changes.

    Layers that are not plain or that hold four bits give float32 sums instead, at a cost of time and memory.
    """
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)] if dtype is not None else []
    with ExitStack() as undo:
        for layer in layers:
            if is_plain(layer, name):
                layer.forward = partial(_forward, layer, name)
                undo.callback(delattr, layer, "forward")
            else:
                undo.callback(layer.base_layer.register_forward_hook(lambda _, __, output: output.float()).remove)
        yield


def is_plain(layer: Any, name: str) -> bool:
    """Return whether a PEFT layer adds just the product of two matrices to a linear layer's output."""
    if name not in layer.lora_A or type(layer.base_layer) is not torch.nn.Linear or name in layer.lora_variant:
        return False
    return type(layer.lora_A[name]) is torch.nn.Linear and layer.lora_B[name].bias is None


def _forward(layer: Any, name: str, inputs: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    down, up, base = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.base_layer
    weight = base.weight
    inputs = inputs.to(down.dtype)
    drop = layer.lora_dropout[name]
    dropped = None if isinstance(drop, torch.nn.Identity) else drop(inputs)
    if torch.compiler.is_compiling():  # which writes a backward pass of its own
        low = linear(inputs if dropped is None else dropped, down) * layer.scaling[name]
        added = linear(low, up, base.bias)
        return torch.addmm(added.flatten(0, -2), inputs.flatten(0, -2), weight.t()).view_as(added)
    apply: Callable[..., torch.Tensor] = LoraSum.apply
    return apply(inputs, dropped, weight, base.bias, down, up, layer.scaling[name])


class LoraSum(torch.autograd.Function):
    """`linear(inputs, weight, bias) + scale * linear(linear(dropped, down), up)` of frozen weights.

    `dropped` is the inputs after dropout, None where there is no dropout.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        dropped: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """`inputs` has shape (..., in), `weight` (out, in), `down` (rank, in), `up` (out, rank)."""
        flat = inputs.flatten(0, -2)
        source = flat if dropped is None else dropped.flatten(0, -2)
        low = linear(source, down) * scale
        output = linear(low, up, bias).addmm_(flat, weight.t())
        ctx.save_for_backward(source, weight, down, up, low)
        ctx.scale, ctx.shape, ctx.drops = scale, inputs.shape, dropped is not None
        return output.view(*inputs.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the inputs and of the two matrices; the weights are frozen."""
        source, weight, down, up, low = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2)
        of_up = gradient.t() @ low
        of_low = (gradient @ up) * ctx.scale
        of_down = of_low.t() @ source
        of_source, of_inputs = of_low @ down, None
        if ctx.drops:
            of_inputs = (gradient @ weight).view(ctx.shape)
            return of_inputs, of_source.view(ctx.shape), None, None, of_down, of_up, None
        return of_source.addmm_(gradient, weight).view(ctx.shape), None, None, None, of_down, of_up, None
