"""Facts about how a run was made: versions of the program and its libraries, commits and licences."""

from __future__ import annotations

from collections.abc import Mapping

from society.components.faults import faults_of
from society.runs.files import read_json, read_list
from society.scenario.models.scenario import Scenario


def with_later(meta: Mapping[str, str], name: str, now: dict[str, str]) -> list[dict[str, str]]:
    """Return the versions of a run's parts after the first ones, `now` included if it is new."""
    first, later = read_json(meta, name), read_list(meta, f"later_{name}")
    return [*later, now] if first and now not in (first, *later) else later


def find_commits(scenario: Scenario) -> dict[str, str]:
    """Return the commits of models and data sets that come from the hub, by their places in the scenario."""
    found = {}
    for name, config in scenario.backends.items():
        with faults_of(config, "find_commit", f"of the backend {name!r}"):
            found[f"backends.{name}"] = config.find_commit()
    for place, task in scenario.tasks.items():
        with faults_of(task, "find_commit"):
            found[place] = task.find_commit()
    return {place: commit for place, commit in found.items() if commit}


def find_licences(scenario: Scenario) -> dict[str, str]:
    """Return the known licences of models and data sets, by their places in the scenario."""
    found = {}
    for name, config in scenario.backends.items():
        with faults_of(config, "find_licence", f"of the backend {name!r}"):
            found[f"backends.{name}"] = config.find_licence()
    found |= {place: task.licence for place, task in scenario.tasks.items()}
    return {place: licence for place, licence in found.items() if licence}
