"""The scenario that a run began with, and how another one differs from it.

The store has these facts. While the models of a new run are loaded, a file in its folder has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from society.components.renamed import drop_defaults, rename_all
from society.core.atomic import atomic_write
from society.core.definition import contents, defining, difference
from society.core.identity import fingerprint
from society.core.paths import stored_in
from society.runs.files import own_file, read_json, read_object, validate_file
from society.scenario.models.scenario import Scenario

BEGUN = "begun.json"
LARGEST = 64_000_000
"""Maximum size of the file, in bytes."""
_FACTS = TypeAdapter(dict[str, str])


def describe_scenario(scenario: Scenario) -> dict[str, str]:
    """Return facts of the table `meta` that tell a scenario from another one."""
    definition = defining(scenario)
    return {
        "scenario": scenario.model_dump_json(exclude_unset=True),
        "definition": json.dumps(definition),
        "fingerprint": fingerprint(definition),
        "files": json.dumps(contents(scenario)),
    }


def keep_begun(folder: Path, scenario: Scenario) -> None:
    """Write the facts of a scenario into a run's folder. Raises `OSError`."""
    with atomic_write(folder / BEGUN) as part:
        part.write_text(json.dumps(describe_scenario(scenario)), "utf-8")


def read_begun(folder: Path) -> dict[str, str] | None:
    """Return the facts of the scenario that a run began with; None without the file. Raises `RunFolderError`."""
    path = own_file(folder, BEGUN)
    return None if path is None else validate_file(path, _FACTS, LARGEST)


def drop_begun(folder: Path) -> None:
    """Remove the file, as the store has its facts, or as the run does not start."""
    (folder / BEGUN).unlink(missing_ok=True)


def find_changes(scenario: Scenario, meta: Mapping[str, str]) -> str:
    """Return how a scenario or its files differ from those that a run with these facts began with; "" for the same."""
    return _compare(scenario, meta) or describe_changed_files(scenario, meta)


def _compare(scenario: Scenario, meta: Mapping[str, str]) -> str | None:
    """Return how the scenario differs, or None.

    The stored scenario is compared as this society understands it. So an option that a newer society has added
    does not count where both leave it out. A default that has changed since counts.
    """
    now = defining(scenario)
    stored = drop_defaults(rename_all(read_object(meta, "definition")), now)
    try:
        before = Scenario.model_validate_json(meta["scenario"], context=stored_in(None))
    except (KeyError, ValueError, RecursionError):
        return difference(stored, now)
    done, wanted = _iterations(before), _iterations(scenario)
    if wanted < done:
        return f"train.iterations was {done} and is {wanted}, and a run goes on for more iterations, not for fewer"
    return difference(defining(before), now) or difference(stored, now, added=False)


def describe_changed_files(scenario: Scenario, meta: Mapping[str, str]) -> str:
    """Return in words which files of a scenario are not those of a run with these facts; "" if all are the same."""
    known = read_json(meta, "files")
    changed = [where for where, hashed in contents(scenario).items() if known.get(where) != hashed]
    return f"the contents of {', '.join(changed)} are not those that it began with" if changed else ""


def _iterations(scenario: Scenario) -> int:
    return scenario.train.iterations if scenario.train else 0
