"""The society in which agents answer a question alone: additional votes for labels are drawn from it."""

from __future__ import annotations

from dataclasses import replace

from society.components.decisions.counting import Majority
from society.scenario.expand import Society
from topologies.simple import Nobody


def alone(society: Society) -> Society:
    """Return the speakers of the first phase, with their adapters, who answer once and read nobody."""
    first = society.phases[0]
    unread = {"topology": Nobody(), "within": None, "reads": (), "rounds": 1, "schedule": "simultaneous"}
    nobody = dict.fromkeys(("moderator", "on_edges", "summarizer"), "")
    unruled = dict.fromkeys(("when", "stop", "leave", "controllers"), ())
    spec = first.spec.model_copy(update={**unread, **nobody, **unruled})
    agents = {name: replace(plan, when=()) for name, plan in first.agents.items()}
    phase = replace(first, index=0, spec=spec, reads=(), agents=agents, times=1)
    scenario = society.scenario.model_copy(update={"phases": (spec,), "repeat": (), "decision": Majority()})
    return Society(scenario, society.members, (phase,), phase.speakers)
