"""Casts of parameters, never of buffers, and the way back.

A module's buffers (the inverse frequencies of rotary embeddings, running statistics, routing biases) have the precision
that the model's code gives them, whatever the precision of its weights. `Module.to(dtype)` casts them too, and casting
back does not restore the lost bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

STATE = (bool, int, float, torch.Tensor)
"""Types of attributes that a module may compute its buffers from, for example the longest sequence so far."""


def cast_parameters(model: Any, dtype: torch.dtype) -> Any:
    """Cast the floating-point parameters in place and return the model. Tied parameters stay tied."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            _cast(parameter, dtype)
    return model


def _cast(parameter: torch.nn.Parameter, dtype: torch.dtype) -> None:
    if parameter.dtype != dtype:
        parameter.grad = None
        parameter.data = parameter.data.to(dtype)


def cast_shards(model: Any, dtype: torch.dtype) -> None:
    """Cast the parameters of a model that FSDP has sharded: it follows `Module.to`, and no other cast."""
    buffers = Buffers(model)
    model.to(dtype)
    buffers.restore()


@dataclass(frozen=True)
class Precision:
    """The dtype of each parameter of a model: not all need have the same."""

    dtypes: tuple[tuple[torch.nn.Parameter, torch.dtype], ...]

    @classmethod
    def of(cls, model: Any) -> Precision:
        """Record the dtypes that a model's parameters have now."""
        return cls(tuple((parameter, parameter.dtype) for parameter in model.parameters()))

    def restore(self) -> None:
        """Cast each parameter back to the recorded dtype."""
        for parameter, dtype in self.dtypes:
            _cast(parameter, dtype)


class Buffers:
    """A copy of all buffers of a model, and of what its modules compute them from."""

    def __init__(self, model: Any) -> None:
        self.saved = [
            (module, _state(module), {name: _copy(buffer) for name, buffer in module._buffers.items()})
            for module in model.modules()
            if module._buffers
        ]

    def restore(self) -> None:
        """Restore the copied buffers of every module."""
        for module, state, buffers in self.saved:
            vars(module).update(state)
            module._buffers.update(buffers)


def _state(module: torch.nn.Module) -> dict[str, Any]:
    return {name: _copy(value) for name, value in vars(module).items() if isinstance(value, STATE)}


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
