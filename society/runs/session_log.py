"""Records in a run's store who works on it: machine, start, pauses, end, and the state in which the work ended."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from society.core.errors import (
    InputError,
    LimitReachedError,
    SocietyError,
    StoreError,
    WaitedTooLongError,
    describe_error,
)
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
from society.runs.calls import add_call
from society.runs.files import read_json
from society.runs.lease import Holder
from society.runs.state import RunState, Session, read_sessions, settle, write_sessions
from society.store import Store
from society.watcher import Watcher

_REASON = 1_000
"""Maximum number of characters of a reason."""


def loop_time() -> float:
    """Return the seconds of the running event loop's clock."""
    return asyncio.get_running_loop().time()


def now() -> str:
    """Return the time in UTC, as ISO 8601 in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class SessionLog(Watcher):
    """The present session of a run, stored as it changes.

    While the run loads its models, `loading` is entered. Then `begin` returns what the run stores first, and the object
    is the context manager of the rest, within that of the store.
    """

    def __init__(self, holder: Holder, interruption: Interruption, totals: Callable[[], tuple[str, str]]) -> None:
        """`totals` returns the tokens and the dollars of the run so far, as decimal numbers or ""."""
        self._holder, self._interruption, self._totals = holder, interruption, totals
        self._store: Store | None = None
        self._processes: Sequence[Sequence[ProcessFacts]] = ()
        self._known = 0
        self._began = time.monotonic()
        self._outages: dict[str, str] = {}
        """Causes of the present outages by backend."""
        self._waited, self._since = 0.0, 0.0
        """Seconds of earlier outages, and the time at which the present ones began."""
        self._session = Session(
            RunState.STARTING, host=socket.gethostname(), pid=str(os.getpid()), started=now(), lease=holder.token
        )

    @contextmanager
    def loading(self, path: Path) -> Iterator[None]:
        """Store how the call ended if the block raises an error; `path` is the store of the run, if there is one yet.

        A call with an input that cannot be used has not worked on the run, unless it waited for a server.
        """
        try:
            yield
        except BaseException as error:
            if not isinstance(error, WaitedTooLongError):
                self._holder.note_wait("")
            if path.exists() and (self._paused() or not isinstance(error, InputError)):
                with suppress(SocietyError), Store(path, whole=False) as store:
                    self._open(store)
                    self._end(error)
            raise

    def begin(self, store: Store, processes: Sequence[Sequence[ProcessFacts]] = ()) -> dict[str, str]:
        """Return the fact that a run stores with its first ones. `store` is the run's own.

        `processes` has the processes elsewhere that work for each backend. These lists may grow during the run.
        """
        self._processes = processes
        self._open(store)
        return self._describe(RunState.RUNNING)

    def _open(self, store: Store) -> None:
        meta = store.meta()
        self._store = store
        self.earlier = settle(add_call(read_sessions(meta), self._holder.previous))
        self._session = replace(
            self._session,
            gpus=", ".join(read_gpus()),
            versions=_compare_with_start(read_json(meta, "versions")),
            commit=read_commit(Path.cwd()),
            program_commit=read_program_commit(),
            last=self.earlier[-1].last if self.earlier else "",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(StoreError):  # the run ends with the error that is being raised
            self._end(exc)

    def _end(self, exc: BaseException | None) -> None:
        """Store that the call has ended, with this error."""
        cause = self._interruption.error if isinstance(exc, asyncio.CancelledError) else exc
        failed = exc is None and self._store is not None and self._store.count("status = 'failed'") > 0
        reason = "" if cause is None else _describe(cause)
        seconds = f"{time.monotonic() - self._began:.1f}"
        self._session = replace(self._session, ended=now(), seconds=seconds)
        self._write(find_state(cause, exc is not None, failed), reason)

    def is_out(self, backend: str) -> bool:
        """Return whether the run waits for a backend, or for any with ""."""
        return backend in self._outages if backend else bool(self._outages)

    def outage(self, backend: str, cause: str, seconds: float) -> None:
        """Store that the run has waited for a backend for these seconds, or with cause "" that it goes on without."""
        if cause:
            start = loop_time() - seconds
            self._since = min(self._since, start) if self._outages else start
            self._outages[backend] = cause
        elif self._outages.pop(backend, None) is not None and not self._outages:
            self._waited += loop_time() - self._since
        reason = "; ".join(f"{name}: {cause}" for name, cause in self._outages.items())
        if self._store is None:
            self._holder.note_wait(reason)
        else:
            self._write(RunState.PAUSED if reason else RunState.RUNNING, reason)

    def _paused(self) -> float:
        """Return the seconds of outages so far."""
        return self._waited + (loop_time() - self._since if self._outages else 0.0)

    def turn(self, turn: Turn, replayed: bool) -> None:
        """Store which processes work, if there are new ones: a killed run cannot do so at its end."""
        if not replayed:
            self._session = replace(self._session, last=now())
        if self._known != sum(map(len, self._processes)):
            self._write(self._session.state, self._session.reason)

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        """Note the time of an optimizer step."""
        self._session = replace(self._session, last=now())

    def _write(self, state: RunState, reason: str = "") -> None:
        if self._store is not None:
            self._store.note(self._describe(state, reason))

    def _describe(self, state: RunState, reason: str = "") -> dict[str, str]:
        """Return the fact that holds all sessions, the present one in this state."""
        self._known = sum(map(len, self._processes))
        found = dict.fromkeys(facts.describe(read_versions()) for some in self._processes for facts in some)
        tokens, dollars = self._totals()
        self._session = replace(
            self._session,
            state=state,
            reason=shorten(reason, _REASON),
            paused=f"{self._paused():.0f}",
            tokens=tokens,
            dollars=dollars,
            workers=", ".join(found),
        )
        return write_sessions([*self.earlier, self._session])


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
