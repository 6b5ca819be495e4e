"""Training steps compiled by torch: small operations become one, which a model of few parameters mostly waits for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from society.core.errors import BackendError


@contextmanager
def compiled(model: Any, wanted: bool) -> Iterator[None]:
    """Within, the model without its output layer is compiled, once for batches of every size.

    A later training of the same process finds what was compiled before. Raises `BackendError` where torch cannot
    compile, as on a machine without a C++ compiler.
    """
    if not wanted:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    inner = model.base_model
    inner.compile(dynamic=True)
    try:
        yield
    except TorchDynamoException as error:
        cause = f"The model could not be compiled: {str(error).strip().splitlines()[0]}"
        remedy = "Install a C++ compiler, as g++, or take out compile: true of the training's settings."
        raise BackendError(cause, remedy) from error
    finally:
        inner._compiled_call_impl = None
