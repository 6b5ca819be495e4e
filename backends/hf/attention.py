"""Attention kernels of a training: on a CPU torch's fused kernel or plain products, on a GPU none of cuDNN."""

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
    """Yield a function that chooses the model's attention for a batch with a number of columns.

    `dtype` is the precision of the computation, or None for that of the weights. On a CPU, only torch's own kernel is
    replaced. On a GPU, cuDNN is excluded, as it plans for 45 ms of processor time for each new shape.
    """
    enabled: Callable[[], bool] = torch.backends.cuda.cudnn_sdp_enabled
    cudnn = enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
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
        torch.backends.cuda.enable_cudnn_sdp(cudnn)
