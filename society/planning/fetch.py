"""Download of what a scenario needs: models and data sets. Packages that are not installed are listed, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from backends.base import BackendConfig
from society.components.faults import faults_of
from society.components.tools.base import Tool
from society.core.errors import SocietyError
from society.retrieval.growing import require_index
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.tasks.base import Task


@dataclass(frozen=True)
class Fetched:
    """One need of a scenario, by its place in it: what was done, or the error that says what is missing."""

    place: str
    done: str = ""
    error: SocietyError | None = None


def fetch(scenario: Scenario) -> Iterator[Fetched]:
    """Download what is missing, and yield a result for each need. A need that cannot be met does not stop the others.

    Sentence encoders and the libraries of tools, gates and memories are packages, which are not installed.
    """
    for place, get in _list_needs(expand(scenario)):
        try:
            yield Fetched(place, get())
        except SocietyError as error:
            yield Fetched(place, error=error)


def _list_needs(society: Society) -> Iterator[tuple[str, Callable[[], str]]]:
    scenario = society.scenario
    for name in society.used_backends:
        yield f"backends.{name}", partial(_fetch_model, scenario.backends[name], name)
    for place, task in scenario.tasks.items():
        yield place, partial(_fetch_questions, task, scenario.seed)
    for phase in society.phases:
        for gate in phase.spec.edges.gate:
            yield f"phases.{phase.name}.edges.gate", partial(_require, gate.require)
    for measure in society.recall_measures:
        yield "memory", partial(_require, partial(require_index, measure))
    for tool in society.tools:
        yield f"the tool {tool.label}", partial(_require, partial(_require_tool, tool))


def _fetch_model(config: BackendConfig, name: str) -> str:
    with faults_of(config, "fetch", f"of the backend {name!r}"):
        missing = config.missing
        if missing:
            config.fetch()
        config.check_files()
        commit = f" (commit {found})" if (found := config.find_commit()) else ""
    return f"downloaded {missing}{commit}" if missing else f"nothing to download{commit}"


def _fetch_questions(task: Task, seed: int) -> str:
    missing = task.missing
    with faults_of(task, "load"):
        task.load(seed)
        commit = f" (commit {found})" if (found := task.find_commit()) else ""
    return f"downloaded {task.origin}{commit}" if missing else f"nothing to download{commit}"


def _require(check: Callable[[], None]) -> str:
    check()
    return "nothing to download"


def _require_tool(tool: Tool) -> None:
    with faults_of(tool, "require"):
        tool.require()
