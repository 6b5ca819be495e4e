"""Reading of the scenario in a run's folder. It is untrusted, as the folder may come from a stranger.

read_stored    for commands that read the run: no file is opened, and paths name copies in the folder
open_stored    for commands that open models and files: in the folder, and where the user permits it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from society.core.definition import named_paths
from society.core.errors import InputError, RunFolderError
from society.core.hashing import hash_path
from society.core.paths import run_folders, stored_in
from society.core.problems import Place
from society.scenario.checks.check import check_names
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node

LARGEST = 10_000_000
"""Maximum length of a stored scenario, in characters."""
_NOWHERE = Place("the stored scenario")


def read_stored(text: str, folder: Path) -> Scenario:
    """Return the scenario of the run in `folder`. No file outside the folder is accessed.

    Raises `RunFolderError` if the text is not a valid scenario, or names unknown agents.
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
    """Return the scenario with paths into the run's folder and into those of `allow`.

    Models must be in these folders. With `hashes`, which has the content hash of each file at the start of the run by
    its place in the scenario, all other files must be, too. Raises `InputError` for a file that is elsewhere, missing
    or changed.
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
                f"{path}, which is {where} of the run in {folder}, has changed since the run.",
                "Restore the original file, or copy the needed files by hand.",
            )
    return scenario


def _explain(error: ValidationError, folder: Path) -> InputError:
    """Return the error for a path that is not permitted."""
    first = error.errors(include_url=False)[0]
    named = str(first["input"])
    parent = Path(named).parent if len(named) < 1000 else Path(named[:100])
    return InputError(
        f"The scenario in the run {folder} names {named[:200]!r}, which is not in the run's folder.",
        "The path may lead to any of your files. To permit it, add its folder (Python: allow): "
        f"--allow {str(parent)[:200]}",
    )


def _say(error: ValueError | RecursionError) -> str:
    """Return the first error, on one line."""
    if not isinstance(error, ValidationError):
        return f"{error!s:.300}"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))[:100]
    return f"{place}: {first['msg']:.200}" if place else f"{first['msg']:.200}"


def _refusal(folder: Path, fault: str) -> RunFolderError:
    return RunFolderError(
        f"The scenario in the run {folder} cannot be read: {fault}.",
        "If a plugin file created the run, add --plugins FILE.py (Python: load_plugins). Otherwise install the plugins "
        "and the version of society that created the run.",
    )
