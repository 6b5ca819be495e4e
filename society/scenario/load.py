"""From a file to a checked `Scenario`: read, merge, override, validate, check; every problem at once.

Reading stops at text that is no YAML, and names are checked once the shape is right but for unknown keys; within
each step all problems are found together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from society.core.problems import Place, Problem, make_error, sort_problems
from society.scenario.checks.check import check
from society.scenario.checks.effects import check_effects
from society.scenario.models.scenario import Scenario
from society.scenario.reading.merge import find_neighbour, override, read_mapping, read_tree
from society.scenario.reading.source import Node, UnreadableError
from society.scenario.reading.tree import remove
from society.scenario.reading.validate import Flaws, validate

Source = str | Path | Mapping[str, Any]
"""A scenario's YAML file, or the same as a dictionary."""


def load_scenario(path: str | Path, overrides: Sequence[str] = (), allow: Sequence[Path | str] = ()) -> Scenario:
    """Return the scenario of a YAML file, `overrides` like `phases.debate.rounds=3` applied.

    Paths in it, and in `overrides`, start at its own folder and may lead into it and those of `allow`. Raises
    `ScenarioError`, with every problem found, unless the scenario can run.
    """
    return load_with_warnings(path, overrides, allow)[0]


def load_with_warnings(
    source: Source, overrides: Sequence[str] = (), allow: Sequence[Path | str] = (), folder: Path | str = "."
) -> tuple[Scenario, list[Problem]]:
    """Load a scenario as `load_scenario` does, with its warnings: likely mistakes that do not prevent a run.

    Paths in a dictionary start at `folder`.
    """
    scenario, problems = _load(source, overrides, allow, Path(folder))
    errors = [problem for problem in problems if problem.level == "error"]
    if scenario is None or errors:
        raise make_error(errors)
    return scenario, problems


def check_scenario(
    source: Source, overrides: Sequence[str] = (), allow: Sequence[Path | str] = (), folder: Path | str = "."
) -> list[Problem]:
    """Return every problem of a scenario, warnings included: of a file in its order, of a dictionary by field.

    The arguments are those of `load_with_warnings`. An empty list means that the scenario can run as it is meant.
    """
    return _load(source, overrides, allow, Path(folder))[1]


def _load(
    source: Source, overrides: Sequence[str], allow: Sequence[Path | str], folder: Path
) -> tuple[Scenario | None, list[Problem]]:
    problems: list[Problem] = []
    start = folder if isinstance(source, Mapping) else Path(source).parent
    folders = [Path(root).resolve() for root in (start, *allow)]
    try:
        root = _read(source, start, folders, problems)
        for setting in overrides:
            root = override(root, setting, problems)
    except UnreadableError as error:
        return None, sort_problems([*problems, error.problem])
    found = validate(root, folders)
    if isinstance(found, Scenario):
        problems += check(found, root)
        if all(problem.level == "warning" for problem in problems):
            problems += check_effects(found, root)
        return found, sort_problems(problems)
    known = {problem.path for problem in problems if problem.path}
    new = [problem for problem in found.problems if problem.path not in known]
    return None, sort_problems([*problems, *new, *_check_rest(root, found, folders)])


def _check_rest(root: Node, flaws: Flaws, folders: Sequence[Path]) -> list[Problem]:
    """What else is wrong with a tree whose only flaws so far are unknown keys."""
    for steps in flaws.unknown:
        root = remove(root, steps)
    found = validate(root, folders)
    return check(found, root) if isinstance(found, Scenario) else []


def _read(source: Source, folder: Path, folders: Sequence[Path], problems: list[Problem]) -> Node:
    if isinstance(source, Mapping):
        return read_mapping(source, folder, folders, problems)
    path = Path(source)
    if not path.exists():
        near = find_neighbour(path)
        raise UnreadableError(Place(str(path)), "there is no such file" + (f"; did you mean {near!r}?" if near else ""))
    return read_tree(path, folders, problems)
