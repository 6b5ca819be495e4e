"""Checks of the names in `topologies`: unknown ones, kinds, and graphs that are made of themselves."""

from __future__ import annotations

from collections.abc import Iterator

from society.components.registry import kinds
from society.core.problems import Problem, find_near, make_problem, show
from society.scenario.members import references
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, find_place, write_path
from topologies.base import Topology


def check_references(scenario: Scenario, root: Node) -> Iterator[Problem]:
    """Yield names that `topologies` does not define, that are a kind, or that a graph has for itself."""
    names = tuple(scenario.topologies)
    places: list[tuple[Steps, Topology]] = [
        (("topologies", name), found) for name, found in scenario.topologies.items()
    ]
    for i, phase in enumerate(scenario.phases):
        drawn = (("topology", phase.topology), ("within", phase.within))
        places += [(("phases", i, field), found) for field, found in drawn if found is not None]
    for steps, topology in places:
        for name in references(topology):
            if name not in names:
                yield make_problem(
                    find_place(root, steps),
                    write_path(root, steps),
                    f"there is no graph {show(name)} in `topologies`",
                    value=name,
                    allowed=names,
                    suggestion=find_near(name, names),
                )
    for name in names:
        steps = ("topologies", name)
        if name in kinds("topology"):
            message = f"{show(name)} is a kind of topology; use another name"
            yield make_problem(find_place(root, steps, key=True), write_path(root, steps), message)
        if name in _reached(scenario, name):
            message = f"is made of itself: {' -> '.join([*_way(scenario, name), name])}; remove one of these names"
            yield make_problem(find_place(root, steps), write_path(root, steps), message)


def _reached(scenario: Scenario, name: str) -> set[str]:
    """Return the names of graphs of which a named graph is made, at any depth."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        topology = scenario.topologies.get(ahead.pop())
        new = set(references(topology)) - found if topology is not None else set()
        found |= new
        ahead += new
    return found


def _way(scenario: Scenario, name: str) -> list[str]:
    """Return the names from a graph that is made of itself to the last one before it comes again."""
    way = [name]
    while True:
        inner = references(scenario.topologies[way[-1]])
        if name in inner:
            return way
        way.append(next(other for other in inner if name in _reached(scenario, other) and other not in way))
