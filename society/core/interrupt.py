"""Ctrl-C and SIGTERM. The first signal lets a run finish the replies in progress; the second stops it at once.

A debate that needs no further reply also reaches its decision.

Loading, waiting and training need nothing from this module: they end when the run is cancelled, a training after the
current optimizer step.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""The handled signals, and the default handlers that may be replaced. Other handlers are kept."""


class Interrupted(KeyboardInterrupt):
    """A run that stopped because of `signal`. All finished turns are stored in `folder`; None before there is one."""

    def __init__(self, number: int = signal.SIGINT, folder: Path | None = None) -> None:
        self.signal, self.folder = signal.Signals(number), folder
        stored = "no turn is stored yet"
        if folder is not None:
            stored = f"the finished turns are stored in {folder}; continue with --resume (Python: resume=True)"
        super().__init__(f"{self.signal.name}: {stored}")

    @property
    def status(self) -> int:
        """The exit status that shells expect: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal


class Interruption:
    """A request to stop a run.

    As a context manager it handles the signals (in the main thread only), restores the earlier handlers at the end, and
    raises `Interrupted` if it cancelled the block. A signal outside `stops_me` waits for the next such block, or for
    the end: an exception within an import would leave a half-imported module. An instance that is not entered never
    stops anything. `folder` is the folder of the run, for the message. Without `patient`, the first signal stops the
    replies in progress, too.
    """

    def __init__(self, patient: bool = True) -> None:
        self._patient = patient
        self.folder: Path | None = None
        self._waiting = False
        self._asked = 0
        self._signal: int = signal.SIGINT
        self._held = 0
        self._stopping = False
        self._debates: set[Hashable] = set()
        """Debates under way that have not asked for a reply since the request to stop."""
        self._before: dict[signal.Signals, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS.items():
                if (handler := signal.getsignal(number)) is default or _belongs_to_asyncio(handler):
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._waiting or (self._asked and exc_type is asyncio.CancelledError):
            raise Interrupted(self._signal, self.folder) from None

    @contextmanager
    def stops_me(self) -> Iterator[None]:
        """Cancel the current task if a signal arrives during the block."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._waiting:
            self._waiting = False
            self._cancel()
        try:
            yield
        finally:
            self._loop = self._task = None

    @asynccontextmanager
    async def debating(self, debate: Hashable) -> AsyncIterator[None]:
        """Delay a first request to stop until the debate ends, or needs a new reply.

        After a request, new blocks wait forever.
        """
        if self._asked:
            await asyncio.get_running_loop().create_future()
        self._debates.add(debate)
        try:
            yield
        finally:
            self._leave(debate)

    @asynccontextmanager
    async def held(self, debate: Hashable = None) -> AsyncIterator[None]:
        """Delay a first request to stop until the block, a reply of this debate, ends.

        After a request, new blocks wait forever, so the debate cannot end.
        """
        if self._asked:
            self._leave(debate)
            await asyncio.get_running_loop().create_future()
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._leave(None)

    def _leave(self, debate: Hashable) -> None:
        """Wait no longer for a debate, and stop if nothing is left to wait for."""
        self._debates.discard(debate)
        if self._asked and not (self._held or self._debates or self._stopping):
            self._cancel()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self._asked += 1
        self._signal = number
        if self._asked > 2:  # the loop does not respond
            raise Interrupted(number, self.folder)
        if self._loop is None:
            self._waiting = True
        else:
            self._loop.call_soon_threadsafe(self._heed, self._asked)

    def _heed(self, times: int) -> None:
        if times > 1 or not self._patient or not (self._held or self._debates):
            self._cancel()
        elif self._held:
            replies = "1 reply" if self._held == 1 else f"{self._held} replies"
            print(f"Stopping: finishing {replies}; Ctrl-C again stops at once.", file=sys.stderr, flush=True)

    def _cancel(self) -> None:
        if self._task is not None:
            self._stopping = True
            self._task.cancel()


def _belongs_to_asyncio(handler: object) -> bool:
    """Return whether `asyncio.run` has set this handler. It cancels a task that cannot end while a call blocks it."""
    method = getattr(handler, "func", None)
    return isinstance(getattr(method, "__self__", None), asyncio.Runner)
