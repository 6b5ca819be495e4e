"""A grid of runs over one scenario. Each run reuses the equal turns of the runs before it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from society.core.blocking import run_blocking
from society.core.concurrency import gather
from society.core.errors import InputError, ScenarioError
from society.core.problems import make_error
from society.runs.folder import has_begun
from society.runs.opening import find_needs
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run, run_async
from society.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of the grid: its overrides (`a.b=c`) and its run. `seed` is that of a repetition, if there are any."""

    overrides: tuple[str, ...]
    run: Run
    seed: int | None = None


def expand_grid(vary: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every combination of overrides. `vary` has entries `a.b=x,y,z`; commas within brackets do not split.

    Raises `InputError` for an entry without a key or without values.
    """
    axes: list[list[str]] = []
    for entry in vary:
        key, equals, values = entry.partition("=")
        options = split_values(values)
        if not equals or not key or not all(options):
            raise InputError(f"--vary {entry!r} should be a field and its values, such as phases.debate.rounds=1,2,3.")
        axes.append([f"{key}={option}" for option in options])
    return list(product(*axes))


def split_values(text: str) -> list[str]:
    """Split a text at commas that are not within [], {} or quotes."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        if char == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def sweep(
    scenario: Path,
    vary: Sequence[str],
    out: Path,
    overrides: Sequence[str] = (),
    allow: Sequence[Path] = (),
    watch: Callable[[tuple[str, ...]], Watcher] | None = None,
    seeds: Sequence[int] | int = (),
) -> list[Variant]:
    """Run the whole grid in `out`, one folder per variant. An interrupted sweep continues where it stopped.

    With `seeds`, or their number, each variant is repeated with each of these seeds: the same questions, other draws of
    replies and random graphs. Seeds by number start at the seed of the scenario.

    All variants are checked before the first one runs. On a shared executor, the first variant runs alone; then all
    others run at the same time, without watchers, and reuse its turns. Raises what `load_scenario` and `run` raise.
    """
    if seeds != ():
        _refuse_seeds(seeds, [*vary, *overrides])
    grid = expand_grid(vary)
    points = [
        _Point((*changes, *more), loaded, out / folder_name((*changes, *more)), watch, seed)
        for more, seed, pins in _repetitions(scenario, overrides, allow, seeds)
        for changes in grid
        for loaded in [_load(scenario, (*overrides, *pins), (*changes, *more), allow)]
    ]
    executor = points[0].scenario.executor
    if executor.shares_runs and all(point.scenario.executor == executor for point in points):
        return run_blocking(_side_by_side(points))
    done: list[Variant] = []
    for point in points:
        before = [variant for variant in done if variant.seed == point.seed]  # other seeds share no turn
        done.append(Variant(point.changes, run(point.scenario, **point.options(before)), point.seed))
    return done


def _refuse_seeds(seeds: Sequence[int] | int, entries: Sequence[str]) -> None:
    """Raise `InputError` for fewer than two seeds, repeated ones, and a seed that is given twice."""
    if isinstance(seeds, int):
        few, repeated = seeds < 2, False
    else:
        few, repeated = len(seeds) < 2, len(set(seeds)) < len(seeds)
    if few or repeated:
        wrong = "are repeated" if repeated else "make no repetitions"
        raise InputError(
            f"--seeds {_list(seeds)}: these seeds {wrong}.", "Give two or more: --seeds 3, or --seeds 0,1,2."
        )
    if any(entry.partition("=")[0] == "seed" for entry in entries):
        raise InputError("The seed is given twice.", "Give --seeds without --vary seed=... and --set seed=...")


def _list(seeds: Sequence[int] | int) -> str:
    return str(seeds) if isinstance(seeds, int) else ",".join(map(str, seeds))


def _repetitions(
    scenario: Path, overrides: Sequence[str], allow: Sequence[Path], seeds: Sequence[int] | int
) -> list[tuple[tuple[str, ...], int | None, tuple[str, ...]]]:
    """Return the change of each repetition, its seed, and overrides that keep the questions of the scenario."""
    if seeds == ():
        return [((), None, ())]
    base = load_scenario(scenario, overrides, allow)
    first, pins = base.seed, []
    tasks = {"task": base.task} | ({"train.task": base.train.task} if base.train and base.train.task else {})
    for name, task in tasks.items():
        if task.uses_seed and task.seed is None:
            pins.append(f"{name}.seed={first}")
    chosen = range(first, first + seeds) if isinstance(seeds, int) else seeds
    return [((f"seed={seed}",), seed, tuple(pins)) for seed in chosen]


def _load(scenario: Path, overrides: Sequence[str], changes: Sequence[str], allow: Sequence[Path]) -> Scenario:
    """Return the scenario of a variant. Errors name the option that a value comes from: --vary, or --set."""
    try:
        return load_scenario(scenario, (*overrides, *changes), allow)
    except ScenarioError as error:
        varied = {f"--set {change.partition('=')[0]}": f"--vary {change}" for change in changes}
        raise make_error([replace(one, file=varied.get(one.file, one.file)) for one in error.problems]) from error


@dataclass(frozen=True, slots=True)
class _Point:
    """A variant to be run."""

    changes: tuple[str, ...]
    scenario: Scenario
    folder: Path
    watch: Callable[[tuple[str, ...]], Watcher] | None
    seed: int | None = None

    def options(self, before: Sequence[Variant], alone: bool = True) -> dict[str, Any]:
        """Return the options of `run`: it reuses turns of the runs `before`, and is watched if it runs alone."""
        reuse = [variant.run.folder for variant in before]
        exists = has_begun(self.folder)
        watcher = self.watch(self.changes) if self.watch and alone else None
        return {"out": self.folder, "resume": exists, "reuse": reuse, "watcher": watcher, "progress": False}


async def _side_by_side(points: Sequence[_Point]) -> list[Variant]:
    """Run all on one open executor. Each reuses turns of the first run only, so timing changes nothing."""
    first, *others = points
    async with first.scenario.executor.open() as executor:
        made = await run_async(first.scenario, **first.options([]), executor=executor)
        done = Variant(first.changes, made, first.seed)
        free = asyncio.Semaphore(executor.count_runs(find_needs(expand(first.scenario))))

        async def play(point: _Point) -> Variant:
            async with free:
                options = point.options([done], alone=False)
                made = await run_async(point.scenario, **options, executor=executor)
                return Variant(point.changes, made, point.seed)

        return [done, *await gather(play(point) for point in others)]


def folder_name(changes: Sequence[str]) -> str:
    """Return a folder name that shows the varied values, with a digest that keeps long names distinct."""
    from society.core.identity import fingerprint

    def short(change: str) -> str:
        name, equals, value = change.partition("=")
        return re.sub(r"[^A-Za-z0-9._=-]+", "_", name.rsplit(".", 1)[-1] + equals + value).strip("_")

    label = "+".join(map(short, changes))
    return f"{label[:80]}-{fingerprint(list(changes))[:6]}"
