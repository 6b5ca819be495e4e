"""Ctrl-C, SIGTERM and SIGHUP. The first signal lets a run finish the replies in progress, for a limited time; the
second stops it at once.

Requests that wait in a queue are dropped, and waits between attempts end. A debate that needs no further reply also
reaches its decision.

Waiting and training need nothing from this module: they end when the run is cancelled, a training after the current
batch and a checkpoint. Imports and loads of models heed no request. So the command line ends its process instead.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from society.core.ending import CLOSING, ORDERLY, end_soon
from society.core.errors import InputError, SocietyError
from society.core.plain import count

log = logging.getLogger(__name__)

GRACE = 30.0
"""Seconds that replies in progress have after the first signal, by default."""
LONGEST_GRACE = 86_400.0
"""Maximum of these seconds."""
_REPORT_AFTER = 0.1
"""Seconds after the first signal at which the replies in progress are counted: dropped requests have left by then."""
_DROP_EVERY = 0.25
"""Seconds between two removals of queued requests."""
_DEFAULTS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""The handled signals, and the default handlers that may be replaced. Other handlers are kept."""
if hasattr(signal, "SIGHUP"):
    _DEFAULTS[signal.SIGHUP] = signal.SIG_DFL  # the terminal has closed


def check_grace(grace: object) -> None:
    """Raise `InputError` unless this is a number of seconds."""
    if isinstance(grace, bool) or not isinstance(grace, int | float) or not 0 <= grace <= LONGEST_GRACE:
        raise InputError(f"grace is {grace!r:.40}.", f"Give seconds from 0 to {LONGEST_GRACE:,.0f}.")


class Interrupted(KeyboardInterrupt):
    """A run that stopped because of `signal`. All finished turns are stored in `folder`; None before there is one.

    `loading`: the signal came before the run asked for a reply.
    """

    def __init__(self, number: int = signal.SIGINT, folder: Path | None = None, loading: bool = False) -> None:
        self.signal, self.folder, self.loading = signal.Signals(number), folder, loading
        stored = "the run was still loading, so nothing is lost" if loading else "no turn is stored yet"
        if folder is not None:
            stored = f"the finished turns are stored in {folder}; continue with --resume (Python: resume=True)"
        super().__init__(f"{self.signal.name}: {stored}")

    @property
    def status(self) -> int:
        """The exit status that shells expect: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signal


class Interruption:
    """A request to stop a run.

    As a context manager it handles the signals (in the main thread only), restores the earlier handlers at the end, and
    raises `Interrupted` if it cancelled the block. A signal outside `stops_me` waits for the next such block, or for
    the end: an exception within an import would leave a half-imported module. An instance that is not entered never
    stops anything. `folder` is the folder of the run, for the message. `grace`: seconds for the replies in progress; 0
    stops them, too.

    `drop` is called at the first signal, and when a limit is reached. It lets requests that wait in queues raise
    `DroppedError`.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._closed = threading.Event()
        """Set while no block of `stops_me` holds processes or files that it closes at its end."""
        self._closed.set()
        self._loading = False
        self.folder: Path | None = None
        self.drop: Callable[[], object] = lambda: None
        self.error: SocietyError | None = None
        """The error that `stop` was given."""
        self._before_next: SocietyError | None = None
        """The error that stops the run once a further reply is needed."""
        self._dropping = False
        self._waiting = False
        self._asked = 0
        self._signal: int = signal.SIGINT
        self._held = 0
        self._stopping = False
        self._debates: set[Hashable] = set()
        """Debates under way that have not asked for a reply since the request to stop."""
        self._resting: dict[object, Hashable] = {}
        """The debates of tasks that wait between attempts or for a person, by task."""
        self._between_attempts = 0
        """Number of requests that wait for their next attempt."""
        self._parent: Interruption | None = None
        self._children: set[Interruption] = set()
        """Children whose runs are going on."""
        self._before: dict[int, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def child(self) -> Interruption:
        """Return the interruption of one of several runs in this process. Signals to this one reach all its children.

        Once they have ended, the task of this one is cancelled.
        """
        child = Interruption(self._grace)
        child._parent = self
        return child

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
            raise Interrupted(self._signal, self.folder, self._loading) from None

    @contextmanager
    def stops_me(self) -> Iterator[None]:
        """Cancel the current task if a signal arrives during the block. Raises the error that `stop` was given."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._closed.clear()
        if self._parent is not None:
            self._parent._children.add(self)
            self._waiting = self._waiting or self._parent._asked > 0
        if self._waiting:
            self._waiting = False
            self._cancel()
        try:
            yield
        except asyncio.CancelledError:
            if self.error is None or self._task is None:
                raise
            self._task.uncancel()
            raise self.error from None
        finally:
            self._loop = self._task = None
            self._closed.set()
            if self._parent is not None:
                self._parent._end_child(self)

    def _end_child(self, child: Interruption) -> None:
        self._children.discard(child)
        if self._asked and not self._children:
            self._cancel()

    def stop_before_next(self, error: SocietyError) -> None:
        """Stop the run with this error before a further request begins. Replies in progress are finished.

        Requests that wait in queues are dropped. If nothing else is asked for, the run goes on to its end. A later call
        replaces the error, so that its message can include the replies that are finished meanwhile.
        """
        if self._is_limited():
            self.error = error
        self._before_next = error
        if self._between_attempts:
            self.stop(error)
        self._start_dropping()

    def stop_within_grace(self, error: SocietyError) -> None:
        """Stop the run as `stop_before_next` does, but end replies in progress after the time of grace.

        A run without debates under way is stopped now, such as during a training.
        """
        if self._loop is None or not self._is_debating():
            self.stop(error)
        else:
            self.stop_before_next(error)
            self._loop.call_later(self._grace, self._end_debates, error)

    def _is_limited(self) -> bool:
        """Return whether the error of `stop_before_next` stops the run."""
        return self.error is not None and self.error is self._before_next

    def _is_debating(self) -> bool:
        """Return whether a reply is in progress, or a debate under way that does not wait for its next attempt."""
        return self._held > 0 or not self._debates <= set(self._resting.values())

    def _end_debates(self, error: SocietyError) -> None:
        """Stop the run at once, with the first error, unless it no longer debates."""
        if self._is_debating():
            self.error = self.error or error
            self._asked = max(self._asked, 1)
            self._cancel()

    def stop(self, error: SocietyError) -> None:
        """Stop the run as the first signal does, with this error in place of `Interrupted`. The first error counts."""
        if self._task is None:
            raise error
        if not self._asked:
            self.error = error
            self._asked = 1
            self._heed(1)

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

    def held(self, debate: Hashable = None) -> AbstractAsyncContextManager[None]:
        """Delay a first request to stop until the block, a reply of this debate, ends.

        After a request, new blocks wait forever, so the debate cannot end.
        """
        return _Held(self, debate)

    async def _hold(self, debate: Hashable) -> None:
        if self._before_next is not None:
            self.stop(self._before_next)
        if self._asked:
            await self._wait_forever(debate)
        self._held += 1

    def _release(self) -> None:
        self._held -= 1
        self._leave(None)

    @asynccontextmanager
    async def resting(self, debate: Hashable = None) -> AsyncIterator[None]:
        """Wait within a `held` block for the next attempt, without delaying a request to stop.

        After a request, the block waits forever.
        """
        if self._before_next is not None:
            self.stop(self._before_next)
        with self.unheld(debate):
            if self._asked:
                await self._wait_forever(debate)
            self._between_attempts += 1
            try:
                yield
            finally:
                self._between_attempts -= 1
            if self._asked:
                await self._wait_forever(debate)

    @contextmanager
    def unheld(self, debate: Hashable = None) -> Iterator[None]:
        """Stop delaying a request to stop within a `held` block, such as while a person types.

        After a request, the block goes on until nothing else delays the stop.
        """
        task = asyncio.current_task()
        self._held -= 1
        self._resting[task] = debate
        try:
            yield
        finally:
            del self._resting[task]
            self._held += 1

    async def before_request(self, debate: Hashable = None) -> None:
        """Wait forever within a `held` block if a limit is reached, so that no further request of the turn begins."""
        if self._before_next is not None:
            self.stop(self._before_next)
            with self.unheld(debate):
                await self._wait_forever(debate)

    async def _wait_forever(self, debate: Hashable) -> None:
        self._leave(debate)
        await asyncio.get_running_loop().create_future()

    def _leave(self, debate: Hashable) -> None:
        """Wait no longer for a debate, and stop if nothing is left to wait for."""
        self._debates.discard(debate)
        if self._asked and not (self._held or self._debates or self._stopping):
            self._cancel()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self._asked += 1
        self._signal = number
        if self._is_loading():
            self._loading = self._loading or self._asked == 1
            seconds = ORDERLY + (min(self._grace, CLOSING) if self._asked == 1 else 0)
            end_soon(Interrupted(number, loading=True), self._closed, seconds, self._is_loading)
        if self._asked > 2:  # the loop does not respond
            raise Interrupted(number, self.folder)
        if self._loop is None:
            self._waiting = True
        else:
            self._loop.call_soon_threadsafe(self._heed, self._asked)

    def _is_loading(self) -> bool:
        """Return whether no run has begun to ask for replies."""
        return self.folder is None and all(child.folder is None for child in list(self._children))

    def _heed(self, times: int) -> None:
        for child in list(self._children):
            child._asked, child._signal = self._asked, self._signal
            child._heed(times)
        if self._children:
            return
        limited = self._is_limited()
        if times > 1 or not (self._grace or limited):
            self._cancel()
            return
        self._debates.difference_update(self._resting.values())
        if not (self._held or self._debates):
            self._cancel()
        elif self._loop is not None:
            self._start_dropping()
            if not limited:  # replies that were paid for are finished
                self._loop.call_later(self._grace, self._cancel)
            self._loop.call_later(_REPORT_AFTER, self._report)

    def _start_dropping(self) -> None:
        if self._loop is not None and not self._dropping:
            self._drop(self._loop)

    def _drop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drop queued requests, again and again: a prompt that was being tokenized enters the queue later.

        The queues are empty once no reply is in progress.
        """
        self._dropping = self._held > 0 and self._task is not None and not self._stopping
        if self._dropping:
            self.drop()
            loop.call_later(_DROP_EVERY, self._drop, loop)

    def _report(self) -> None:
        """Print how many replies are being finished."""
        if self._held and self._task is not None and not self._stopping:
            replies = count(self._held, "reply")
            if self._is_limited():
                log.warning("A limit is reached: finishing %s; Ctrl-C stops at once.", replies)
            else:
                most = f"{self._grace:g} s"
                log.warning("Stopping: finishing %s, for at most %s; Ctrl-C again stops at once.", replies, most)

    def _cancel(self) -> None:
        if self._task is not None:
            self._stopping = True
            self._task.cancel()


def _belongs_to_asyncio(handler: object) -> bool:
    """Return whether `asyncio.run` has set this handler. It cancels a task that cannot end while a call blocks it."""
    method = getattr(handler, "func", None)
    return isinstance(getattr(method, "__self__", None), asyncio.Runner)


class _Held(AbstractAsyncContextManager[None]):
    """The block of `Interruption.held`. Every turn has one, and a class costs less than a generator."""

    __slots__ = ("debate", "interruption")

    def __init__(self, interruption: Interruption, debate: Hashable) -> None:
        self.interruption, self.debate = interruption, debate

    async def __aenter__(self) -> None:
        await self.interruption._hold(self.debate)

    async def __aexit__(self, *_: object) -> None:
        self.interruption._release()
