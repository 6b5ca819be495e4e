"""What `society.draw` draws of a scenario: one panel for each phase."""

from __future__ import annotations

from society.draw import Panel
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
