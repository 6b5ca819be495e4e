"""Loading of a scenario file: read, merge, override, validate, check. All problems are reported at once.

Invalid YAML ends the loading. Names are checked if the only errors before are unknown keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from society.components.plugin_files import require_current
from society.core.collection import collecting_seldom
from society.core.errors import InputError
from society.core.paths import list_given
from society.core.problems import Place, Problem, make_error, sort_problems
from society.scenario.checks.check import check, check_names
from society.scenario.checks.effects import check_effects
from society.scenario.models.scenario import Scenario
from society.scenario.reading.learned import expand_learned
from society.scenario.reading.merge import find_similar, override, read_mapping, read_tree
from society.scenario.reading.personas import expand_personas
from society.scenario.reading.plain import read_plain
from society.scenario.reading.source import Node, UnreadableError
from society.scenario.reading.tree import remove
from society.scenario.reading.validate import Flaws, validate

Source = str | Path | Mapping[str, Any]
"""The YAML file of a scenario, or its contents as a dictionary."""
Overrides = str | Sequence[str]
"""Values to override, such as `phases.debate.rounds=3`: one text or several."""
Folders = Path | str | Sequence[Path | str]
"""One folder or several."""
MAX_NAME = 255
"""Maximum length of a file's name."""


def load_scenario(path: str | Path, overrides: Overrides = (), allow: Folders = ()) -> Scenario:
    """Return the scenario of a YAML file, with `overrides` such as `phases.debate.rounds=3` applied.

    Paths in the file and in `overrides` are relative to the file's folder. They may lead into that folder and into
    those of `allow`. Raises `ScenarioError`, with all problems, if the scenario cannot run.
    """
    return load_with_warnings(path, overrides, allow)[0]


def load_with_warnings(
    source: Source, overrides: Overrides = (), allow: Folders = (), folder: Path | str = "."
) -> tuple[Scenario, list[Problem]]:
    """Return the scenario of a file or a dictionary, as `load_scenario` does, and its warnings about likely mistakes.

    Paths in a dictionary are relative to `folder`.
    """
    scenario, _, problems = load_tree(source, overrides, allow, folder)
    errors = [problem for problem in problems if problem.level == "error"]
    if scenario is None or errors:
        raise make_error(errors)
    return scenario, problems


def check_scenario(
    source: Source, overrides: Overrides = (), allow: Folders = (), folder: Path | str = "."
) -> list[Problem]:
    """Return the problems of a scenario by itself, without the files that it names; `preflight.check` opens these too.

    Warnings are included. The order is that of the file, or by field of the dictionary.

    The arguments are those of `load_with_warnings`. The list is empty if the scenario has no problem.
    """
    return load_tree(source, overrides, allow, folder)[2]


def load_tree(
    source: Source, overrides: Overrides = (), allow: Folders = (), folder: Path | str = "."
) -> tuple[Scenario | None, Node | None, list[Problem]]:
    """Return the scenario, its tree, and its problems. Each of the first two is None if it cannot be read.

    The arguments are those of `load_with_warnings`.
    """
    problems: list[Problem] = []
    if not isinstance(source, Mapping | str | Path):
        raise InputError(
            f"A scenario cannot be loaded from {_describe(source)}.",
            "Give the path of a YAML file, or a dictionary with the keys of one.",
        )
    start = Path(folder) if isinstance(source, Mapping) else Path(source).parent
    allowed = list_given(allow, "allow", str, Path)
    folders = [Path(root).resolve() for root in (start, *allowed)]
    try:
        root = _read(source, start, folders, problems)
        for setting in list_given(overrides, "overrides", str):
            root = override(root, setting, problems)
        root = expand_learned(expand_personas(root, folders, problems), folders, problems)
    except UnreadableError as error:
        return None, None, sort_problems([*problems, error.problem])
    with collecting_seldom():
        found = validate(root, folders)
        if isinstance(found, Scenario):
            problems += check(found, root)
            if all(problem.level == "warning" for problem in problems):
                problems += check_effects(found, root)
            return found, root, sort_problems(_without_graphs(problems))
    known = {problem.path or _place(problem) for problem in problems}  # a value that cannot be read has no path yet
    new = [problem for problem in found.problems if not {problem.path, _place(problem)} & known]
    return None, root, sort_problems(_without_graphs([*problems, *new, *_check_rest(root, found, folders)]))


def _without_graphs(problems: list[Problem]) -> list[Problem]:
    """Return the problems; without those of graphs if personas cannot be read, which give the number of agents."""
    if not any(one.level == "error" and one.path.endswith(".personas") for one in problems):
        return problems
    return [one for one in problems if not _GRAPH.search(one.path)]


_GRAPH = re.compile(r"^topologies\.|^phases\..*\.(topology|within)\b")
"""Matches the paths of graphs."""


def check_again(scenario: Scenario) -> Scenario:
    """Return the scenario as the models read its data now. Raise `ScenarioError` for one that cannot run.

    `model_copy` checks no values.
    """
    require_current(scenario)
    problems: list[Problem] = []
    data = scenario.model_dump(mode="json", exclude_unset=True, warnings=False)
    root = read_plain(data, problems)
    found = validate(root, None)
    problems += check_names(found, root) if isinstance(found, Scenario) else found.problems
    if problems or not isinstance(found, Scenario):
        raise make_error(sort_problems(problems))
    return found


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.file, problem.line, problem.column


def _describe(source: object) -> str:
    """Return what a source of a wrong type is, in words."""
    if isinstance(source, type):
        return f"the class {source.__name__}"
    if isinstance(source, Scenario):
        return f"{source!r:.80}, which is a checked scenario already"
    return "None" if source is None else f"a {type(source).__name__}"


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
    if "\n" in str(source) or str(source).lstrip().startswith("{") or len(path.name) > MAX_NAME:
        message = "a text is the path of a file, and this is none; to check the contents of one, give the dictionary"
        raise UnreadableError(Place(""), message)
    if not path.exists():
        near = find_similar(path)
        raise UnreadableError(
            Place(str(path)), "the file does not exist" + (f"; did you mean {near!r}?" if near else "")
        )
    return read_tree(path, folders, problems)
