"""Sets of full weights in the host's memory, from which they reach the GPU faster than from a disk."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from backends.llama_cpp.sizes import free_memory


def default_budget() -> int:
    """Return half of the memory that is free, in bytes; 0 on a system that does not know how much is."""
    return (free_memory() or 0) // 2


class HostWeights:
    """Sets of full weights by name, None for the base; of one model, so all have the same tensors.

    Beyond the budget, the set that was used longest ago is dropped. Memory is pinned where the model is on a GPU.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        """Maximum bytes of all sets."""
        self.sets: dict[str | None, dict[str, torch.Tensor]] = {}
        """From the set used longest ago to the last."""
        self._spare: Future[dict[str, torch.Tensor]] | None = None

    def reserve(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Have memory for one more set ready soon, where the budget allows. A second pins just 2.4 GB of it."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        if self._spare is None and (len(self.sets) + 1) * size <= self.budget:
            pool = ThreadPoolExecutor(1)
            self._spare = pool.submit(_allocate, _describe(tensors))
            pool.shutdown(wait=False)

    @torch.inference_mode(False)
    @torch.no_grad()
    def keep(self, name: str | None, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
        """Copy a set here and return the copy, None where the budget is too small for it."""
        if name in self.sets:
            return self._use(name)
        size = sum(tensor.nbytes for tensor in tensors.values())
        if size > self.budget:
            return None
        room = None
        while (len(self.sets) + 1) * size > self.budget:
            room = self.sets.pop(next(iter(self.sets)))
        if room is None and self._spare is not None:
            room, self._spare = self._spare.result(), None
        room = room or _allocate(_describe(tensors))
        for key, tensor in tensors.items():
            room[key].copy_(tensor.detach(), non_blocking=True)
        _wait(next(iter(tensors.values())).device)
        self.sets[name] = room
        return room

    def rename(self, name: str, to: str) -> None:
        """Give a set another name."""
        if name in self.sets:
            self.sets[to] = self.sets.pop(name)

    @torch.no_grad()
    def restore(self, name: str | None, tensors: Mapping[str, torch.Tensor]) -> bool:
        """Copy a set into the model's tensors; return whether the set is here."""
        if name not in self.sets:
            return False
        for key, tensor in self._use(name).items():
            tensors[key].copy_(tensor, non_blocking=True)
        _wait(next(iter(tensors.values())).device)
        return True

    def _use(self, name: str | None) -> dict[str, torch.Tensor]:
        self.sets[name] = self.sets.pop(name)
        return self.sets[name]


def _describe(tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, Any]]:
    """Return how to make tensors like these. The tensors themselves may have changed when that is done."""
    return {
        name: {"size": tuple(tensor.shape), "dtype": tensor.dtype, "pin_memory": tensor.device.type == "cuda"}
        for name, tensor in tensors.items()
    }


@torch.inference_mode(False)
def _allocate(described: Mapping[str, Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Return memory on the host, pinned if it is for tensors on a GPU."""
    return {name: torch.empty(**options) for name, options in described.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
