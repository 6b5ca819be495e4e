"""Checks of options without effect, and of options that leave nothing to read or to decide.

flow       the turns that may exist before each phase, and the edges of its graph
prompts    the variables that templates use
reading    checks of graphs, edges and prompts
rules      checks of gates, stop rules, controllers and the decision
conditions checks of `when`, `until`, `leave`, and of the part that a stop rule ends
layers     checks of sampling and bindings
memory     checks of memory beyond a debate, sequences and the clock
agents     checks of roles, personas and confidences
tools      checks of tools and their bounds
asking     checks of the task, the backends and the training
"""

from __future__ import annotations

from society.core.errors import ComponentError
from society.core.problems import Problem
from society.scenario.checks.effects.agents import check_agents
from society.scenario.checks.effects.asking import check_backends, check_limits, check_task, check_training
from society.scenario.checks.effects.conditions import check_conditions
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import follow
from society.scenario.checks.effects.layers import check_layers
from society.scenario.checks.effects.memory import check_memory
from society.scenario.checks.effects.reading import check_reading
from society.scenario.checks.effects.rules import check_rules
from society.scenario.checks.effects.tools import check_tools
from society.scenario.checks.prompts.report import check_prompts
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import problem_at

MOST_AGENTS = 10_000
"""Maximum number of agents of a scenario that is checked: larger ones would take too long."""
CHECKS = (
    check_reading,
    check_rules,
    check_conditions,
    check_layers,
    check_agents,
    check_tools,
    check_memory,
    check_task,
    check_backends,
    check_limits,
    check_training,
)


def check_effects(scenario: Scenario, root: Node) -> list[Problem]:
    """Return the problems of options without effect in a scenario without other errors.

    A component whose code fails ends the checks with one error.
    """
    if sum(spec.count for spec in scenario.agents.values()) > MOST_AGENTS:
        return []
    found: list[Finding] = []
    prompts: list[Problem] = []
    try:
        flow = follow(scenario)
        for check in CHECKS:
            found += check(flow)
        prompts = check_prompts(flow, root)
    except ComponentError as error:
        found.append(Finding((), f"{error.cause} {error.remedy}", "error"))
    effects = [problem_at(root, steps, message, key=key, level=level) for steps, message, level, key in found]
    reported = {problem.path for problem in effects if problem.path.startswith("phases")}
    return [*effects, *(problem for problem in prompts if problem.path not in reported)]
