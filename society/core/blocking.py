"""Runs a coroutine from synchronous code, whether or not an event loop runs in this thread already (a notebook)."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result.

    Without an event loop in this thread, this is `asyncio.run`. Within one, the coroutine gets a loop in a thread of
    its own while this thread waits. A `KeyboardInterrupt` in the waiting thread cancels the coroutine, waits for its
    end and is raised; a second one does not wait.
    """
    if not is_loop_running():  # outside an `except` block: an error of the coroutine has no other one as its context
        return asyncio.run(coroutine)
    return _Worker(coroutine).result()


def is_loop_running() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Worker(Generic[T]):
    """A thread with an event loop that runs one coroutine."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._done: Future[T] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        # The context tells a notebook which cell the output of the thread belongs to.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="society", daemon=True)
        self._thread.start()

    def result(self) -> T:
        """Wait for the coroutine and return its result, or raise its exception."""
        try:
            return self._done.result()
        except KeyboardInterrupt:
            if not self._done.done():
                self._cancel()
                self._thread.join()
            raise

    def _work(self) -> None:
        try:
            self._done.set_result(asyncio.run(self._main()))
        except BaseException as error:
            self._done.set_exception(error)

    async def _main(self) -> T:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        return await self._coroutine

    def _cancel(self) -> None:
        """Cancel the coroutine, unless it has not begun or has just ended."""
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._task.cancel)
