"""A meter of memory: bytes of all tensors that are alive, at most. As a module, it measures a sharded process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

OUT = "SOCIETY_METER"
"""Environment variable with the folder that measured processes write their peaks into."""


class Meter(TorchDispatchMode):
    """Counts the bytes of the storages that operations return or read, as long as they are alive.

    FSDP frees gathered weights by resizing their storages, so sizes are read again after each operation. `peak` is in
    bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.alive: dict[int, StorageWeakRef] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for value in tree_leaves((found, args, kwargs)):
            if isinstance(value, torch.Tensor):
                local = getattr(value, "_local_tensor", value)
                if local.device.type != "meta":
                    storage = local.untyped_storage()
                    self.alive[storage._cdata] = StorageWeakRef(storage)
        self.peak = max(self.peak, self.now())
        return found

    def now(self) -> int:
        """Return the bytes that are alive."""
        total = 0
        for key, reference in list(self.alive.items()):
            if reference.expired():
                del self.alive[key]
                continue
            storage = torch.UntypedStorage._new_with_weak_ptr(reference.cdata)
            total += 0 if storage is None else storage.nbytes()
        return total


def main() -> int:
    """Run a process of a sharded training under the meter, from its first step on."""
    from backends.hf import attention, loop, sharded

    meter = Meter()
    real = loop.Loop.run
    attention.SHORT = 0  # fused, as on a GPU

    def run(self: Any) -> None:
        with meter:
            real(self)

    loop.Loop.run = run  # type: ignore[method-assign]
    status = sharded.main(Path(sys.argv[1]))
    (Path(os.environ[OUT]) / os.environ["RANK"]).write_text(str(meter.peak))
    return status


if __name__ == "__main__":
    sys.exit(main())
