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
from society.runs.folder import STORE
from society.runs.opening import find_needs
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run, run_async
from society.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Variant:
    """One point of the grid: its overrides (`a.b=c`) and its run."""

    overrides: tuple[str, ...]
    run: Run


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
) -> list[Variant]:
    """Run the whole grid in `out`, one folder per variant. An interrupted sweep continues where it stopped.

    All variants are checked before the first one runs. On a shared executor, the first variant runs alone; then all
    others run at the same time, without watchers, and reuse its turns. Raises what `load_scenario` and `run` raise.
    """
    grid = expand_grid(vary)
    loaded = [_load(scenario, overrides, changes, allow) for changes in grid]
    points = [
        _Point(changes, variant, out / folder_name(changes), watch)
        for changes, variant in zip(grid, loaded, strict=True)
    ]
    executor = loaded[0].executor
    if executor.shares_runs and all(variant.executor == executor for variant in loaded):
        return run_blocking(_side_by_side(points))
    done: list[Variant] = []
    for point in points:
        done.append(Variant(point.changes, run(point.scenario, **point.options(done))))
    return done


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

    def options(self, before: Sequence[Variant], alone: bool = True) -> dict[str, Any]:
        """Return the options of `run`: it reuses turns of the runs `before`, and is watched if it runs alone."""
        reuse = [variant.run.folder for variant in before]
        exists = (self.folder / STORE).exists()
        watcher = self.watch(self.changes) if self.watch and alone else None
        return {"out": self.folder, "resume": exists, "reuse": reuse, "watcher": watcher, "progress": False}


async def _side_by_side(points: Sequence[_Point]) -> list[Variant]:
    """Run all on one open executor. Each reuses turns of the first run only, so timing changes nothing."""
    first, *others = points
    async with first.scenario.executor.open() as executor:
        done = Variant(first.changes, await run_async(first.scenario, **first.options([]), executor=executor))
        free = asyncio.Semaphore(executor.count_runs(find_needs(expand(first.scenario))))

        async def play(point: _Point) -> Variant:
            async with free:
                options = point.options([done], alone=False)
                return Variant(point.changes, await run_async(point.scenario, **options, executor=executor))

        return [done, *await gather(play(point) for point in others)]


def folder_name(changes: Sequence[str]) -> str:
    """Return a folder name that shows the varied values, with a digest that keeps long names distinct."""
    from society.core.identity import fingerprint

    def short(change: str) -> str:
        name, equals, value = change.partition("=")
        return re.sub(r"[^A-Za-z0-9._=-]+", "_", name.rsplit(".", 1)[-1] + equals + value).strip("_")

    label = "+".join(map(short, changes))
    return f"{label[:80]}-{fingerprint(list(changes))[:6]}"
