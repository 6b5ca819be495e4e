"""What `society.pictures.topology` draws of a scenario: one panel for each phase."""

from __future__ import annotations

from collections.abc import Sequence

from society.pictures.topology import Panel
from society.planning.dry_run import PlannedTurn
from society.scenario.expand import PhasePlan, Society


def panels(society: Society) -> list[Panel]:
    """A panel for each phase: its graph, with the role of each agent and what each edge shows."""
    return [_panel(society, phase) for phase in society.phases]


def _panel(society: Society, phase: PhasePlan) -> Panel:
    graph = phase.graph()
    for name, data in graph.nodes(data=True):
        plan = phase.agents.get(name) or society.agents[name]
        data["role"] = plan.role_name
    for _, _, data in graph.edges(data=True):
        data.setdefault("show", phase.spec.edges.show)
        if phase.spec.edges.window > 1:
            data.setdefault("window", phase.spec.edges.window)
    rounds = f", {phase.spec.rounds} rounds" if phase.spec.rounds > 1 else ""
    return Panel(f"{phase.name} ({phase.spec.schedule}{rounds})", graph, getattr(phase.spec.topology, "kind", ""))


def round_panels(society: Society, turns: Sequence[PlannedTurn]) -> list[Panel]:
    """A panel for each round: its speakers and whom they read, as a dry run found it."""
    import networkx as nx

    panels: dict[tuple[str, int], Panel] = {}
    kinds = {phase.name: getattr(phase.spec.topology, "kind", "") for phase in society.phases}
    for turn in turns:
        place = (turn.phase, turn.round)
        panel = panels.setdefault(place, Panel(f"{turn.phase}, round {turn.round}", nx.DiGraph(), kinds[turn.phase]))
        panel.graph.add_node(turn.agent)
    for turn in turns:  # only now, so that nodes stand in the order of speaking
        panels[turn.phase, turn.round].graph.add_edges_from((agent, turn.agent) for agent, _, _ in turn.reads)
    for panel in panels.values():
        for name, data in panel.graph.nodes(data=True):
            data["role"] = society.agents[name.partition("/")[0]].role_name
    return list(panels.values())
