"""What a LoRA adapter adds to a layer, kept from being rounded away while it is trained in bfloat16.

A bfloat16 has eight significant bits, so a layer's output in it swallows whatever is smaller than a 512th of it. That
is what a new adapter adds at first: its steps would go unseen by the loss that they are to lower.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def unrounded_sums(model: Any, dtype: torch.dtype | None) -> Iterator[None]:
    """Within, layers with LoRA adapters give the float32 sum of their own output and what the adapters add.

    Products stay in `dtype`, that of autocast; where it is None, nothing is changed. PEFT's sums have the dtype of
    the layer's own output.
    """
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)] if dtype is not None else []
    hooks = [layer.base_layer.register_forward_hook(lambda _, __, output: output.float()) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
