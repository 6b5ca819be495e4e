"""Checks of graphs: topologies that cannot be built, cycles, unknown edge attributes, missing summarizers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from society.components.faults import faults_of
from society.core.errors import ComponentError, InputError, SocietyError
from society.core.problems import SHOWN, Problem, find_near, show
from society.scenario.checks.references import check_references
from society.scenario.drawing import Graphs, draw
from society.scenario.members import (
    Members,
    agents_of,
    audiences,
    members,
    possible_helpers,
    references,
    speakers,
)
from society.scenario.models.phases import EdgeView, PhaseSpec
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, problem_at
from society.scenario.schema.words import describe
from topologies.base import Topology, each_part, each_place
from topologies.edges import MOST_EDGES, limit_edges

if TYPE_CHECKING:
    import networkx as nx

LARGEST = 300
"""Maximum number of speakers of a graph that is checked, as larger graphs take too much time and memory.

For more speakers, only the number of edges is checked, and cycles where they are errors. The run
reports any other invalid topology before the first request.
"""


def check_graphs(scenario: Scenario, root: Node) -> list[Problem]:
    """Return the problems of the named topologies and of those of all phases."""
    known = members(scenario)
    problems = list(check_references(scenario, root))
    if problems:
        return problems
    graphs = Graphs(scenario.topologies, audiences(scenario, known))
    broken: set[str] = set()
    for name in _inner_first(scenario):
        topology = scenario.topologies[name]
        found = [*_Named(scenario, name, topology, graphs, known, root, broken).check()]
        if any(problem.level == "error" for problem in found) or broken.intersection(references(topology)):
            broken.add(name)
        problems += found
    for i in range(len(scenario.phases)):
        problems += _Phase(scenario, i, graphs, known, root, broken).check()
    return problems


def _inner_first(scenario: Scenario) -> list[str]:
    """Return the names in `topologies`, each after the names of which its graph is made."""
    uses = {name: references(topology) for name, topology in scenario.topologies.items()}
    return [*TopologicalSorter(uses).static_order()]


class _Checked:
    """Checks of the graphs at one place of a scenario."""

    steps: Steps
    silence = "speaks in no phase with this graph; remove it, or let it speak in one"
    """Message on an agent that an edge names and that does not speak."""

    def __init__(self, scenario: Scenario, graphs: Graphs, known: Members, root: Node, broken: Collection[str]) -> None:
        self.broken = broken  # names in `topologies` whose graphs have errors
        self.scenario, self.graphs, self.known, self.root = scenario, graphs, known, root
        self.speakers: tuple[str, ...] = ()
        self.drawn: nx.DiGraph[str] | None = None
        self.ordered = False  # whether the graph must not have a cycle

    def _problem(self, below: Steps, message: str, **details: Any) -> Problem:
        return problem_at(self.root, (*self.steps, *below), message, **details)

    def _check_topology(self, topology: Topology, below: Steps, phase: str = "") -> Iterator[Problem]:
        """Yield the problems of a topology, and set `self.drawn` to its graph, or to None."""
        self.drawn = None
        problems = list(self._check_edges(topology, below))
        yield from problems
        if problems or not self._is_worth_building() or set(self.broken) & set(references(topology)):
            return
        resolved = self.graphs.resolve(topology, phase)
        try:
            graph = draw(resolved, self.speakers, self.known, resolved.graph_seed(self.scenario.seed))
            idle = list(self._check_idle(topology, below, phase)) if self.is_small else []
        except ComponentError as error:
            yield self._problem(below, f"cannot be built: {error.cause}")
        except SocietyError as error:
            yield self._problem((*below, *error.below), " ".join(filter(None, (error.cause, error.remedy))))
        else:
            self.drawn = graph
            yield from idle

    def _check_idle(self, topology: Topology, below: Steps, phase: str) -> Iterator[Problem]:
        """Yield fields of a topology and its parts that change nothing."""
        for steps, part in each_place(topology, below):
            if part.reference():  # checked at the name
                continue
            resolved = self.graphs.resolve(part, phase)
            with faults_of(part, "idle"):
                reasons = resolved.idle(self.speakers, self.known, resolved.graph_seed(self.scenario.seed))
            for field, why in reasons.items():
                yield self._problem((*steps, field), why, level="warning")

    def _is_worth_building(self) -> bool:
        """Return whether the graph is small enough for all checks, may exceed the limit of edges, or have a cycle."""
        n = len(self.speakers)
        return self.is_small or n * (n - 1) > MOST_EDGES or (self.ordered and n > 0)

    @property
    def is_small(self) -> bool:
        """True if the graph is small enough for all checks."""
        return 0 < len(self.speakers) <= LARGEST

    def _check_edges(self, topology: Topology, below: Steps) -> Iterator[Problem]:
        """Yield problems of names and attributes of explicit edges, each at its own place, in parts, too."""
        for steps, part in each_place(topology, below):
            yield from self._check_own_edges(part, steps)

    def _check_own_edges(self, topology: Topology, below: Steps) -> Iterator[Problem]:
        for j, edge in enumerate(topology.declared_edges()):
            for k, name in enumerate(edge[:2]):
                if name not in self.known:
                    yield self._problem(
                        (*below, "edges", j, k),
                        f"there is no agent {show(name)}",
                        value=name,
                        allowed=tuple(self.scenario.agents),
                        suggestion=find_near(name, self.known),
                    )
                elif self.speakers and not set(self.known[name]) <= set(self.speakers):
                    yield self._problem(
                        (*below, "edges", j, k),
                        f"{show(name)} {self.silence}",
                        value=name,
                    )
            for attributes in edge[2:]:
                yield from self._check_view(attributes, (*below, "edges", j, 2))

    def _check_view(self, attributes: dict[str, Any], below: Steps) -> Iterator[Problem]:
        """Yield attributes of an edge that are not fields of `EdgeView`, or have invalid values."""
        fields = tuple(EdgeView.model_fields)
        for key in attributes:
            if key not in fields:
                yield self._problem(
                    (*below, key),
                    f"unknown edge attribute {show(key)}",
                    key=True,
                    value=key,
                    allowed=fields,
                    suggestion=find_near(key, fields),
                )
        try:
            EdgeView.model_validate_json(json.dumps({k: v for k, v in attributes.items() if k in fields}))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            given, options = show(first["input"]), first.get("ctx", {}).get("expected")
            allowed = describe([EdgeView.model_json_schema()["properties"][name]])
            wrong = f"should not be {given}, but {options}" if options else f"should be {allowed}, not {given}"
            yield self._problem((*below, name), f"the edge attribute {name!r} {wrong}")

    def _check_views(self, topology: Topology, graph: nx.DiGraph[str], below: Steps) -> Iterator[Problem]:
        """Yield unknown or invalid attributes of edges that the scenario does not write out."""
        distinct = {json.dumps(data, sort_keys=True, default=str): data for _, _, data in graph.edges(data=True)}
        views = [] if topology.declared_edges() else [*distinct.values()]
        if any(part.foreign_attributes for part in each_part(topology)):
            yield from self._note_foreign({key for attributes in views for key in attributes}, below)
            views = [{k: v for k, v in attributes.items() if k in EdgeView.model_fields} for attributes in views]
        for attributes in views:
            yield from self._check_view(attributes, below)

    def _note_foreign(self, names: set[str], below: Steps) -> Iterator[Problem]:
        """Yield one warning about unknown attributes in a graph file: those of other programs, or misspelled ones."""
        foreign = sorted(names - set(EdgeView.model_fields))
        if foreign:
            shown = ", ".join(map(show, foreign[:SHOWN])) + (" ..." if len(foreign) > SHOWN else "")
            near = next(filter(None, (find_near(name, EdgeView.model_fields) for name in foreign)), "")
            yield self._problem(
                below,
                f"the file's edges have unknown attributes, which are ignored: {shown}",
                level="warning",
                allowed=tuple(EdgeView.model_fields),
                suggestion=near,
            )


class _Named(_Checked):
    """Checks of one graph of `topologies`."""

    def __init__(
        self,
        scenario: Scenario,
        name: str,
        topology: Topology,
        graphs: Graphs,
        known: Members,
        root: Node,
        broken: Collection[str],
    ) -> None:
        super().__init__(scenario, graphs, known, root, broken)
        self.name, self.topology = name, topology
        self.steps = ("topologies", name)
        self.speakers = graphs.agents[name]

    def check(self) -> Iterator[Problem]:
        if not self.speakers:
            message = f"is not used by any phase; set `topology: {self.name}` in one, or remove it"
            yield self._problem((), message, key=True, level="warning")
            return
        yield from self._check_topology(self.topology, ())
        if self.drawn is not None and self.is_small:
            yield from self._check_views(self.topology, self.drawn, ())
            yield from self._check_draws(self.topology)
            if not self.drawn.number_of_edges() and getattr(self.topology, "kind", "") != "none":
                message = f"has no edge over the {len(self.speakers)} agents of its phases; change it"
                yield self._problem((), message, level="warning")

    def _check_draws(self, topology: Topology) -> Iterator[Problem]:
        given = [field for field in topology.random_fields if field in topology.model_fields_set]
        if given and not topology.is_random(self.speakers, self.known):
            message = f"has no effect: there is only one such graph over {len(self.speakers)} agents; remove it"
            yield self._problem((given[0],), message, level="warning")


class _Phase(_Checked):
    """Checks of the graphs of one phase."""

    silence = "does not speak in this phase; add it to `reads` if all speakers should read it"

    def __init__(
        self, scenario: Scenario, index: int, graphs: Graphs, known: Members, root: Node, broken: Collection[str]
    ) -> None:
        super().__init__(scenario, graphs, known, root, broken)
        self.index = index
        self.spec: PhaseSpec = scenario.phases[index]
        self.steps = ("phases", index)
        self.speakers = speakers(scenario, index, known)
        self.complete = all(name in known for name in self.spec.agents)  # without unknown names

    def check(self) -> Iterator[Problem]:
        shows: set[str] = {self.spec.edges.show}
        for field in ("topology", "within"):
            topology: Topology | None = getattr(self.spec, field)
            if topology is None:
                continue
            self.ordered = field == "within" or self.spec.schedule == "topological"
            known = bool(topology.reference()) and not (self.is_small or self.ordered)  # checked at the name
            skipped = known or not self.complete
            problems = [] if skipped else list(self._check_topology(topology, (field,), self.spec.name))
            yield from problems if not topology.reference() else ()  # reported at the name
            if not self.complete:
                yield from self._check_edges(topology, (field,))
            graph = None if skipped else self.drawn
            if graph is None:
                continue
            if self.is_small:
                shows |= {str(data["show"]) for _, _, data in graph.edges(data=True) if "show" in data}
            if self.is_small and not topology.reference():
                yield from self._check_views(topology, graph, (field,))
            if self.ordered:
                yield from self._check_acyclic(graph, field)
        yield from self._check_readers()
        yield from self._check_summaries(shows)

    def _check_readers(self) -> Iterator[Problem]:
        try:
            limit_edges(len(agents_of(self.spec.reads, self.known)) * len(self.speakers), len(self.known))
        except InputError as error:
            yield self._problem(("reads",), f"{error.cause} {error.remedy}")

    def _check_acyclic(self, graph: nx.DiGraph[str], field: str) -> Iterator[Problem]:
        import networkx as nx

        if nx.is_directed_acyclic_graph(graph):
            return
        cycle = [u for u, *_ in nx.find_cycle(graph)]
        shown = " -> ".join([*cycle[:8], *(["..."] if len(cycle) > 8 else []), cycle[0]])
        needs = "`within` needs" if field == "within" else "the topological schedule needs"
        yield self._problem(
            (field,),
            f"{needs} a graph without cycles, not {shown}; {self._acyclic_settings(field)}use `{field}: dag_mesh`",
        )

    def _acyclic_settings(self, field: str) -> str:
        """Return the settings of this topology that make its graph acyclic, as the first part of a remedy."""
        import networkx as nx

        topology: Topology = getattr(self.spec, field)
        if topology.declared_edges():
            return "remove an edge of the cycle, or "
        for key, value, text in (("directed", True, "true"), ("direction", "out", "out")):
            if key in type(topology).model_fields:
                changed = topology.model_copy(update={key: value})
                try:
                    graph = draw(changed, self.speakers, self.known, changed.graph_seed(self.scenario.seed))
                except SocietyError:  # there is no such graph over these agents
                    continue
                if nx.is_directed_acyclic_graph(graph):
                    return f"set `{key}: {text}`, or "
        return ""

    def _check_summaries(self, shows: set[str]) -> Iterator[Problem]:
        if "summary" in shows and not self.spec.summarizer:
            below = ("edges", "show") if self.spec.edges.show == "summary" else ("topology",)
            message = "edges show a summary, so the phase needs a `summarizer`"
            free = tuple(possible_helpers(self.scenario, self.index, self.known, may_speak=True))
            more = "" if free else "; add an agent for it to the scenario's `agents`"
            yield self._problem(below, message + more, allowed=free)
        if "summary" not in shows and self.spec.summarizer and len(self.speakers) <= LARGEST:
            yield self._problem(("summarizer",), "is not used: no edge shows a summary; remove it", level="warning")
