"""Records in a run's store who works on it: machine, start, pauses, end, and the state in which the work ended."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from society.core.errors import LimitReachedError, SocietyError, StoreError, WaitedTooLongError, describe_error
from society.core.interrupt import Interruption
from society.core.plain import shorten
from society.runs.machine import read_commit, read_gpus, read_program_commit
from society.runs.state import RunState, Session, read_sessions, write_sessions
from society.store import Store

_REASON = 1_000
"""Maximum number of characters of a reason."""


def now() -> str:
    """Return the time in UTC, as ISO 8601 in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class SessionLog:
    """The present session of a run, stored as it changes. Use it as a context manager within that of the store."""

    def __init__(self, store: Store, interruption: Interruption, cost: Callable[[], str]) -> None:
        """`cost` returns the dollars of the run so far as a decimal number, or ""."""
        self._store, self._interruption, self._cost = store, interruption, cost

    def __enter__(self) -> Self:
        self.earlier = read_sessions(self._store.meta())
        self._session = Session(
            host=socket.gethostname(),
            pid=str(os.getpid()),
            started=now(),
            gpus=", ".join(read_gpus()),
            commit=read_commit(Path.cwd()),
            program_commit=read_program_commit(),
        )
        self._write()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cause = self._interruption.error if isinstance(exc, asyncio.CancelledError) else exc
        failed = cause is None and exc is None and self._store.count("status = 'failed'") > 0
        state = find_state(cause, exc is not None, failed)
        reason = "" if cause is None else _describe(cause)
        self._session = replace(self._session, state=state, reason=shorten(reason, _REASON), ended=now())
        with suppress(StoreError):  # the run ends with the error that is being raised
            self._write()

    def pause(self, cause: str) -> bool:
        """Store that the run waits for a server, and return whether it did not wait before."""
        begins = self._session.state != RunState.PAUSED
        if begins:
            self._session = replace(self._session, state=RunState.PAUSED, reason=shorten(cause, _REASON))
            self._write()
        return begins

    def proceed(self, seconds: float) -> None:
        """Store that the run goes on after waiting for these seconds."""
        paused = f"{float(self._session.paused) + seconds:.0f}"
        self._session = replace(self._session, state=RunState.RUNNING, reason="", paused=paused)
        self._write()

    def _write(self) -> None:
        self._session = replace(self._session, dollars=self._cost())
        self._store.set_meta(write_sessions([*self.earlier, self._session]))


def find_state(cause: BaseException | None, ended_early: bool, failed: bool) -> RunState:
    """Return the state of a run that ended with this error. `failed`: whether turns failed in a run that is whole."""
    if isinstance(cause, LimitReachedError):
        return RunState.LIMITED
    if isinstance(cause, WaitedTooLongError):
        return RunState.EXHAUSTED
    if cause is not None and not isinstance(cause, KeyboardInterrupt):
        return RunState.ABORTED
    if ended_early:
        return RunState.INTERRUPTED
    return RunState.FAILED_TURNS if failed else RunState.FINISHED


def _describe(cause: BaseException) -> str:
    return cause.cause if isinstance(cause, SocietyError) else describe_error(cause)
