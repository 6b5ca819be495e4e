"""Download of what a scenario needs: models, data sets, and the sentence encoders of its gates."""

from __future__ import annotations

from collections.abc import Iterator

from society.components.faults import faults_of
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario


def fetch(scenario: Scenario) -> Iterator[str]:
    """Download what is missing, and yield a line on each model and data set.

    Raises `InputError` or `BackendError` for what cannot be downloaded. What was downloaded before stays.
    """
    society = expand(scenario)
    for name in dict.fromkeys(plan.backend for plan in society.plans.values()):
        config = scenario.backends[name]
        with faults_of(config, "fetch", f"of the backend {name!r}"):
            missing = config.missing
            if missing:
                config.fetch()
            config.check_files()
        yield f"backends.{name}: {f'downloaded {missing}' if missing else 'nothing to download'}"
    tasks = {"task": scenario.task}
    if scenario.train is not None and scenario.train.task is not None:
        tasks["train.task"] = scenario.train.task
    for place, task in tasks.items():
        missing = task.missing
        with faults_of(task, "load"):
            task.load(scenario.seed)
        yield f"{place}: {f'downloaded {task.origin}' if missing else 'nothing to download'}"
    for gate in (gate for phase in society.phases for gate in phase.spec.edges.gate):
        gate.require()
