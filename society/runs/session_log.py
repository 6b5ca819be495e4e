"""Records in a run's store who works on it: machine, start, pauses, end, and the state in which the work ended."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from society.core.errors import LimitReachedError, SocietyError, StoreError, WaitedTooLongError, describe_error
from society.core.interrupt import Interruption
from society.core.machine import (
    ProcessFacts,
    compare_versions,
    read_commit,
    read_gpus,
    read_program_commit,
    read_versions,
)
from society.core.plain import shorten
from society.core.types import Turn
from society.runs.files import read_json
from society.runs.state import RunState, Session, read_sessions, write_sessions
from society.store import Store
from society.watcher import Watcher

_REASON = 1_000
"""Maximum number of characters of a reason."""


def now() -> str:
    """Return the time in UTC, as ISO 8601 in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class SessionLog(Watcher):
    """The present session of a run, stored as it changes. Use it as a context manager within that of the store."""

    def __init__(
        self,
        store: Store,
        interruption: Interruption,
        totals: Callable[[], tuple[str, str]],
        processes: Sequence[Sequence[ProcessFacts]] = (),
    ) -> None:
        """`totals` returns the tokens and the dollars of the run so far, as decimal numbers or "".

        `processes` has the processes elsewhere that work for each backend. These lists may grow during the run.
        """
        self._store, self._interruption, self._totals = store, interruption, totals
        self._processes, self._known = processes, 0

    def __enter__(self) -> Self:
        meta = self._store.meta()
        self.earlier = read_sessions(meta)
        self._session = Session(
            host=socket.gethostname(),
            pid=str(os.getpid()),
            started=now(),
            gpus=", ".join(read_gpus()),
            versions=_compare_with_start(read_json(meta, "versions")),
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

    def turn(self, turn: Turn, replayed: bool) -> None:
        """Store which processes work, if there are new ones: a killed run cannot do so at its end."""
        if self._known != sum(map(len, self._processes)):
            self._write()

    def _write(self) -> None:
        self._known = sum(map(len, self._processes))
        found = dict.fromkeys(facts.describe(read_versions()) for some in self._processes for facts in some)
        tokens, dollars = self._totals()
        self._session = replace(self._session, tokens=tokens, dollars=dollars, workers=", ".join(found))
        self._store.set_meta(write_sessions([*self.earlier, self._session]))


def _compare_with_start(start: Mapping[str, str]) -> str:
    """Return the packages with other versions than at the run's start. An older society did not record all of them."""
    return compare_versions(start, {name: found for name, found in read_versions().items() if name in start})


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
