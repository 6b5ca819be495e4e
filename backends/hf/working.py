"""Working copies: parameters in the precision of the arithmetic while they are trained, their originals in float32.

A step of the optimiser is often smaller than the last bit of a bfloat16, so it is taken in float32. The arithmetic uses
copies that are rounded once a step. Autocast would cast every weight again for each batch, and its gradient back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import Parameter


@dataclass
class Working:
    """The parameters of a training.

    `trained` has those that the optimiser changes, all float32. `copies` are the model's own, `originals` what they are
    rounded from.
    """

    trained: list[Parameter] = field(default_factory=list)
    copies: list[Parameter] = field(default_factory=list)
    originals: list[Parameter] = field(default_factory=list)

    @torch.no_grad()
    def update(self) -> None:
        """Round the originals into their copies, after a step of the optimiser."""
        if self.copies:
            torch._foreach_copy_([copy.data for copy in self.copies], [original.data for original in self.originals])

    def add(self, copy: Parameter) -> Any:
        """Give a parameter of the model an original that gathers its gradients; return the hook that does it."""
        original = Parameter(copy.detach().float())
        self.trained.append(original)
        self.copies.append(copy)
        self.originals.append(original)

        def gather(copy: Parameter) -> None:
            assert copy.grad is not None
            if original.grad is None:
                original.grad = copy.grad.float()
            else:
                original.grad.add_(copy.grad)
            copy.grad = None

        return gather


@contextmanager
def working_copies(model: Any, dtype: torch.dtype | None) -> Iterator[Working]:
    """Compute with trained parameters in `dtype` within this context, in float32 for None.

    Frozen weights of linear layers are cast once. Afterwards each parameter has its earlier dtype, and trained
    parameters have their new values.
    """
    working, undo = Working(), ExitStack()
    linears = _linear_weights(model)
    with undo:
        for parameter in model.parameters():
            low = dtype is not None and (parameter.dtype == dtype or id(parameter) in linears)
            if not parameter.is_floating_point() or not (parameter.requires_grad or low):
                continue
            if low and not is_shard(parameter):
                undo.enter_context(_lowered(parameter, dtype, working))
            elif parameter.requires_grad:
                undo.callback(_cast, parameter, parameter.dtype)
                _cast(parameter, torch.float32)
                working.trained.append(parameter)
        yield working


@contextmanager
def _lowered(parameter: Parameter, dtype: torch.dtype | None, working: Working) -> Iterator[None]:
    """Cast a parameter to `dtype` within this context. For a trained one, the optimizer updates a float32 original."""
    before = parameter.data
    hook = None
    if parameter.requires_grad:
        register: Any = parameter.register_post_accumulate_grad_hook
        hook = register(working.add(parameter))
        before = working.originals[-1].data if before.dtype == torch.float32 else before
    parameter.data = parameter.data.to(dtype)
    try:
        yield
    finally:
        parameter.grad = None
        parameter.data = before
        if hook is not None:
            hook.remove()


def _cast(parameter: Parameter, dtype: torch.dtype) -> None:
    parameter.grad = None
    parameter.data = parameter.data.to(dtype)


def _linear_weights(model: Any) -> set[int]:
    """Return the ids of weights that linear layers have for themselves: autocast would compute with these in bfloat16.

    Weights that the embeddings share keep their precision, which is that of what flows between the layers.
    """
    linears: set[int] = set()
    others: set[int] = set()
    for module in model.modules():
        own = {id(parameter) for parameter in module.parameters(recurse=False)}
        (linears if type(module) is torch.nn.Linear else others).update(own - {id(getattr(module, "bias", None))})
    return linears - others


def is_shard(parameter: Parameter) -> bool:
    """Return whether FSDP has sharded a parameter: it casts and gathers those itself."""
    from torch.distributed.tensor import DTensor

    return isinstance(parameter.data, DTensor)
