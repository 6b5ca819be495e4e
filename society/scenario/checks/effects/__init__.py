"""Options that can change nothing, or that leave nothing to read or to decide: each a warning or an error.

`flow` follows who has spoken before whom, `prompts` what templates use; on them stand the checks: `reading` (graphs,
edges, prompts), `rules` (gates, stop rules, controllers, decisions), `layers` (sampling, bindings), `agents` (roles,
personas, confidences), `asking` (task, backends, training).
"""

from __future__ import annotations

from society.core.problems import Problem, make_problem
from society.scenario.checks.effects.agents import check_agents
from society.scenario.checks.effects.asking import check_backends, check_task, check_training
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import follow
from society.scenario.checks.effects.layers import check_layers
from society.scenario.checks.effects.reading import check_reading
from society.scenario.checks.effects.rules import check_rules
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import find_place, write_path

MOST_AGENTS = 10_000
"""Agents of a scenario above which nothing is looked for: following all of them would take long."""


def check_effects(scenario: Scenario, root: Node) -> list[Problem]:
    """Return what has no effect in a scenario that is right otherwise."""
    if sum(spec.count for spec in scenario.agents.values()) > MOST_AGENTS:
        return []
    flow = follow(scenario)
    found: list[Finding] = []
    for check in (check_reading, check_rules, check_layers, check_agents, check_task, check_backends, check_training):
        found += check(flow)
    return [
        make_problem(find_place(root, steps, key), write_path(root, steps), message, level=level)
        for steps, message, level, key in found
    ]
