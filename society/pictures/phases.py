"""Graphs of a scenario: who reads whom in each phase, or in each round of a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from society.pictures.graphs import Graph, describe_graph
from society.planning.dry_run import PlannedTurn
from society.scenario.expand import PhasePlan, Society
from topologies.base import Occasion

if TYPE_CHECKING:
    import networkx as nx


def describe_phases(society: Society, question: str = "") -> list[Graph]:
    """Return the graph of each phase, in the first debate on a question. `question`: its id.

    Raises `InputError` where a graph file cannot be read.
    """
    return [describe_phase(society, phase, phase.graph(question=question), question) for phase in society.phases]


def describe_phase(society: Society, phase: PhasePlan, graph: nx.DiGraph[str], question: str = "") -> Graph:
    """Return the description of the phase's graph, with the role of each agent and what each edge shows.

    `question`: id of the question for which the graph is drawn, if that matters.
    """
    for name, attributes in graph.nodes(data=True):
        attributes["role"] = (phase.agents.get(name) or society.agents[name]).role_name
    for _, _, attributes in graph.edges(data=True):
        attributes.setdefault("show", phase.spec.edges.show)
        if phase.spec.edges.window > 1:
            attributes.setdefault("window", phase.spec.edges.window)
    rounds = f", {phase.spec.rounds} rounds" if phase.spec.rounds > 1 else ""
    drawn = f", drawn for each {name_occasions(phase)}" if phase.occasions else ""
    drawn += f"; here for {question}" if phase.occasions and question else ""
    between = f", {phase.spec.on_edges} on each edge" if phase.spec.on_edges else ""
    title = f"{phase.name} ({phase.spec.schedule}{rounds}{drawn}{between})"
    return describe_graph(title, graph, phase.family, list(phase.members.values()))


def name_occasions(phase: PhasePlan) -> str:
    """Return the occasions on which the graph of a phase is drawn again, such as "phase, question and sample"."""
    drawn = {occasion for found in phase.topologies.values() for occasion in found.occasions()}
    *others, last = (occasion for occasion in get_args(Occasion) if occasion in drawn)
    return f"{', '.join(others)} and {last}" if others else last


def describe_rounds(society: Society, turns: Sequence[PlannedTurn]) -> list[Graph]:
    """Return the graph of each round of a dry run: its speakers and whom they read."""
    import networkx as nx

    graphs: dict[tuple[str, int], nx.DiGraph[str]] = {}
    for turn in turns:
        graph = graphs.setdefault((turn.phase, turn.round), nx.DiGraph())
        graph.add_node(turn.agent)
    for turn in turns:  # after the nodes, which keep the order of speaking
        graphs[turn.phase, turn.round].add_edges_from((agent, turn.agent) for agent, _, _ in turn.reads)
    for graph in graphs.values():
        for name, attributes in graph.nodes(data=True):
            attributes["role"] = _role(society, name)
    phases = {phase.name: phase for phase in society.phases}
    return [
        describe_graph(f"{name}, round {round}", graph, phases[name].family, list(phases[name].members.values()))
        for (name, round), graph in graphs.items()
    ]


def _role(society: Society, name: str) -> str:
    return society.agents[name.partition("/")[0]].role_name
