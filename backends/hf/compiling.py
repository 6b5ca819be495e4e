"""Compilation of training steps by torch, which fuses elementwise operations into few kernels.

The decoder layers are compiled one by one. They are alike, so one is compiled and all use it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from society.core.errors import BackendError

# The compiler recommends rounding float32 products to 10 bits, and looks at gradients that nobody needs.
for message in ("TensorFloat32 tensor cores", "The .grad attribute of a Tensor that is not a leaf"):
    warnings.filterwarnings("ignore", message, UserWarning)


@contextmanager
def compiled(model: Any, wanted: bool) -> Iterator[None]:
    """Compile the model's layers within this context, once for batches of all sizes.

    Later finetunings in this process reuse the compiled layers. Raises `BackendError` if torch cannot compile, for
    example without a C++ compiler.
    """
    if not wanted:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    names = model._no_split_modules or ()
    layers = [module for module in model.modules() if type(module).__name__ in names] or [model.base_model]
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    except TorchDynamoException as error:
        said = str(error).strip().splitlines()[0]
        remedy = "Take compile: true out of train.settings."
        if "ompiler" in type(error).__name__ or "ompiler" in said:
            remedy = "Install a C++ compiler, for example g++, or take compile: true out of train.settings."
        raise BackendError(f"The model could not be compiled: {said}", remedy) from error
    finally:
        for layer in layers:
            layer._compiled_call_impl = None
