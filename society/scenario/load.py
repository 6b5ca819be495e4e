"""From a file to a checked `Scenario`: read, merge, override, validate, check; every problem at once.

Reading stops at text that is no YAML, and names are checked once the shape is right but for unknown keys; within
each step all problems are found together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from society.core.problems import Place, Problem, make_error, sort_problems
from society.scenario.checks.check import check
from society.scenario.checks.effects import check_effects
from society.scenario.models.scenario import Scenario
from society.scenario.reading.merge import find_neighbour, override, read_tree
from society.scenario.reading.source import Node, UnreadableError
from society.scenario.reading.tree import remove
from society.scenario.reading.validate import Flaws, validate


def load_scenario(path: str | Path, overrides: Sequence[str] = (), allow: Sequence[Path] = ()) -> Scenario:
    """The scenario of a YAML file, `overrides` like `phases.debate.rounds=3` applied.

    Paths in it, and in `overrides`, start at its own folder and may lead into it and those of `allow`. Raises
    `ScenarioError`, with every problem found, unless the scenario can run.
    """
    return load_with_warnings(path, overrides, allow)[0]


def load_with_warnings(
    path: str | Path, overrides: Sequence[str] = (), allow: Sequence[Path] = ()
) -> tuple[Scenario, list[Problem]]:
    """Load a scenario as `load_scenario` does, with its warnings: what is likely a mistake, though it runs."""
    scenario, problems = _load(Path(path), overrides, allow)
    errors = [problem for problem in problems if problem.level == "error"]
    if scenario is None or errors:
        raise make_error(errors)
    return scenario, problems


def check_scenario(path: str | Path, overrides: Sequence[str] = (), allow: Sequence[Path] = ()) -> list[Problem]:
    """Everything that is wrong with a scenario file, warnings included, in the order of the file."""
    return _load(Path(path), overrides, allow)[1]


def _load(path: Path, overrides: Sequence[str], allow: Sequence[Path]) -> tuple[Scenario | None, list[Problem]]:
    problems: list[Problem] = []
    folders = [Path(folder).resolve() for folder in (path.parent, *allow)]
    try:
        root = _read(path, overrides, folders, problems)
    except UnreadableError as error:
        return None, sort_problems([*problems, error.problem])
    found = validate(root, folders)
    if isinstance(found, Scenario):
        problems += check(found, root)
        if all(problem.level == "warning" for problem in problems):
            problems += check_effects(found, root)
        return found, sort_problems(problems)
    return None, sort_problems([*problems, *found.problems, *_check_rest(root, found, folders)])


def _check_rest(root: Node, flaws: Flaws, folders: Sequence[Path]) -> list[Problem]:
    """What else is wrong with a tree whose only flaws so far are unknown keys."""
    for steps in flaws.unknown:
        root = remove(root, steps)
    found = validate(root, folders)
    return check(found, root) if isinstance(found, Scenario) else []


def _read(path: Path, overrides: Sequence[str], folders: Sequence[Path], problems: list[Problem]) -> Node:
    if not path.exists():
        near = find_neighbour(path)
        raise UnreadableError(Place(str(path)), "there is no such file" + (f"; did you mean {near!r}?" if near else ""))
    root = read_tree(path, folders, problems)
    for setting in overrides:
        root = override(root, setting, problems)
    return root
