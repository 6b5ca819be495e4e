"""The grid of a sweep: the variants of a scenario, each with its folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from society.components.faults import faults_of
from society.core.errors import InputError, ScenarioError, SocietyError
from society.core.problems import make_error
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.tasks.base import Task


@dataclass(frozen=True, slots=True)
class Point:
    """A variant to be run: its overrides (`a.b=c`), and its scenario with them. `seed` is that of a repetition."""

    changes: tuple[str, ...]
    scenario: Scenario
    folder: Path
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """The variants of a scenario's file that a sweep shall run in `out`: see `society.runner.sweep.sweep`."""

    scenario: Path
    vary: Sequence[str]
    out: Path
    overrides: Sequence[str] = ()
    allow: Sequence[Path] = ()
    seeds: Sequence[int] | int = ()


def make_points(asked: Request) -> list[Point]:
    """Return every variant of a scenario, checked. Raises what `load_scenario` raises, and `InputError`."""
    if asked.seeds != ():
        _refuse_seeds(asked.seeds, [*asked.vary, *asked.overrides])
    grid = expand_grid(asked.vary)
    points = []
    for more, seed, pins in _repetitions(asked):
        for varied in grid:
            changes = (*varied, *more)
            loaded = _load(asked, pins, changes)
            points.append(Point(changes, loaded, asked.out / folder_name(changes), seed))
    return points


def have_common_question(points: Sequence[Point]) -> bool:
    """Return whether all variants have a question in common. Variants whose task fails are left out: their runs fail.

    Questions are loaded only where the tasks or their seeds differ.
    """
    tasks: list[tuple[Task, int]] = []
    for point in points:
        task = point.scenario.task
        seed = point.scenario.seed if task.seed is None else task.seed
        one = task, seed if task.uses_seed else 0
        tasks += [one] if one not in tasks else []
    asked: list[set[tuple[str, str]]] = []
    for task, seed in tasks if len(tasks) > 1 else ():
        with suppress(SocietyError), faults_of(task, "questions"):
            asked.append({(item.id, item.question) for item in task.load(seed)})
    return not asked or bool(set.intersection(*asked))


def expand_grid(vary: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every combination of overrides. `vary` has entries `a.b=x,y,z`; commas within brackets do not split.

    Raises `InputError` for an entry without a key or without values, and for a key or a value that is given twice.
    """
    axes: dict[str, list[str]] = {}
    for entry in vary:
        key, equals, values = entry.partition("=")
        options = split_values(values)
        if not equals or not key or not all(options):
            raise InputError(f"--vary {entry!r} should be a field and its values, such as phases.debate.rounds=1,2,3.")
        if key in axes or len(set(options)) < len(options):
            twice = "a value" if key not in axes else f"the field {key!r}"
            raise InputError(f"--vary {entry!r} gives {twice} twice.", "Give each field and each of its values once.")
        axes[key] = [f"{key}={option}" for option in options]
    return list(product(*axes.values()))


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


def _repetitions(asked: Request) -> list[tuple[tuple[str, ...], int | None, tuple[str, ...]]]:
    """Return the change of each repetition, its seed, and overrides that keep the questions of the scenario."""
    seeds = asked.seeds
    if seeds == ():
        return [((), None, ())]
    base = load_scenario(asked.scenario, asked.overrides, asked.allow)
    first, pins = base.seed, []
    tasks = {"task": base.task} | ({"train.task": base.train.task} if base.train and base.train.task else {})
    for name, task in tasks.items():
        if task.uses_seed and task.seed is None:
            pins.append(f"{name}.seed={first}")
    chosen = range(first, first + seeds) if isinstance(seeds, int) else seeds
    return [((f"seed={seed}",), seed, tuple(pins)) for seed in chosen]


def _load(asked: Request, pins: Sequence[str], changes: Sequence[str]) -> Scenario:
    """Return the scenario of a variant. Errors name the option that a value comes from: --vary, or --set."""
    try:
        return load_scenario(asked.scenario, (*asked.overrides, *pins, *changes), asked.allow)
    except ScenarioError as error:
        varied = {f"--set {change.partition('=')[0]}": f"--vary {change}" for change in changes}
        raise make_error([replace(one, file=varied.get(one.file, one.file)) for one in error.problems]) from error


def folder_name(changes: Sequence[str]) -> str:
    """Return a folder name that shows the varied values, with a digest that keeps long names distinct."""
    from society.core.identity import fingerprint

    def short(change: str) -> str:
        name, equals, value = change.partition("=")
        return re.sub(r"[^A-Za-z0-9._=-]+", "_", name.rsplit(".", 1)[-1] + equals + value).strip("_")

    label = "+".join(map(short, changes))
    return f"{label[:80]}-{fingerprint(list(changes))[:6]}"
