"""Attention on a CPU by torch's fused kernel or plain products; on a GPU, training without the kernels of cuDNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

SHORT = 256
"""Columns up to which plain products are used in bfloat16. In training, the fused kernel's backward pass takes five
times as long at 100 columns and as long at some 400; from there on it also saves memory, which products need for every
pair."""


@contextmanager
def plain_attention(model: Any, columns: int) -> Iterator[None]:
    """Return a context in which one column attends to a cache of `columns` by plain products, where they are faster.

    That is on a CPU in bfloat16: the fused kernel computes each head of each row by itself, in 2.5 to 5 times the time.
    Replies of a model of a million parameters, 384 together, took 8 to 30 % less processor time with products.
    """
    if (
        model.config._attn_implementation != "sdpa"
        or (model.device.type, model.dtype) != ("cpu", torch.bfloat16)
        or columns > SHORT
    ):
        yield
        return
    model.config._attn_implementation = "eager"
    try:
        yield
    finally:
        model.config._attn_implementation = "sdpa"


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
