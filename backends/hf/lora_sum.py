"""LoRA layers in training: a layer's own output and what the adapter adds, summed in float32 and rounded once.

A bfloat16 has eight significant bits. Added to an output that is rounded already, a number smaller than a 512th of it
is lost. A new adapter adds such numbers: its first steps would not change the loss. Here the layer's own product begins
with what the adapter adds, and its float32 sums are rounded at the end. This costs neither time nor memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch.nn.functional import linear


@contextmanager
def rounded_once(model: Any, name: str, dtype: torch.dtype | None) -> Iterator[None]:
    """Round the sums of layers with the LoRA adapter `name` once, to `dtype`, within this context.

    None leaves the layers unchanged. Layers of other kinds, such as those with 8-bit weights, return float32 sums,
    which take more time and memory.
    """
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)] if dtype is not None else []
    with ExitStack() as undo:
        for layer in layers:
            if is_plain(layer, name):
                kind: Any = type(layer)
                undo.callback(setattr, layer, "__class__", kind)
                layer.__class__ = _rounding(kind, name)
            else:
                undo.callback(layer.base_layer.register_forward_hook(lambda _, __, output: output.float()).remove)
        yield


def is_plain(layer: Any, name: str) -> bool:
    """Return whether a PEFT layer adds just the product of two matrices to a linear layer's output."""
    if name not in layer.lora_A or name in layer.lora_variant or not _has_weights(layer.base_layer):
        return False
    return type(layer.lora_A[name]) is torch.nn.Linear and layer.lora_B[name].bias is None


def _has_weights(base: Any) -> bool:
    """Return whether a layer is linear, with weights as they are or in four bits."""
    return type(base) is torch.nn.Linear or getattr(base.weight, "quant_state", None) is not None


@cache
def _rounding(kind: Any, name: str) -> type:
    """Return a PEFT layer's class with another forward pass.

    The layers of a model share it, so that the compiler takes them for alike, which it would not if each had a forward
    pass of its own.
    """

    def forward(self: Any, inputs: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        down, up, base = self.lora_A[name].weight, self.lora_B[name].weight, self.base_layer
        drop = self.lora_dropout[name]
        inputs = inputs.to(down.dtype)
        dropped = None if isinstance(drop, torch.nn.Identity) else drop(inputs)
        if torch.compiler.is_compiling():  # which writes a backward pass of its own
            low = linear(inputs if dropped is None else dropped, down) * self.scaling[name]
            added = linear(low, up, base.bias)
            return torch.addmm(added.flatten(0, -2), inputs.flatten(0, -2), _weights(base).t()).view_as(added)
        apply: Callable[..., torch.Tensor] = LoraSum.apply
        held = base.weight if type(base) is torch.nn.Linear else base
        return apply(inputs, dropped, held, base.bias, down, up, self.scaling[name])

    return type(kind.__name__, (kind,), {"forward": forward})


def _weights(base: Any) -> torch.Tensor:
    """Return a layer's weights (out, in), dequantized from 4 bits if needed."""
    state = getattr(base.weight, "quant_state", None)
    if state is None:
        weight: torch.Tensor = base.weight
        return weight
    from bitsandbytes.functional import dequantize_4bit

    dequantize: Callable[..., torch.Tensor] = dequantize_4bit
    return dequantize(base.weight.data, state)


class LoraSum(torch.autograd.Function):
    """`linear(inputs, weight, bias) + scale * linear(linear(dropped, down), up)` of frozen weights.

    `dropped` is the inputs after dropout, or None without dropout.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        dropped: torch.Tensor | None,
        held: Any,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Compute the sum. `inputs` has shape (..., in), `down` (rank, in), `up` (out, rank).

        `held` is the weights (out, in), or a layer that holds them in four bits: these are expanded in each pass.
        """
        whole = isinstance(held, torch.Tensor)
        weight = held if whole else _weights(held)
        flat = inputs.flatten(0, -2)
        source = flat if dropped is None else dropped.flatten(0, -2)
        low = linear(source, down) * scale
        output = linear(low, up, bias).addmm_(flat, weight.to(flat.dtype).t())
        ctx.save_for_backward(source, held if whole else None, down, up, low)
        ctx.held, ctx.scale, ctx.shape, ctx.drops = None if whole else held, scale, inputs.shape, dropped is not None
        return output.view(*inputs.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the inputs and of the two matrices; the weights are frozen."""
        source, weight, down, up, low = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2)
        weight = (_weights(ctx.held) if weight is None else weight).to(gradient.dtype)
        of_up = gradient.t() @ low
        of_low = (gradient @ up) * ctx.scale
        of_down = of_low.t() @ source
        of_source = of_low @ down
        if ctx.drops:
            of_inputs = (gradient @ weight).view(ctx.shape)
            return of_inputs, of_source.view(ctx.shape), None, None, of_down, of_up, None
        return of_source.addmm_(gradient, weight).view(ctx.shape), None, None, None, of_down, of_up, None
