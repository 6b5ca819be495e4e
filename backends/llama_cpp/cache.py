"""The tokens that each slot has computed, and a cache of computed prefixes that no slot holds.

A prefix is valid only for the adapter that it was computed with, so every search is for one adapter. A prefix that is
removed from a slot moves to a `PrefixCache` in main memory. So an agent's second round reuses its first, even if a
hundred other agents spoke in between.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from backends.llama_cpp.jobs import Job
from backends.llama_cpp.native import Tokens


@dataclass(eq=False, slots=True)
class Slot:
    """One sequence of the context. `tokens[:length]` are computed; the first `stable` of them are a prompt."""

    index: int
    tokens: Tokens
    adapter: str | None = None
    length: int = 0
    stable: int = 0
    job: Job | None = None
    state: NDArray[np.uint8] | None = None
    """The memory of a parked slot, whose place in the context is used by a filler; see `Memories`."""
    shortest: int = 0
    """The shortest prefix, apart from none, that the memory can be cut to."""

    @property
    def known(self) -> Tokens:
        """The computed tokens."""
        return self.tokens[: self.length]

    def append(self, tokens: Tokens | int, count: int) -> None:
        """Record `count` more computed tokens."""
        self.tokens[self.length : self.length + count] = tokens
        self.length += count

    def truncate(self, length: int) -> None:
        """Record that only the first `length` tokens remain."""
        self.length = length
        self.stable = min(self.stable, length)


@dataclass(eq=False, slots=True)
class CachedPrefix:
    """A computed prefix outside the context. `state`: the context's memory of the tokens `known`."""

    adapter: str | None
    known: Tokens
    stable: int
    state: NDArray[np.uint8]
    shortest: int = 0
    """The shortest prefix, apart from none, that the memory can be cut to after it is restored."""


@dataclass(slots=True)
class PrefixCache:
    """Computed prefixes in main memory, at most `room` bytes. The least recently used ones are removed first."""

    room: int
    _kept: OrderedDict[int, CachedPrefix] = field(default_factory=OrderedDict)
    _used: int = 0
    _numbers: count[int] = field(default_factory=count)

    def __iter__(self) -> Iterator[CachedPrefix]:
        return iter(self._kept.values())

    def put(self, kept: CachedPrefix) -> None:
        """Add a prefix, and remove those that it contains and can be cut to."""
        for number, other in list(self._kept.items()):
            length = len(other.known)
            contained = other.adapter == kept.adapter and common_prefix(other.known, kept.known) == length
            if contained and length >= kept.shortest:
                self._drop(number)
        self._kept[next(self._numbers)] = kept
        self._used += kept.state.nbytes
        while self._used > self.room:
            self._drop(next(iter(self._kept)))

    def touch(self, kept: CachedPrefix) -> None:
        """Mark a prefix as recently used."""
        number = next((number for number, other in self._kept.items() if other is kept), None)
        if number is not None:
            self._kept.move_to_end(number)

    def _drop(self, number: int) -> None:
        self._used -= self._kept.pop(number).state.nbytes


def common_prefix(left: Tokens, right: Tokens) -> int:
    """Return the length of the common prefix of two token sequences."""
    length = min(len(left), len(right))
    differ = left[:length] != right[:length]
    at = int(differ.argmax()) if length else 0
    return at if length and differ[at] else length
