"""Checks of the names in `topologies`: unknown ones, kinds, and graphs that are made of themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from society.components.registry import kinds
from society.core.problems import Problem, find_near, show
from society.scenario.members import references
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, problem_at
from topologies.base import Topology, each_part, each_place

MOST_PARTS = 100
"""Maximum number of topologies of which a named graph is made, at any depth."""


def check_references(scenario: Scenario, root: Node) -> Iterator[Problem]:
    """Yield names that `topologies` does not define, that are a kind, or that a graph has for itself."""
    names = tuple(scenario.topologies)
    places: list[tuple[Steps, Topology]] = [
        (("topologies", name), found) for name, found in scenario.topologies.items()
    ]
    for i, phase in enumerate(scenario.phases):
        drawn = (("topology", phase.topology), ("within", phase.within))
        places += [(("phases", i, field), found) for field, found in drawn if found is not None]
    sizes = _sizes(scenario)
    for steps, topology in places:
        reported = any(sizes.get(name, 0) > MOST_PARTS for name in references(topology))
        if steps[0] == "phases" and not reported and _size(topology, sizes) > MOST_PARTS:
            message = f"is made of more than {MOST_PARTS} topologies; combine fewer"
            yield problem_at(root, steps, message)
        for below, part in each_place(topology):
            name = part.reference()
            if name and name not in names:
                yield problem_at(
                    root,
                    (*steps, *below),
                    f"there is no graph {show(name)} in `topologies`",
                    value=name,
                    allowed=names,
                    suggestion=find_near(name, names),
                )
    yield from _check_names(scenario, root, sizes)


def _check_names(scenario: Scenario, root: Node, sizes: dict[str, int]) -> Iterator[Problem]:
    """Yield names that are a kind, graphs that are made of themselves, and graphs of too many parts."""
    uses = {name: references(topology) for name, topology in scenario.topologies.items()}
    loops = {name: next(filter(None, (_find_way(uses, i, name) for i in uses[name])), None) for name in uses}
    circular = {name for name, way in loops.items() if way}
    for name in uses:
        steps = ("topologies", name)
        if name in kinds("topology"):
            yield problem_at(root, steps, f"{show(name)} is a kind of topology; use another name", key=True)
        if way := loops[name]:
            shown = " -> ".join([name, *way])
            parts = each_place(scenario.topologies[name], steps)
            at = next(below for below, part in parts if part.reference() == way[0])
            yield problem_at(root, at, f"is made of itself: {shown}; remove one of these names")
        elif sizes[name] > MOST_PARTS and not any(_find_way(uses, name, other) for other in circular):
            yield problem_at(root, steps, f"is made of more than {MOST_PARTS} topologies; combine fewer")


def _find_way(uses: Mapping[str, Sequence[str]], start: str, end: str) -> list[str] | None:
    """Return the shortest way between two names along their uses, both included; None if there is none."""
    ways = {start: [start]}
    queue = deque(ways)
    while queue and end not in ways:
        name = queue.popleft()
        new = [inner for inner in uses.get(name, ()) if inner in uses and inner not in ways]
        ways.update((inner, [*ways[name], inner]) for inner in new)
        queue.extend(dict.fromkeys(new))
    return ways.get(end)


def _sizes(scenario: Scenario) -> dict[str, int]:
    """Return the number of topologies of which each named graph is made, at any depth, up to `MOST_PARTS` + 1."""
    sizes = dict.fromkeys(scenario.topologies, 0)
    for _ in range(MOST_PARTS):
        new = {name: min(_size(topology, sizes), MOST_PARTS + 1) for name, topology in scenario.topologies.items()}
        if new == sizes:
            break
        sizes = new
    return sizes


def _size(topology: Topology, sizes: dict[str, int]) -> int:
    return sum(sizes.get(part.reference(), 0) + 1 for part in each_part(topology))
