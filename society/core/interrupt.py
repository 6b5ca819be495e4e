"""Ctrl-C and SIGTERM: asked once, a run finishes the replies that are being made and stops; asked again, it stops now.

What ends at once by itself needs nothing from here: loading, waiting, and a training, which a cancelled run leaves
after the optimiser step under way.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""The signals that ask, and the handlers that may be replaced: who has others, or ignores them, means it."""


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop by `signal`, and has: what was done is stored. `status` is what shells expect."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)

    @property
    def status(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal


class Interruption:
    """The wish that a run may stop. As a context manager it takes the signals, in the main thread only, gives them
    back, and raises `Interrupted` where it stopped what was within. Not entered, it never asks."""

    def __init__(self) -> None:
        self._asked = 0
        self._signal: int = signal.SIGINT
        self._held = 0
        self._before: dict[signal.Signals, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) is default:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._asked and exc_type is asyncio.CancelledError:
            raise Interrupted(self._signal) from None

    @contextmanager
    def stops_me(self) -> Iterator[None]:
        """Within, the current task is what will be cancelled."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            yield
        finally:
            self._loop = self._task = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Within, a first wish to stop has to wait. None gets in after it: whoever tries waits for the end."""
        if self._asked:
            await asyncio.get_running_loop().create_future()
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if self._asked and not self._held:
                self._cancel()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self._asked += 1
        self._signal = number
        if self._loop is None or self._asked > 2:  # there is nothing to wait for, or it does not heed
            raise Interrupted(number)
        self._loop.call_soon_threadsafe(self._heed, self._asked)

    def _heed(self, times: int) -> None:
        if times == 1 and self._held:
            replies = "1 reply" if self._held == 1 else f"{self._held} replies"
            print(f"Stopping: finishing {replies}; Ctrl-C again stops at once.", file=sys.stderr, flush=True)
        else:
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
