"""The memories of slots: what is known of a prompt is reused, copied, cached, cut and parked.

From a recurrent state, no token can be removed. From a restored memory of sliding attention, none of the first tokens
can. Such memories are reused as a whole or not at all, so a copy of each prompt's memory is cached; copies of sliding
attention from slot to slot can be cut. A slot in progress with a recurrent state whose place a filler needs is parked:
its memory is saved, and restored before its next token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backends.llama_cpp.cache import CachedPrefix, PrefixCache, Slot, common_prefix
from backends.llama_cpp.native import Context, Model, Tokens
from backends.llama_cpp.sizes import CHUNK
from society.core.errors import BackendError

MIN_REUSE = 8
"""Minimum number of known tokens that are copied or cached."""


class Memories:
    """The memories of the slots of one context, and the cache of prefixes. Used by the worker's thread alone."""

    def __init__(
        self, model: Model, context: Context, slots: Sequence[Slot], cache_bytes: int, reproducible: bool
    ) -> None:
        self._model, self._context, self._slots = model, context, slots
        self._prefixes = PrefixCache(cache_bytes)
        self._reproducible = reproducible

    def reuse(self, slot: Slot, adapter: str | None, prompt: Tokens) -> int:
        """Put the longest known prefix of `prompt` into `slot`. Return its length in tokens."""
        sources: list[Slot | CachedPrefix] = [slot, *self._slots, *self._prefixes]
        usable = [
            (self._usable(source, prompt, slot) if source.adapter == adapter else 0, source) for source in sources
        ]
        length, source = max(usable, key=lambda pair: pair[0])
        if length < MIN_REUSE:
            length = 0
        if source is not slot or slot.length - length >= MIN_REUSE:
            self.keep(slot)
        if length and source is not slot:
            length = self.copy(source, slot, length)
        self.cut(slot, length)
        slot.adapter = adapter
        return slot.length

    def _usable(self, source: Slot | CachedPrefix, prompt: Tokens, slot: Slot) -> int:
        """Return the number of tokens of `prompt` that need not be computed in `slot`, given `source`."""
        length = common_prefix(source.known, prompt)
        if isinstance(source, Slot) and source is not slot and self._copies_windows(source):
            length = min(length, len(prompt) - 1)  # a copy between slots is made by the next batch
        if self._reproducible and not length == len(prompt) == source.stable:
            length = min(length, source.stable)
            length -= length % CHUNK
        return length if length >= self._cuttable(source) else 0

    def _cuttable(self, source: Slot | CachedPrefix) -> int:
        """Return the shortest prefix that the memory of `source`, or its copy in another slot, can be cut to."""
        if isinstance(source, CachedPrefix) or not self._model.is_recurrent:
            return source.shortest
        return source.length

    def shortest(self, length: int) -> int:
        """Return the shortest prefix that a restored memory of `length` tokens can be cut to."""
        return length if self._model.is_recurrent or 0 < self._model.window < length else 0

    def keep(self, slot: Slot) -> None:
        """Add a copy of the memory of `slot` to the prefix cache."""
        if slot.length >= MIN_REUSE and self._prefixes.room:
            known = slot.known.copy()
            shortest = max(slot.shortest, self.shortest(slot.length))
            self._prefixes.put(CachedPrefix(slot.adapter, known, slot.stable, self._memory(slot), shortest))

    def _memory(self, source: Slot | CachedPrefix) -> NDArray[np.uint8]:
        """Return the memory of a slot or a cached prefix."""
        if source.state is None:
            return self._context.save(source.index)
        return source.state

    def copy(self, source: Slot | CachedPrefix, slot: Slot, length: int) -> int:
        """Copy the memory of `source` into `slot`. Return `length`, or 0 if the model's memory does not allow it."""
        if isinstance(source, CachedPrefix):
            self._prefixes.touch(source)
        elif self._copies_windows(source):
            self._context.copy(source.index, slot.index)
            self._take(slot, source, source.shortest)
            return length
        state, slot.length = self._memory(source), 0
        if not self._context.restore(slot.index, state):
            return 0
        self._take(slot, source, self.shortest(len(source.known)))
        return length

    def _copies_windows(self, source: Slot) -> bool:
        """Return whether a copy of a slot must keep what sliding attention has passed, so that it can be cut."""
        return not self._model.is_recurrent and 0 < self._model.window < source.length

    def _take(self, slot: Slot, source: Slot | CachedPrefix, shortest: int) -> None:
        """Record that the memory of `slot` is that of `source`."""
        slot.length = 0
        slot.append(source.known, len(source.known))
        slot.stable, slot.shortest = source.stable, shortest

    def cut(self, slot: Slot, length: int) -> None:
        """Remove all but the first `length` tokens, or all if the model's memory cannot remove a part."""
        if length < slot.length and not self._context.cut(slot.index, length):
            self._context.cut(slot.index, length := 0)
        slot.truncate(length)
        slot.shortest = min(slot.shortest, length)

    def park(self, slot: Slot) -> None:
        """Save the memory of a slot in progress and empty its place, if a filler there could not be removed."""
        if self._model.is_recurrent and slot.job and slot.state is None:
            slot.state = self._context.save(slot.index)
            self._context.cut(slot.index, 0)

    def resume(self, slot: Slot) -> None:
        """Restore the memory of a parked slot. Raises `BackendError` if llama.cpp cannot read what it saved."""
        if slot.state is not None:
            if not self._context.restore(slot.index, slot.state):
                raise BackendError("llama.cpp could not restore the memory of a slot.", "Set reproducible: false.")
            slot.state = None

    def remove_last(self, slot: Slot) -> None:
        """Remove a filler; from a recurrent state, only together with all other tokens."""
        if not self._context.cut(slot.index, position(slot)):
            self._context.cut(slot.index, 0)
            slot.truncate(0)


def position(slot: Slot) -> int:
    """Return the position of the next token in the place of a slot."""
    return slot.length if slot.state is None else 0
