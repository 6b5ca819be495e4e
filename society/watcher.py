"""Objects that follow a run as it goes.

Watcher    the base class: subclasses override the events that they need
Pulse      remembers when the run last made progress
Several    passes every event on to several watchers
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from society.core.pieces import Piece
    from society.core.types import Item, Turn, TurnId
    from society.scenario.expand import Society
    from society.simulation.simulate import DebateResult


class Watcher:
    """An object that follows a run. Subclasses override the events that they need; each does nothing by default.

    The watcher is entered before the backends open, and exited when the run ends, also with an error.
    """

    streams: bool = False
    """Whether the watcher wants replies as they are generated: `speaking` and `piece`. Texts and stores are the same
    with and without."""

    starts: bool = False
    """Whether the watcher wants `speaking` without pieces."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        """Handle the start of the debates on these items. `split` is "evaluation" or "training"."""

    def speaking(self, turn: TurnId, reads: Sequence[TurnId]) -> None:
        """Handle the start of a turn that is generated, and that reads these turns."""

    def piece(self, turn: TurnId, piece: Piece) -> None:
        """Handle a piece of the reply of a turn. The committed turn is what counts."""

    def turn(self, turn: Turn, replayed: bool) -> None:
        """Handle a committed turn. `replayed`: the turn was already stored."""

    def result(self, result: DebateResult) -> None:
        """Handle the end of a debate."""

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        """Handle the end of an optimizer step, from 1 to `steps`. `agent` is "*" for a shared adapter."""

    def outage(self, backend: str, cause: str, seconds: float) -> None:
        """Handle an outage of a backend that has lasted for these seconds. With cause "", it has just ended.

        It is called several times during an outage: after each further attempt that failed.
        """


class Pulse(Watcher):
    """A watcher that remembers when the run last made progress, as `last`, by `time.monotonic`."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.last = time.monotonic()

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self.last = time.monotonic()


class Several(Watcher):
    """A watcher that passes every event to several watchers, in order."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = tuple(watchers)
        self.streams = any(watcher.streams for watcher in self._watchers)
        self.starts = any(watcher.starts for watcher in self._watchers)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for watcher in self._watchers:
                stack.enter_context(watcher)
            self._entered = stack.pop_all()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered.__exit__(exc_type, exc, traceback)

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        for watcher in self._watchers:
            watcher.started(society, items, folder, iteration, split)

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        for watcher in self._watchers:
            watcher.training(learner, agent, step, steps, loss)

    def outage(self, backend: str, cause: str, seconds: float) -> None:
        for watcher in self._watchers:
            watcher.outage(backend, cause, seconds)

    def speaking(self, turn: TurnId, reads: Sequence[TurnId]) -> None:
        for watcher in self._watchers:
            watcher.speaking(turn, reads)

    def piece(self, turn: TurnId, piece: Piece) -> None:
        for watcher in self._watchers:
            watcher.piece(turn, piece)

    def turn(self, turn: Turn, replayed: bool) -> None:
        for watcher in self._watchers:
            watcher.turn(turn, replayed)

    def result(self, result: DebateResult) -> None:
        for watcher in self._watchers:
            watcher.result(result)
