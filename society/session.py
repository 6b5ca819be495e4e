"""A run from start to end: its folder, its backends, its debates. `society run` and Python users call `run`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from society.errors import BackendError
from society.folder import RunFolder, find_store
from society.metrics.records import DebateRecord, load_records
from society.runs import Run
from society.scenario.expand import Society, expand
from society.scenario.models import Scenario
from society.simulation.simulate import DebateResult, simulate
from society.simulation.speaker import Speaker
from society.store import Store
from society.store.rows import ResultRow
from society.types import Item, Turn

if TYPE_CHECKING:
    from backends.base import Backend


class Watcher:
    """What follows a run as it goes: progress displays and loggers override what they care about.

    It is entered before the backends open and left when the run ends, however it ends.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        """The debates on these items begin: for "evaluation", or for "training" data."""

    def turn(self, turn: Turn, replayed: bool) -> None:
        """A turn is committed; `replayed` if it was in a store already."""

    def result(self, result: DebateResult) -> None:
        """A debate is decided."""

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        """An optimiser step of this learner's adapter for this agent ("*": all) is done."""


def run(
    scenario: Scenario,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    reuse: Sequence[Path] = (),
    watcher: Watcher | None = None,
) -> Run:
    """Run a scenario to its end and return what it left in `out` (default: runs/NAME, a number added if taken).

    `resume` goes on with an unfinished run: everything stored is found again, only what is missing or failed is
    generated. `reuse` names other runs whose equal turns are taken over.

    Raises `InputError` for input that cannot be used, `BackendError` and `StoreError` when it cannot go on; what
    was stored until then is safe.
    """
    return asyncio.run(run_async(scenario, out, resume=resume, reuse=reuse, watcher=watcher))


async def run_async(
    scenario: Scenario,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    reuse: Sequence[Path] = (),
    watcher: Watcher | None = None,
) -> Run:
    """`run` for callers that have an event loop."""
    watcher = watcher or Watcher()
    society = expand(scenario)
    with RunFolder(scenario, out, resume) as folder, watcher:
        async with open_backends(society) as (backends, adapters):
            with Store(folder.store, [find_store(path) for path in reuse]) as store:
                folder.record(store, {name: backend.model_hash for name, backend in backends.items()})
                speaker = Speaker(backends, adapters, store, scenario.seed, scenario.task.parse, watcher.turn)
                stage = _Stage(speaker, store, watcher, folder.path)
                await _play(society, stage, backends, adapters, folder.path)
        return Run(folder.path)


async def _play(
    society: Society, stage: _Stage, backends: Mapping[str, Backend], adapters: dict[str, str], folder: Path
) -> None:
    """Debate the task's questions, or go through all iterations of a finetuning."""
    spec = society.scenario.train
    if spec is None:
        await stage.debate(society, society.scenario.task.load(society.scenario.seed), 0, "evaluation")
        return
    from society.training.loop import TrainingLoop

    step = stage.watcher.training
    await TrainingLoop(society, spec, backends, stage.store, folder, adapters, stage.debate, step).run()


@dataclass
class _Stage:
    """Plays debates, stores how each ended, and tells whoever watches."""

    speaker: Speaker
    store: Store
    watcher: Watcher
    folder: Path

    async def debate(self, society: Society, items: Sequence[Item], iteration: int, split: str) -> list[DebateRecord]:
        """Debate these questions; give back the records of a training split, which it learns from."""
        self.watcher.started(society, items, self.folder, iteration, split)
        task = society.scenario.task
        if split == "training" and society.scenario.train is not None:
            task = society.scenario.train.task or task

        def keep(result: DebateResult) -> None:
            self.store.add_result(_row(result, split))
            self.watcher.result(result)

        await simulate(society, task, items, replace(self.speaker, parse=task.parse), keep, iteration)
        self.store.commit()
        return load_records(Run(self.folder), iteration, split) if split == "training" else []


def _row(result: DebateResult, split: str) -> ResultRow:
    return ResultRow(
        result.iteration, result.item.id, result.sample, split, result.item.question, result.item.gold,
        result.decision, result.correct, result.verdicts,
    )  # fmt: skip


@asynccontextmanager
async def open_backends(society: Society) -> AsyncIterator[tuple[dict[str, Backend], dict[str, str]]]:
    """The backends that the society uses, loaded, and the content hash of each adapter that its agents name."""
    plans = [plan for phase in society.phases for plan in phase.agents.values()]
    async with AsyncExitStack() as stack:
        backends: dict[str, Backend] = {}
        for name in dict.fromkeys(plan.backend for plan in plans):
            backends[name] = await stack.enter_async_context(society.scenario.backends[name].open())
        yield backends, await _load_adapters(backends, {(p.backend, p.adapter) for p in plans if p.adapter})


async def _load_adapters(backends: Mapping[str, Backend], wanted: set[tuple[str, str]]) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for name, path in sorted(wanted):
        loader = backends[name].adapters
        if loader is None:
            raise BackendError(f"The backend {name!r} cannot load adapters.", "Use llama_cpp or hf for this agent.")
        adapter = loader.identify(Path(path))
        await loader.load(adapter)
        hashes[path] = adapter.hash
    return hashes
