"""A run from start to end: its folder, its backends, its debates.

run          runs a scenario, from scripts, notebooks and the command line
run_async    the same within an event loop
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.components.faults import faults_of
from society.core.blocking import run_blocking
from society.core.errors import InputError, UnavailableError
from society.core.interrupt import GRACE, Interruption, check_grace
from society.core.paths import list_given
from society.core.plain import duration
from society.core.types import Item
from society.executors.base import Executor
from society.planning.demand import fit_backends
from society.results import Run
from society.retrieval.growing import require_index
from society.runner.displays import Display, find_display
from society.runner.progress import Progress
from society.runner.spending import Spending
from society.runs.files import MEASUREMENTS, keep_inputs
from society.runs.folder import RunFolder
from society.runs.opening import check_here, open_backends
from society.runs.places import find_store
from society.runs.records import DebateRecord, load_records
from society.runs.run import Run as StoredRun
from society.runs.session_log import SessionLog
from society.scenario.expand import Society, expand
from society.scenario.load import Source, check_again, load_with_warnings
from society.scenario.models.scenario import Scenario
from society.scenario.questions import Items, load_items
from society.simulation.outages import Availability, OnOutage
from society.simulation.simulate import DebateResult, simulate
from society.simulation.speaker import Speaker, parse_once
from society.store import Store
from society.store.rows import Split
from society.watcher import Pulse, Several, Watcher

if TYPE_CHECKING:
    from backends.base import Backend

log = logging.getLogger(__name__)

Reusable = Path | str | StoredRun
"""A run whose turns may be reused, or its folder."""


def run(
    scenario: Scenario | Source,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    reuse: Reusable | Sequence[Reusable] = (),
    watcher: Watcher | None = None,
    progress: bool | None = None,
    grace: float = GRACE,
) -> Run:
    """Run a scenario to its end and return the run in the folder `out` (default: runs/NAME, with a number if taken).

    `scenario` may also be the YAML file or the dictionary that the scenario is loaded from. The call works within a
    running event loop, as in a notebook. `resume` continues an unfinished run: stored turns are read again, and only
    missing or failed ones are generated. With `force`, the scenario may have changed meanwhile: turns with the same
    prompt and settings are kept, and the others are made again. `reuse` names another run, or several, whose equal
    turns are copied. `progress` shows the run as it goes, by default in a notebook and on a terminal.

    The first Ctrl-C (in a notebook: interrupt) or SIGTERM finishes and stores the replies under way, for at most
    `grace` seconds, then raises `Interrupted`, a `KeyboardInterrupt`. Requests in queues are dropped. The second one
    stops at once. Signal handlers of the caller stay in place.

    Raises `InputError` for input that cannot be used, `BackendError` and `StoreError` when the run cannot go on. All
    turns stored until then are kept.
    """
    check_grace(grace)
    with Interruption(grace) as interruption:
        options: dict[str, Any] = {
            "resume": resume,
            "force": force,
            "reuse": reuse,
            "watcher": watcher,
            "progress": progress,
        }
        return run_blocking(run_async(scenario, out, **options, interruption=interruption))


async def run_async(
    scenario: Scenario | Source,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    reuse: Reusable | Sequence[Reusable] = (),
    watcher: Watcher | None = None,
    progress: bool | None = None,
    interruption: Interruption | None = None,
    executor: Executor | None = None,
    waits: bool = True,
) -> Run:
    """Run a scenario as `run` does, within the caller's event loop.

    It handles no signals; cancelling it stops the run at once. Runs that are given the same open `executor` share its
    models. Without `waits`, a server that is not there when a new run begins is an error at once.
    """
    given = list_given(reuse, "reuse", StoredRun, str, Path)
    reused = [run.folder if isinstance(run, StoredRun) else Path(run) for run in given]
    if not isinstance(out, str | Path | None) or out == "":
        raise InputError(f"`out` is {out!r:.80}, which is no path.", "Give the path of a folder.")
    interruption = interruption or Interruption()
    scenario = check_again(scenario) if isinstance(scenario, Scenario) else load_with_warnings(scenario)[0]
    society = expand(scenario)
    spending = Spending(society, interruption)
    watcher = Several([*_watchers(watcher, progress, society), spending])
    place = RunFolder(scenario, out, resume, force)
    with interruption.stops_me(), await place.ready() as folder, spending.of(folder.stores()), watcher:
        await _require_parts(society)
        items = load_items(society)
        fitted = await asyncio.to_thread(fit_backends, society, items.every)
        session = SessionLog(folder.holder, interruption, spending.totals)
        report = partial(_report_outage, session, watcher)
        wait = _Waiting(scenario.retry.minutes, report, resume) if waits or resume else None
        async with AsyncExitStack() as stack:
            with session.loading(folder.store):
                backends, adapters = await stack.enter_async_context(open_backends(fitted, executor, wait))
            others = [folder.bring_near(store) for store in (*folder.earlier(), *map(find_store, reused))]
            discard = partial((folder.path / MEASUREMENTS).unlink, missing_ok=True)
            with Store(folder.store, others, on_change=discard, on_training=folder.copy_soon) as store:
                pulse = Pulse()
                folder.report_progress(lambda: pulse.last, interruption.stop)
                processes = [backend.processes for backend in backends.values()]
                followed = Several([pulse, session, watcher])
                interruption.folder = folder.path
                interruption.drop = partial(_drop_queued, backends)
                hashes = {name: backend.model_hash for name, backend in backends.items()}
                folder.record(store, hashes, items.every, session.begin(store, processes))
                keep_inputs(folder.path, scenario, items.evaluation)
                speaker = Speaker(
                    backends=backends,
                    adapters=adapters,
                    store=store,
                    seed=scenario.seed,
                    parse=scenario.task.parse,
                    on_turn=followed.turn,
                    on_reply=spending.reply,
                    timeout=scenario.timeout,
                    interruption=interruption,
                    retry=scenario.retry,
                    listener=watcher if watcher.streams or watcher.starts else None,
                )
                with session:
                    speaker.on_outage = report
                    stage = _Stage(speaker, store, followed, folder.path)
                    await _play(society, items, stage, backends, adapters, folder.path)
        return Run(folder.path)


async def _require_parts(society: Society) -> None:
    """Raise `InputError` if this machine lacks what gates, memories, backends or tools need."""
    for gate in (gate for phase in society.phases for gate in phase.spec.edges.gate):
        gate.require()
    for measure in society.recall_measures:
        require_index(measure)
    check_here(society)
    for tool in society.tools:
        with faults_of(tool, "require"):
            await asyncio.to_thread(tool.require)


@dataclass
class _Waiting:
    """Waits for servers that are not there when a run begins or is resumed; see `society.runs.opening.Wait`.

    A new run does not wait with `minutes: 0`, nor for a server whose address is more likely wrong.
    """

    minutes: float
    announce: OnOutage
    resumed: bool
    found: dict[str, Availability] = field(default_factory=dict)

    async def __call__(self, backend: str, error: UnavailableError | None) -> None:
        if error is None:
            if backend in self.found:
                self.found[backend].answer()
            return
        if backend not in self.found:
            if not self.resumed and not (error.may_pass and self.minutes):
                raise error
            self.found[backend] = Availability(backend, self.minutes, self.announce, unnoticed=0.0)
            log.warning(
                "The run waits for the backend %r, for at most %g minutes (`retry.minutes`). %s",
                backend,
                self.minutes,
                error.remedy,
            )
        await self.found[backend].bear(error)


def _drop_queued(backends: Mapping[str, Backend]) -> None:
    for backend in backends.values():
        backend.drop_queued()


def _report_outage(session: SessionLog, watcher: Watcher, backend: str, cause: str, seconds: float) -> None:
    """Store and report that the run waits for a backend, or with cause "" that it goes on."""
    known = session.is_out(backend)
    session.outage(backend, cause, seconds)
    if cause and not known:
        log.warning("The run is paused until the backend %r answers: %s", backend, cause)
    elif not cause:
        goes_on = "" if session.is_out("") else "The run goes on: "
        log.warning("%sthe backend %r answers again, after %s.", goes_on, backend, duration(seconds))
    watcher.outage(backend, cause, seconds)


def _watchers(watcher: Watcher | None, progress: bool | None, society: Society) -> Iterator[Watcher]:
    """Yield the caller's watcher, and one that shows the progress if it is to be shown.

    People are asked in the terminal, so the progress takes no part of it, and shows no results.
    """
    if isinstance(watcher, type) or not isinstance(watcher, Watcher | None):
        raise InputError(f"watcher is {watcher!r:.80}, not an object of a subclass of Watcher.", "Make one: NAME().")
    if watcher is not None:
        yield watcher
    display = Display() if society.people else find_display(asked=bool(progress))
    if progress is not False and display is not None:
        yield Progress(display)


async def _play(
    society: Society,
    items: Items,
    stage: _Stage,
    backends: Mapping[str, Backend],
    adapters: dict[str, str],
    folder: Path,
) -> None:
    """Debate the evaluation questions, or run all iterations of a finetuning."""
    spec = society.scenario.train
    if spec is None:
        await stage.debate(society, items.evaluation, 0, "evaluation", range(society.scenario.samples))
        return
    from society.training.loop import TrainingLoop

    step = stage.watcher.training
    find = stage.speaker.find_availability
    loop = TrainingLoop(society, spec, items, backends, stage.store, folder, adapters, stage.debate, step, find)
    loop.pruned = stage.speaker.pruned
    await loop.run()


@dataclass
class _Stage:
    """Runs debates, stores their results, and reports them to the watcher."""

    speaker: Speaker
    store: Store
    watcher: Watcher
    folder: Path

    async def debate(
        self, society: Society, items: Sequence[Item], iteration: int, split: Split, samples: range
    ) -> list[DebateRecord]:
        """Debate these questions. Return the iteration's records of a training split; of the evaluation, nothing."""
        self.watcher.started(society, items, self.folder, iteration, split)
        task = society.scenario.task
        if split == "training" and society.scenario.train is not None:
            task = society.scenario.train.task or task

        def keep(result: DebateResult) -> None:
            self.store.add_result(result.row(split))
            self.watcher.result(result)

        speaker = replace(self.speaker, parse=parse_once(task.parse))
        await simulate(society, task, items, speaker, keep, iteration, samples=samples)
        self.store.commit()
        return load_records(Run(self.folder), iteration, split) if split == "training" else []
