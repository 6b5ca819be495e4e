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
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

from society.core.errors import BackendError

ODD = ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "alora_invocation_tokens")
"""Settings of a PEFT adapter that do more than add a product of two matrices."""


def can_stack(peft: Any, names: Sequence[str]) -> bool:
    """Return whether these adapters only add B A x * scaling to the outputs of linear layers."""
    if any(getattr(peft.peft_config[name], setting, None) for name in names for setting in ODD):
        return False
    return all(_is_plain(layer, name) for layer in _layers(peft) for name in names)


def _disable(layer: Any) -> Callable[[], None]:
    """Let PEFT's layer compute its base layer alone, and return a function that undoes that."""
    layer._disable_adapters = True
    return partial(setattr, layer, "_disable_adapters", False)


def is_linear(layer: Any) -> bool:
    """Return whether a layer of the base computes a product with its weights and no more.

    Routers of some models derive from linear layers, but return more than the product.
    """
    from transformers.pytorch_utils import Conv1D

    if not isinstance(layer, (torch.nn.Linear, Conv1D)):
        return hasattr(getattr(layer, "weight", None), "quant_state")
    if type(layer).forward in (torch.nn.Linear.forward, Conv1D.forward) or hasattr(layer.weight, "quant_state"):
        return True
    outputs, inputs = layer.weight.shape
    with torch.no_grad():
        output = layer(layer.weight.new_zeros(1, 1, inputs))
    return isinstance(output, torch.Tensor) and output.shape == (1, 1, outputs)


def _is_plain(layer: Any, name: str) -> bool:
    if name in layer.lora_embedding_A or name in layer.lora_variant:
        return False
    return name not in layer.lora_A or isinstance(layer.lora_A[name], torch.nn.Linear)


def find_sizes(model: Any) -> dict[str, tuple[int, int]]:
    """Return the inputs and outputs of each layer that can have an adapter, by name. Those of embeddings are tokens."""
    from transformers.pytorch_utils import Conv1D

    sizes = {}
    for name, module in model.named_modules():
        if isinstance(module, Conv1D):
            sizes[name] = (module.nx, module.nf)
        elif isinstance(module, torch.nn.Embedding):
            sizes[name] = (module.num_embeddings, module.embedding_dim)
        elif hasattr(module, "in_features"):
            sizes[name] = (module.in_features, module.out_features)
    return sizes


def _layers(peft: Any) -> Iterator[Any]:
    from peft.tuners.lora import LoraLayer

    return (module for module in peft.modules() if isinstance(module, LoraLayer))


@dataclass(eq=False)
class Part:
    """The matrices of a stack for one layer."""

    down: torch.Tensor
    """A (sum of ranks, in)."""
    up: torch.Tensor
    """B (out, sum of ranks), scaled."""
    followers: list[Part] = field(default_factory=list)
    """Layers that get the same input after this one."""

    def __post_init__(self) -> None:
        self.joined = self.down
        """A of this layer and its followers, one below another."""

    def lead(self, follower: Part) -> None:
        """Let a layer share this layer's product from now on."""
        self.followers.append(follower)
        self.joined = torch.cat([self.joined, follower.down])


class Stack:
    """Adapters of a PEFT model, applied to its linear layers within `on` or `masked`.

    With `shared`, layers with the same input share a product from the second call on. The last digits of a result may
    then differ between the first call and later ones.
    """

    def __init__(self, peft: Any, names: Sequence[str], shared: bool = False) -> None:
        self.shared = shared
        layers = [layer for layer in _layers(peft) if any(name in layer.lora_A for name in names)]
        self.ranks = {name: max(layer.r.get(name, 0) for layer in layers) for name in names}
        self.mask: torch.Tensor | None = None
        """(rows, 1, sum of ranks), or (1, tokens, sum of ranks) for a packed batch: 1 where a column belongs to the
        adapter of the row or token, else 0. None outside of `on` and `masked`."""
        self.kept: torch.Tensor | None = None
        """The mask (1, tokens, sum of ranks) of the output layer, where that computes fewer tokens than the rest."""
        self.columns = 0
        """Tokens of each row of the batch, padding included; of a packed batch, all tokens."""
        self.tiled: dict[tuple[torch.Size, int], torch.Tensor] = {}
        """Masks in the precision of the products, by the shape of these and their number of repetitions."""
        self.last: tuple[torch.Tensor, Part, dict[Part, torch.Tensor]] | None = None
        """The last input, the first layer that got it, and finished products of layers that will get it."""
        self.undo = [_disable(layer) for layer in _layers(peft)] + [self._join_in(layer) for layer in layers]

    def remove(self) -> None:
        """Restore the layers of the model."""
        for undo in self.undo:
            undo()

    def on(self, names: Sequence[str], columns: int) -> AbstractContextManager[None]:
        """Apply the adapter `names[i]` to row i of a batch with this number of columns within this context; any other
        name is the base."""
        return self.masked(self.columns_of(names)[:, None], columns)

    def columns_of(self, names: Sequence[str | None]) -> torch.Tensor:
        """Return the mask (names, sum of ranks), on the CPU: 1 where a column belongs to the adapter of that name."""
        owners = [other for other, rank in self.ranks.items() for _ in range(rank)]
        rows = {name: [float(name == owner) for owner in owners] for name in set(names)}
        return torch.tensor([rows[name] for name in names])

    @contextmanager
    def masked(self, mask: torch.Tensor, columns: int, kept: torch.Tensor | None = None) -> Iterator[None]:
        """Apply the adapters to a batch with these masks within this context; see the attributes of these names."""
        self.mask, self.columns, self.kept = mask, columns, kept
        try:
            yield
        finally:
            self.mask = self.kept = self.last = None
            self.tiled = {}

    def _join_in(self, layer: Any) -> Callable[[], None]:
        """Make the layer's base layer add the adapters, and return a function that undoes that."""
        base, part = layer.base_layer, self._make_part(layer)
        plain = type(base) is torch.nn.Linear and "forward" not in vars(base)
        if plain:
            base.forward = partial(self._sum, part, base)
            return partial(delattr, base, "forward")
        undo: Callable[[], None] = base.register_forward_hook(partial(self._add, part)).remove
        return undo

    @torch.no_grad()
    def _make_part(self, layer: Any) -> Part:
        """Return the matrices of all adapters for a layer; 0 for adapters without this layer."""
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
        return Part(down, up)

    def _sum(self, part: Part, base: torch.nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
        """Return the output of a plain linear layer with the adapters, rounded once."""
        if self.mask is None:
            return linear(inputs, base.weight, base.bias)
        added = linear(self._low(inputs, part), part.up, base.bias)
        added.flatten(0, -2).addmm_(inputs.flatten(0, -2), base.weight.t())
        return added

    def _add(
        self, part: Part, module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> torch.Tensor | None:
        """Return the output of another linear layer, such as a quantised one, with the adapters added."""
        if self.mask is None:
            return None
        return output + linear(self._low(inputs[0], part), part.up).to(output.dtype)

    def _low(self, inputs: torch.Tensor, part: Part) -> torch.Tensor:
        """Return A x (rows, tokens, sum of ranks), with 0 in the columns of other rows' adapters.

        If the stack is `shared`, layers that get the same tensor one after another, such as the projections of an
        attention, share one product.
        """
        if self.last is not None and self.last[0] is inputs:
            leader, ready = self.last[1:]
            if part in ready:
                return ready.pop(part)
            if self.shared and part is not leader and part not in leader.followers:
                leader.lead(part)  # together from the next call on
        else:
            self.last = inputs, part, {}
        parts = [part, *part.followers]
        low = linear(inputs.to(part.down.dtype), part.joined)
        low.mul_(self._tile(low, len(parts)))
        lows: Sequence[torch.Tensor] = torch.tensor_split(low, len(parts), -1)
        self.last[2].update(zip(part.followers, lows[1:], strict=True))
        return lows[0]

    def _tile(self, low: torch.Tensor, times: int) -> torch.Tensor:
        """Return the mask that fits a product, repeated for layers that share the product."""
        key = low.shape, times
        if key not in self.tiled:  # once for all layers
            mask = self._fit(low).to(low)
            self.tiled[key] = mask.repeat(*[1] * (mask.ndim - 1), times) if times > 1 else mask
        return self.tiled[key]

    def _fit(self, low: torch.Tensor) -> torch.Tensor:
        """Return the mask in a shape that fits a product of the shape (rows, ..., tokens, ranks) or (tokens, ranks).

        Models flatten rows and tokens before some layers, and compute others for cached tokens, too. Raises
        `BackendError` for a product of some of the tokens, such as those of an expert: it is not known whose they are.
        """
        mask = torch.as_tensor(self.mask)
        rows, tokens, ranks = mask.shape
        if low.ndim > 2:
            if self.kept is not None and low.shape[-2] != tokens:
                mask = self.kept
            if low.shape[0] == len(mask) and mask.shape[1] in (1, low.shape[-2]):
                return mask.view(len(mask), *[1] * (low.ndim - 3), *mask.shape[1:])
        elif len(low) == rows * self.columns:
            return mask.expand(rows, self.columns, ranks).reshape(-1, ranks)
        raise BackendError(
            "An adapter is on a layer that does not compute all tokens of a batch, such as an expert.",
            "Train the adapter on other layers.",
        )
