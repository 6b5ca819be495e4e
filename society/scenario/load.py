"""Loading of a scenario file: read, merge, override, validate, check. All problems are reported at once.

Invalid YAML ends the loading. Names are checked if the only errors before are unknown keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from society.core.problems import Place, Problem, make_error, sort_problems
from society.scenario.checks.check import check
from society.scenario.checks.effects import check_effects
from society.scenario.models.scenario import Scenario
from society.scenario.reading.merge import find_similar, override, read_mapping, read_tree
from society.scenario.reading.source import Node, UnreadableError
from society.scenario.reading.tree import remove
from society.scenario.reading.validate import Flaws, validate

Source = str | Path | Mapping[str, Any]
"""The YAML file of a scenario, or its contents as a dictionary."""


def load_scenario(path: str | Path, overrides: Sequence[str] = (), allow: Sequence[Path | str] = ()) -> Scenario:
    """Return the scenario of a YAML file, with `overrides` such as `phases.debate.rounds=3` applied.

    Paths in the file and in `overrides` are relative to the file's folder. They may lead into that folder and into
    those of `allow`. Raises `ScenarioError`, with all problems, if the scenario cannot run.
    """
    return load_with_warnings(path, overrides, allow)[0]


def load_with_warnings(
    source: Source, overrides: Sequence[str] = (), allow: Sequence[Path | str] = (), folder: Path | str = "."
) -> tuple[Scenario, list[Problem]]:
    """Return the scenario of a file or a dictionary, as `load_scenario` does, and its warnings about likely mistakes.

    Paths in a dictionary are relative to `folder`.
    """
    scenario, problems = _load(source, overrides, allow, Path(folder))
    errors = [problem for problem in problems if problem.level == "error"]
    if scenario is None or errors:
        raise make_error(errors)
    return scenario, problems


def check_scenario(
    source: Source, overrides: Sequence[str] = (), allow: Sequence[Path | str] = (), folder: Path | str = "."
) -> list[Problem]:
    """Return all problems of a scenario, warnings included, in the order of the file or by field of the dictionary.

    The arguments are those of `load_with_warnings`. The list is empty if the scenario has no problem.
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
    """Return the further problems of a tree whose only flaws are unknown keys."""
    for steps in flaws.unknown:
        root = remove(root, steps)
    found = validate(root, folders)
    return check(found, root) if isinstance(found, Scenario) else []


def _read(source: Source, folder: Path, folders: Sequence[Path], problems: list[Problem]) -> Node:
    if isinstance(source, Mapping):
        return read_mapping(source, folder, folders, problems)
    path = Path(source)
    if not path.exists():
        near = find_similar(path)
        raise UnreadableError(
            Place(str(path)), "the file does not exist" + (f"; did you mean {near!r}?" if near else "")
        )
    return read_tree(path, folders, problems)
