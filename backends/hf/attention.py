"""Which attention a batch is trained with on a CPU: torch's fused kernel, or plain matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

SHORT = 256
"""Columns up to which plain products are used in bfloat16. The fused kernel's backward pass takes five times as long
at 100 columns and as long at some 400; from there on it also saves memory, which products need for every pair."""


@contextmanager
def fast_attention(model: Any, dtype: torch.dtype | None) -> Iterator[Callable[[int], None]]:
    """Within, what is yielded fits the model's attention to batches of so many columns, until it is called again.

    `dtype` is that of the arithmetic, None if it is the weights' own. Only torch's own kernel on a CPU is replaced.
    """
    usual = model.config._attn_implementation
    slow = usual == "sdpa" and model.device.type == "cpu" and dtype == torch.bfloat16

    def fit(columns: int) -> None:
        wanted = "eager" if slow and columns <= SHORT else usual
        if model.config._attn_implementation != wanted:
            model.set_attn_implementation(wanted)

    try:
        yield fit
    finally:
        fit(SHORT + 1)
