"""Sizes: what a scenario needs of a backend, and the memory that an opened one takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """The sizes that a scenario needs of a backend."""

    tokens: int
    """Tokens of the longest prompt together with its answer."""
    requests: int
    """Maximum number of requests at the same time."""


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Bytes of one weight of an opened model on a GPU."""

    linear: float = 2
    """Bytes of a weight of a linear layer, without the output layer."""
    other: float = 2


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of an opened backend, in bytes."""

    weights: int
    contexts: int
    adapters: int
    buffers: int = 0

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.weights + self.contexts + self.adapters + self.buffers
