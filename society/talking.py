"""Streamed debates on questions of the moment, one after another, on models that stay loaded."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from society.core.interrupt import GRACE, Interruption
from society.runner.stream import DebateStream
from society.scenario.expand import expand
from society.session import run_async

if TYPE_CHECKING:
    from society.executors.kept import KeptExecutor
    from society.results import Run
    from society.scenario.models.scenario import Scenario


class Talk:
    """A place for debates that are printed as they are spoken. Folders of runs that nobody keeps end with it."""

    def __init__(self, keep: Path | None = None) -> None:
        """`keep`: folder of runs that are kept. Replies in progress are then finished at the first Ctrl-C."""
        self._keep, self.keeps = keep, keep is not None
        self._stack = ExitStack()
        self._closing = AsyncExitStack()
        self._executor: KeptExecutor | None = None

    def __enter__(self) -> Self:
        self._runner = self._stack.enter_context(asyncio.Runner())
        self._scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="society-")))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._closing.aclose())
        finally:
            self._stack.close()

    def debate(self, scenario: Scenario, out: Path | None = None, resume: bool = False) -> Run:
        """Debate the question of a scenario, printing it, and return the run in `out` or in a numbered folder.

        `resume` continues the run in `out`. Raises `Interrupted` after Ctrl-C, and the errors of `society.run`.
        """
        self.stream = DebateStream(titled=False, whole=bool(expand(scenario).people))
        with Interruption(GRACE if self.keeps else 0) as interruption:
            return self._runner.run(self._debate(scenario, out or self._next(), interruption, resume))

    def _next(self) -> Path:
        """Return the first folder that does not exist, of 1, 2, ..."""
        root = self._keep or self._scratch
        return next(place for number in count(1) if not (place := root / str(number)).exists())

    async def _debate(self, scenario: Scenario, out: Path, interruption: Interruption, resume: bool) -> Run:
        if self._executor is None:
            from society.executors.kept import KeptExecutor

            inner = await self._closing.enter_async_context(scenario.executor.open())
            self._executor = await self._closing.enter_async_context(KeptExecutor(inner))
        return await run_async(
            scenario,
            out,
            resume=resume,
            watcher=self.stream,
            progress=False,
            interruption=interruption,
            executor=self._executor,
            waits=False,
        )
