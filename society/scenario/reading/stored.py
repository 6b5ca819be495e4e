"""The scenario that a run's folder holds: read without a look at any file, and distrusted, for it may be a stranger's.

read_stored    for whoever reads the run: paths stand for the copies that the folder may hold
open_stored    for commands that open models and files: paths lead into the folder, and where the user allows
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from society.core.definition import named_paths
from society.core.errors import InputError, RunFolderError
from society.core.identity import hash_path
from society.core.paths import run_folders, stored_in
from society.core.problems import Place
from society.scenario.checks.check import check_names
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node

LARGEST = 10_000_000
"""Maximum length of a stored scenario, in characters."""
_NOWHERE = Place("the stored scenario")


def read_stored(text: str, folder: Path) -> Scenario:
    """Return the scenario of the run in `folder`. Nothing outside the folder is looked at.

    Raises `RunFolderError` where the text is no scenario of this program, or names agents that it does not have.
    """
    if len(text) > LARGEST:
        raise _refusal(folder, f"it is longer than {LARGEST:,} characters")
    try:
        scenario = Scenario.model_validate_json(text, context=stored_in(folder))
    except (ValueError, RecursionError) as error:
        raise _refusal(folder, _say(error)) from error
    problems = check_names(scenario, Node({}, _NOWHERE, _NOWHERE))
    if problems:
        raise _refusal(folder, f"{problems[0].path}: {problems[0].message}")
    return scenario


def open_stored(text: str, folder: Path, allow: Sequence[Path], hashes: Mapping[str, str] | None = None) -> Scenario:
    """Return the scenario with the paths of what may be opened: in the run's folder and in those of `allow`.

    Models must lie there. With `hashes`, so must every other file: they hold the content hash of each, by its place, as
    the run began. Raises `InputError` for what is elsewhere, is not there, or has other contents now.
    """
    read_stored(text, folder)
    try:
        scenario = Scenario.model_validate_json(text, context=run_folders(folder, allow, hashes is not None))
    except ValidationError as error:
        raise _explain(error, folder) from error
    if hashes is None:
        return scenario
    for where, path in named_paths(scenario):
        if not path.exists() or hash_path(path) != hashes.get(where):
            raise InputError(
                f"{path}, which the run in {folder} names as {where}, is not the file that the run read.",
                "Put the file back as it was, or copy what you need by hand.",
            )
    return scenario


def _explain(error: ValidationError, folder: Path) -> InputError:
    """Return the error for a path that may not be read."""
    first = error.errors(include_url=False)[0]
    named = str(first["input"])
    parent = Path(named).parent if len(named) < 1000 else Path(named[:100])
    return InputError(
        f"The scenario in the run {folder} names {named[:200]!r}, which is not in the run's folder.",
        f"It may be any file of yours. If you want it opened, name its folder: --allow {str(parent)[:200]}",
    )


def _say(error: ValueError | RecursionError) -> str:
    """Return the first thing that is wrong, on one line."""
    if not isinstance(error, ValidationError):
        return f"{error!s:.300}"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))[:100]
    return f"{place}: {first['msg']:.200}" if place else f"{first['msg']:.200}"


def _refusal(folder: Path, fault: str) -> RunFolderError:
    return RunFolderError(
        f"The scenario in the run {folder} cannot be read: {fault}.",
        "Install what it was made with: its plugins, and the version of society in its store.",
    )
