"""A grid of runs over one scenario. Each run reuses the equal turns of runs before it.

A sweep may be split: over the tasks of an array job (`index`, `of`), or over processes of this machine (`jobs`). Then
the first variant of each seed, the leader, is run first, by whichever process gets its folder, and the others reuse its
turns. So the turns that a variant shares depend neither on speed nor on the number of processes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from society.core.blocking import run_blocking
from society.core.concurrency import gather
from society.core.errors import FolderInUseError, InputError, SocietyError, describe_error
from society.core.interrupt import GRACE, Interruption
from society.core.paths import list_given
from society.executors.base import Executor
from society.runner.grid import Point, Request, have_common_question, make_points
from society.runner.parts import run_processes
from society.runs.locking import is_running
from society.runs.opening import find_needs
from society.runs.places import has_begun
from society.runs.run import Run
from society.runs.status import ERROR, has_error, read_status
from society.scenario.expand import expand
from society.session import run_async
from society.watcher import Watcher

log = logging.getLogger(__name__)

POLL = 1.0
"""Seconds between two looks at a variant that another process runs."""
Watch = Callable[[tuple[str, ...]], Watcher]


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of the grid: its overrides (`a.b=c`) and its run. `seed` is that of a repetition, if there are any.

    `missing` says why the run is not whole; "" if it is. `own`: the call was to run it, and no other process does.
    """

    overrides: tuple[str, ...]
    run: Run
    seed: int | None = None
    missing: str = ""
    own: bool = True


def sweep(
    scenario: Path | str,
    vary: str | Sequence[str] = (),
    out: Path | str | None = None,
    overrides: str | Sequence[str] = (),
    allow: Path | str | Sequence[Path | str] = (),
    watch: Watch | None = None,
    seeds: Sequence[int] | int = (),
    index: int | None = None,
    of: int | None = None,
    jobs: int = 1,
    grace: float = GRACE,
    resume: bool = False,
) -> list[Variant]:
    """Run the whole grid in `out`, one folder per variant (default: runs/sweep-NAME).

    `vary` has entries `a.b=x,y,z`: a field and its values. The same call continues an interrupted sweep where it
    stopped, with `resume` or without it.

    With `seeds`, or their number, each variant is repeated with each of these seeds: the same questions, other draws of
    replies and random graphs. Seeds by number start at the seed of the scenario.

    With `index`, only part `index` of `of` parts is run, counted from 0. The parts may run at the same time, on several
    machines with a shared disk. With `jobs`, that many processes of this machine share the work. Every variant of the
    grid is returned in any case, with what its folder holds by then.

    `grace`: seconds for the replies in progress after Ctrl-C or SIGTERM, in every variant that is running.

    All variants are checked before the first one runs. A variant that fails does not stop the others; if all fail, the
    first error is raised. On a shared executor, leaders run first, then all others at the same time, without watchers.
    Raises what `load_scenario` raises.
    """
    parts = _check_parts(index, of, jobs)
    asked = _read_request(scenario, vary, out, overrides, allow, seeds)
    points = make_points(asked)
    if not have_common_question(points):
        log.warning(
            "The variants have no question in common, so there will be no paired statistics. To repeat the same "
            "questions, use --seeds in place of seed=..., or set `task.seed`."
        )
    executor = points[0].scenario.executor
    shared = executor.shares_runs and all(point.scenario.executor == executor for point in points)
    if jobs > 1:
        if shared:
            raise InputError(
                f"--jobs {jobs}: the executor of this scenario runs variants at the same time itself.",
                "Set executor.runs, and leave out --jobs.",
            )
        run_processes(asked, min(jobs, len(points)), grace)
        return [_conclude(point, None) for point in points]
    work = _Work(points, index, parts, watch, grace)
    if shared:
        with Interruption(grace) as work.interruption:
            run_blocking(work.run_side_by_side())
    else:
        run_blocking(work.run_in_turn())
    if len(work.errors) == len(work.own) > 0:
        raise next(iter(work.errors.values()))
    return [_conclude(point, work.errors.get(point.folder), point in work.own) for point in points]


def _read_request(
    scenario: Path | str,
    vary: str | Sequence[str],
    out: Path | str | None,
    overrides: str | Sequence[str],
    allow: Path | str | Sequence[Path | str],
    seeds: Sequence[int] | int,
) -> Request:
    """Return what a call of `sweep` asks for. Raises `InputError` for a value of another type."""
    if not isinstance(scenario, str | Path):
        raise InputError(f"A sweep cannot run {scenario!r:.80}.", "Give the path of a scenario's file.")
    entries = list_given(vary, "vary", str)
    if not entries and seeds == ():
        remedy = "Give --vary a.b=x,y,z, --seeds 3, or both (Python: the arguments vary and seeds)."
        raise InputError("A sweep needs something that varies.", remedy)
    folder = Path("runs") / f"sweep-{Path(scenario).stem}" if out is None else Path(out)
    folders = tuple(map(Path, list_given(allow, "allow", str, Path)))
    return Request(Path(scenario), entries, folder, list_given(overrides, "overrides", str), folders, seeds)


def _check_parts(index: int | None, of: int | None, jobs: int) -> int:
    """Return the number of parts. Raises `InputError` for parts that there are not."""
    number = 1 if of is None else of
    if index is not None and of is None:
        raise InputError(f"--index {index} needs --of.", "Give the number of parts, such as --of 4.")
    if number < 1 or not (index is None or 0 <= index < number):
        raise InputError(
            f"There is no part {index} of {of}.", f"Parts are counted from 0: give --index 0 to {max(number, 1) - 1}."
        )
    if index is None and number > 1:
        raise InputError(f"--of {of} needs --index.", "Give the number of this part, from 0.")
    if jobs < 1 or (jobs > 1 and index is not None):
        raise InputError(f"--jobs {jobs} cannot be used here.", "Give a number from 1, without --index.")
    return number


@dataclass
class _Work:
    """The part of a sweep that this process runs."""

    points: Sequence[Point]
    index: int | None
    of: int
    watch: Watch | None
    grace: float = GRACE
    interruption: Interruption = field(default_factory=Interruption)
    """The interruption of all runs on a shared executor."""
    errors: dict[Path, Exception] = field(default_factory=dict)
    """Errors of the variants that failed here, by folder."""

    def __post_init__(self) -> None:
        self.leaders = {point.seed: point for point in reversed(self.points)}
        leading = [point for point in self.points if point is self.leaders[point.seed]]
        others = [point for point in self.points if point is not self.leaders[point.seed]]
        self.own = list(self.points) if self.index is None else [*leading, *others][self.index :: self.of]

    async def run_in_turn(self) -> None:
        """Run the variants one after another. In a whole sweep each reuses turns of all earlier ones of its seed."""
        done: list[Point] = []
        for point in self.own:
            if self.index is None:
                shared = [other for other in done if other.seed == point.seed]  # other seeds share no turn
            else:
                shared = await self._lead(point)
            if await self._play(point, shared):
                done.append(point)

    async def run_side_by_side(self) -> None:
        """Run all on one open executor: first the leaders, then all others. Each reuses turns of its leader only."""
        with self.interruption.stops_me():
            await self._run_on((self.own or self.points)[0])

    async def _run_on(self, first: Point) -> None:
        async with first.scenario.executor.open() as executor:
            free = asyncio.Semaphore(executor.count_runs(find_needs(expand(first.scenario))))

            async def play(point: Point) -> None:
                shared = await self._lead(point, executor)
                async with free:
                    await self._play(point, shared, executor)

            leading = [point for point in self.own if point is self.leaders[point.seed]]
            for group in (leading, [point for point in self.own if point not in leading]):
                await gather(play(point) for point in group)

    async def _lead(self, point: Point, executor: Executor | None = None) -> list[Point]:
        """Return the leader of a variant once its run is whole; nothing for the leader itself, or if it fails.

        A leader that no process runs is run here.
        """
        leader = self.leaders[point.seed]
        if leader is point:
            return []
        told = False
        while True:
            if has_begun(leader.folder) and read_status(leader.folder).whole:
                return [leader]
            if leader.folder in self.errors:
                return []
            if is_running(leader.folder) is False:  # None: it becomes clear within moments
                if await self._play(leader, [], executor):
                    return [leader]
                if not isinstance(self.errors[leader.folder], FolderInUseError):
                    return []
                del self.errors[leader.folder]
            if not told:
                told = True
                log.warning("Waiting for %s, whose turns are shared: %s", leader.folder.name, _describe(leader))
            with nullcontext(Interruption()) if executor else Interruption() as interruption, interruption.stops_me():
                await asyncio.sleep(POLL)

    async def _play(self, point: Point, shared: Sequence[Point], executor: Executor | None = None) -> bool:
        """Run a variant, and return whether it came to its end. The error of one that fails is kept, in its folder too.

        Without an `executor`, it is shown while it goes on.
        """
        watcher = self.watch(point.changes) if self.watch and executor is None else None
        note = point.folder / ERROR
        try:
            one = nullcontext(self.interruption.child()) if executor else Interruption(self.grace)
            with one as interruption:
                await run_async(
                    point.scenario,
                    point.folder,
                    resume=has_begun(point.folder),
                    reuse=[other.folder for other in shared],
                    watcher=watcher,
                    progress=False,
                    interruption=interruption,
                    executor=executor,
                )
        except Exception as error:
            self.errors[point.folder] = error
            if isinstance(error, FolderInUseError):
                return False
            log.error("%s failed: %s", point.folder.name, error, exc_info=not isinstance(error, SocietyError))
            with suppress(OSError):  # the disk may be what failed
                point.folder.mkdir(parents=True, exist_ok=True)
                note.write_text(_tell(error))
            return False
        note.unlink(missing_ok=True)
        return True


def _conclude(point: Point, error: Exception | None, own: bool = True) -> Variant:
    """Return a variant with its run, and with the error that it met here. `own`: this call was to run it."""
    missing = _describe(point) if error is None else _tell(error)
    mine = own and not isinstance(error, FolderInUseError)
    return Variant(point.changes, Run(point.folder), point.seed, " ".join(missing.split()), mine)


def _tell(error: Exception) -> str:
    return str(error) if isinstance(error, SocietyError) else describe_error(error)


def _describe(point: Point) -> str:
    """Return why the run of a variant is not whole; "" if it is."""
    if not (has_begun(point.folder) or has_error(point.folder)):
        return "has not begun"
    status = read_status(point.folder)
    if status.whole:
        return ""
    where = f" on {status.host}" if status.host else ""
    return f"{status.state}{where}, {status.progress}" + (f": {status.reason}" if status.reason else "")
