"""Lists the conditions of a scenario: `when`, `stop` and `until`, each rule with its place."""

from __future__ import annotations

from collections.abc import Iterator

from society.components.stops import StopRule
from society.scenario.models.phases import Conditions
from society.scenario.models.scenario import Scenario
from society.scenario.reading.tree import Steps


def all_conditions(scenario: Scenario) -> Iterator[tuple[Steps, Conditions]]:
    """Yield every list of conditions in a scenario, with its steps."""
    for i, phase in enumerate(scenario.phases):
        yield ("phases", i, "when"), phase.when
        yield ("phases", i, "stop"), phase.stop
        for name, bound in phase.bind.items():
            yield ("phases", i, "bind", name, "when"), bound.when
    for i, block in enumerate(scenario.repeat):
        yield ("repeat", i, "until"), block.until


def each_rule(conditions: Conditions) -> Iterator[tuple[Steps, StopRule]]:
    """Yield every rule of a list of conditions, with its steps in the list."""
    for j, entry in enumerate(conditions):
        if isinstance(entry, tuple):
            yield from (((j, k), part) for k, part in enumerate(entry))
        else:
            yield (j,), entry
