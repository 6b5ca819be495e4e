"""The smallest probability that top_k, top_p and min_p leave, found by bisection over the numbers that float32 has.

Sorting a vocabulary costs ten times as much. Non-negative floats are ordered as their bits are, so 31 halvings of an
interval of bits find a threshold exactly. On CUDA one kernel does them all, where Triton is installed.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

log = logging.getLogger(__name__)
HALVINGS = 31


def find_floors(probs: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, min_p: torch.Tensor) -> torch.Tensor:
    """Return the smallest probability (n) that is left in each row of `probs` (n, vocabulary), float32.

    `top_k` (n, int64) leaves the likeliest k tokens, 0 all; of these `top_p` (n) leaves the likeliest until their
    share of the mass reaches it; `min_p` (n) leaves those of at least that share of the likeliest token. Tokens of
    equal probability are left together.
    """
    if probs.is_cuda and has_kernel():
        return find_floors_by_kernel(probs, top_k, top_p, min_p)
    limits = _by_count(probs, top_k)
    shares = _by_mass(probs.where(probs >= limits[:, None], 0.0), top_p)
    return torch.maximum(torch.maximum(limits, shares), min_p * probs.amax(-1))


def _by_count(probs: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    """Return the k-th largest probability, 0 where k is 0."""
    found = bisect(probs, lambda floor: (probs >= floor[:, None]).sum(-1) >= top_k)
    return found.where(top_k > 0, 0.0)


def _by_mass(probs: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Return the largest threshold at which the share `top_p` of the mass is left, 0 where `top_p` is 1."""
    wanted = top_p * probs.sum(-1)
    found = bisect(probs, lambda floor: probs.where(probs >= floor[:, None], 0.0).sum(-1) >= wanted)
    return found.where(top_p < 1, 0.0)


def bisect(probs: torch.Tensor, enough: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return the largest float of each row that is `enough`, at most the row's maximum; 0 is taken to be enough."""
    low = torch.zeros(len(probs), dtype=torch.int32, device=probs.device)
    high = probs.amax(-1).view(torch.int32) + 1
    for _ in range(HALVINGS):
        middle = low + (high - low) // 2
        passed = enough(middle.view(torch.float32))
        low, high = torch.where(passed, middle, low), torch.where(passed, high, middle)
    return low.view(torch.float32)


def find_floors_by_kernel(
    probs: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, min_p: torch.Tensor
) -> torch.Tensor:
    """Compute `find_floors` by one kernel, a program a row."""
    floors = torch.empty(len(probs), dtype=torch.float32, device=probs.device)
    probs = probs.contiguous()
    _kernel()[(len(probs),)](
        probs, top_k, top_p, min_p, floors, probs.shape[1], block=4096, halvings=HALVINGS, num_warps=8
    )
    return floors


@cache
def has_kernel() -> bool:
    """Return whether the kernel can be built here: Triton is installed and finds a C compiler."""
    if importlib.util.find_spec("triton") is None:
        return False
    some = torch.ones(1, 2, device="cuda")
    row = some[:, 0]
    try:
        find_floors_by_kernel(some, row.long(), row, row)
    except Exception as error:  # Triton's compiler raises errors of many kinds
        log.warning("Truncated sampling runs without its Triton kernel, slower: %s", error)
        return False
    return True


def _kernel() -> Any:
    from backends.hf.nucleus_kernel import floors_kernel

    return floors_kernel
