"""CUDA graphs: a recorded sequence of kernels on fixed memory, launched by one call instead of a thousand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

log = logging.getLogger(__name__)


class Graphs:
    """The graphs of a function, each recorded when its key is first run. They share their temporary memory."""

    def __init__(self) -> None:
        self.recorded: dict[Hashable, torch.cuda.CUDAGraph | None] = {}
        self.memory = torch.cuda.graph_pool_handle()

    def run(self, key: Hashable, function: Callable[[], None], state: Sequence[torch.Tensor]) -> None:
        """Run a function of static tensors by its graph.

        A key stands for one sequence of kernels on the same memory. `state` holds the tensors that the function both
        reads and changes: recording runs the function once more, and must not count.
        """
        if key not in self.recorded:
            self.recorded[key] = self._record(function, state)
        graph = self.recorded[key]
        if graph is None:
            function()
        else:
            graph.replay()

    def _record(self, function: Callable[[], None], state: Sequence[torch.Tensor]) -> torch.cuda.CUDAGraph | None:
        """Return the graph of a function, None where it waits for the device and cannot be recorded."""
        saved = [tensor.clone() for tensor in state]
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(stream):
                function()  # libraries allocate their workspaces in a first run, which a recording must not contain
                for tensor, before in zip(state, saved, strict=True):
                    tensor.copy_(before)
                stream.synchronize()
                graph.capture_begin(pool=self.memory, capture_error_mode="thread_local")
                try:
                    function()
                finally:
                    graph.capture_end()
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("Decoding runs without a CUDA graph, slower: %s", str(error).splitlines()[0])
            return None
        finally:
            torch.cuda.current_stream().wait_stream(stream)
        return graph
