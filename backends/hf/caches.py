"""Layers of a growing cache whose rows join and leave: keys and values of attention, states of recurrent layers.

Each kind of layer of transformers' own cache has its counterpart here, with the methods `pick`, `join` and `keep`. Keys
and values are padded on the left. A state has no columns, so prompts of recurrent models are computed without padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import torch
from transformers import DynamicCache, cache_utils
from transformers.cache_utils import (
    Cache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionLayer,
)

from society.core.errors import BackendError

ROOM = 64
"""Columns by which a full cache grows. Concatenating at every step would copy the cache at every step."""


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers does not type its subclass hook
    """A cache layer with spare rows and columns.

    `keys` and `values`, each (rows, heads, columns, size), are views of larger tensors. Columns are added and rows join
    and leave without copying the others. Sliding windows are left to the mask: no column is dropped while a row needs
    it.
    """

    room: tuple[torch.Tensor, torch.Tensor]
    begin: int
    """First column of `room` that is in use."""

    @property
    def held(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values in use."""
        return cast(torch.Tensor, self.keys), cast(torch.Tensor, self.values)

    @property
    def end(self) -> int:
        """Column of `room` after the newest one."""
        return self.begin + self.held[0].shape[2]

    def put(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replace keys and values. Later updates write to these tensors."""
        self.room = keys, values
        self._look(len(keys), 0, keys.shape[2])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values, and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.put(key_states[:, :, :0], value_states[:, :, :0])
        rows, _, more, _ = key_states.shape
        if self.end + more > self.room[0].shape[2]:
            self._grow(max(rows, len(self.room[0])), self.held[0].shape[2], max(more, ROOM))  # for rows to join, too
        start, end = self.end, self.end + more
        for states, new in zip(self.room, (key_states, value_states), strict=True):
            states[:rows, :, start:end] = new
        self._look(rows, self.begin, end)
        return self.held

    def pick(self, rows: Sequence[int]) -> None:
        """Make a copy of row `rows[i]` row i. A row may be picked several times."""
        if not self.is_initialized:
            raise BackendError("A layer of the model does not use its cache.")
        keys, values = (states[rows] for states in self.held)
        self.put(keys, values)

    def keep(self, kept: Sequence[int], first: int) -> None:
        """Make row `kept[i]` row i, and drop all other rows and the columns before `first`."""
        places = [i for i, row in enumerate(kept) if i != row]
        if places:
            for states in self.room:
                states[places] = states[[kept[i] for i in places]]
        self._look(len(kept), self.begin + first, self.end)

    def join(self, other: Self, columns: int, expected: int) -> None:
        """Append the rows of another layer, with the newest columns aligned; `columns` are in use afterwards.

        Room is made for `expected` rows, since several groups of rows may join one after another.
        """
        rows, more = len(self.held[0]), len(other.held[0])
        if rows + more > len(self.room[0]) or columns > self.end:
            self._grow(max(rows + more, expected, len(self.room[0])), columns, ROOM)
        for states, new in zip(self.room, other.held, strict=True):
            start = self.end - new.shape[2]
            states[rows : rows + more, :, start : self.end] = new
            states[rows : rows + more, :, :start] = 0  # masked values must be finite
        self._look(rows + more, self.end - columns, self.end)

    def _look(self, rows: int, begin: int, end: int) -> None:
        """Use this part of `room`."""
        self.begin = begin
        self.keys, self.values = (states[:rows, :, begin:end] for states in self.room)

    def _grow(self, rows: int, columns: int, spare: int) -> None:
        """Move to new tensors of `columns + spare` columns. The present columns end at `columns`."""
        present, _, used, _ = self.held[0].shape
        larger = tuple(
            states.new_empty(rows, states.shape[1], columns + spare, states.shape[3]) for states in self.held
        )
        for new, old in zip(larger, self.held, strict=True):
            new[:present, :, columns - used : columns] = old
            new[:present, :, : columns - used] = 0
        self.room = cast(tuple[torch.Tensor, torch.Tensor], larger)
        self._look(present, columns - used, columns)


class StateLayer(LinearAttentionLayer):
    """The states of a recurrent or convolutional layer, each with a row for every sequence."""

    def pick(self, rows: Sequence[int]) -> None:
        """Make a copy of row `rows[i]` row i. A row may be picked several times."""
        for states in self._tensors:
            for number, state in states.items():
                if state is not None:
                    states[number] = state[list(rows)]

    def keep(self, kept: Sequence[int], first: int) -> None:
        """Make row `kept[i]` row i, and drop all other rows."""
        self.pick(kept)

    def join(self, other: Self, columns: int, expected: int) -> None:
        """Append the rows of another layer."""
        for own, new in zip(self._tensors, other._tensors, strict=True):
            for number, state in own.items():
                more = new[number]
                if state is not None and more is not None:
                    own[number] = torch.cat([state, more])

    @property
    def _tensors(self) -> tuple[dict[int, torch.Tensor | None], dict[int, torch.Tensor | None]]:
        return self.conv_states, self.recurrent_states


class HybridLayer(StateLayer, RoomyLayer):  # type: ignore[misc, override]  # as the layer of transformers
    """Keys, values and states of a layer that has attention beside a recurrence."""

    is_compileable = False

    def __init__(self, number_of_states: int) -> None:
        RoomyLayer.__init__(self)  # type: ignore[no-untyped-call]
        StateLayer.__init__(self, number_of_states)

    def lazy_initialization(self, *keys_and_values: Any, **states: Any) -> None:
        """Prepare for keys and values, or for states."""
        if keys_and_values:
            RoomyLayer.lazy_initialization(self, *keys_and_values)
        else:
            StateLayer.lazy_initialization(self, **states)

    def pick(self, rows: Sequence[int]) -> None:
        """Make a copy of row `rows[i]` row i. A row may be picked several times."""
        StateLayer.pick(self, rows)
        RoomyLayer.pick(self, rows)

    def keep(self, kept: Sequence[int], first: int) -> None:
        """Make row `kept[i]` row i, and drop all other rows and the columns before `first`."""
        StateLayer.pick(self, kept)
        RoomyLayer.keep(self, kept, first)

    def join(self, other: Self, columns: int, expected: int) -> None:
        """Append the rows of another layer, with the newest columns aligned."""
        StateLayer.join(self, other, columns, expected)
        RoomyLayer.join(self, other, columns, expected)


class Idle:
    """The counterpart's methods of a layer without anything to keep."""

    def pick(self, rows: Sequence[int]) -> None:
        """Do nothing."""

    def keep(self, kept: Sequence[int], first: int) -> None:
        """Do nothing."""

    def join(self, other: Self, columns: int, expected: int) -> None:
        """Do nothing."""


def _idle_kinds() -> dict[type, Callable[[Any], Any]]:
    """Return how to make the counterpart of a layer without a cache, which older versions of transformers lack."""
    kind: type | None = getattr(cache_utils, "DummyLayer", None)
    if kind is None:
        return {}
    counterpart = type("IdleLayer", (Idle, kind), {})
    return {kind: lambda layer: counterpart()}


COUNTERPARTS: dict[type, Callable[[Any], Any]] = {
    DynamicLayer: lambda layer: RoomyLayer(),  # type: ignore[no-untyped-call]
    DynamicSlidingWindowLayer: lambda layer: RoomyLayer(),  # type: ignore[no-untyped-call]
    LinearAttentionLayer: lambda layer: StateLayer(layer.number_of_states),
    LinearAttentionAndFullAttentionLayer: lambda layer: HybridLayer(layer.number_of_states),
    **_idle_kinds(),
}
"""How to make the counterpart of a layer of transformers' own cache."""


def cache_maker(model: Any) -> Callable[[], Cache]:
    """Return a function that makes an empty cache for a model.

    Raises `BackendError` for a model with layers of unknown kinds.
    """
    layers = DynamicCache(config=model.config).layers
    unknown = sorted({type(layer).__name__ for layer in layers if type(layer) not in COUNTERPARTS})
    if unknown:
        raise BackendError(
            f"The model's cache has layers of the kind {', '.join(unknown)}, which this backend cannot batch.",
            "Use another model, or the llama_cpp backend.",
        )
    return lambda: Cache(layers=[COUNTERPARTS[type(layer)](layer) for layer in layers])


def layers_of(cache: Cache) -> list[Any]:
    """Return the layers of a cache that has counterparts alone."""
    return cache.layers


def has_states(cache: Cache) -> bool:
    """Return whether some layers of a cache are recurrent or convolutional: padding would change their states."""
    return any(isinstance(layer, StateLayer) for layer in cache.layers)


def has_columns(cache: Cache) -> bool:
    """Return whether some layers of a cache hold keys and values."""
    return any(isinstance(layer, RoomyLayer) for layer in cache.layers)
