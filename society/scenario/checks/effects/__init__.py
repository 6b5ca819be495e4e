"""Checks of options without effect, and of options that leave nothing to read or to decide.

flow       the turns that may exist before each phase, and the edges of its graph
prompts    the variables that templates use
reading    checks of graphs, edges and prompts
rules      checks of gates, stop rules, controllers and the decision
conditions checks of `when`, `until`, `leave`, and of the part that a stop rule ends
layers     checks of sampling and bindings
memory     checks of memory beyond a debate, sequences and the clock
agents     checks of roles and personas
replies    checks of what replies are read for: confidences, verdicts, and answers that a stop text cuts off
tools      checks of tools and their bounds
asking     checks of the task, the backends and the training
objectives checks of the objectives of learners
"""

from __future__ import annotations

from collections.abc import Iterator

from society.core.errors import ComponentError
from society.core.problems import Problem, make_problem
from society.scenario.checks.effects.agents import check_agents
from society.scenario.checks.effects.asking import check_backends, check_limits, check_task, check_training
from society.scenario.checks.effects.conditions import check_conditions
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, follow
from society.scenario.checks.effects.layers import check_layers
from society.scenario.checks.effects.memory import check_memory
from society.scenario.checks.effects.reading import check_reading
from society.scenario.checks.effects.replies import check_replies
from society.scenario.checks.effects.rules import check_rules
from society.scenario.checks.effects.tools import check_tools
from society.scenario.checks.learned import check_learned, find_fact
from society.scenario.checks.prompts.report import check_prompts
from society.scenario.checks.templates import line_of
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import find_node, problem_at, write_path

MOST_AGENTS = 10_000
"""Maximum number of agents of a scenario that is checked: larger ones would take too long."""
CHECKS = (
    check_reading,
    check_rules,
    check_conditions,
    check_layers,
    check_agents,
    check_replies,
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
        prompts = [*_check_facts(flow, root), *check_prompts(flow, root)]
    except ComponentError as error:
        found.append(Finding((), f"{error.cause} {error.remedy}", "error"))
    effects = [problem_at(root, steps, message, key=key, level=level) for steps, message, level, key in found]
    reported = {problem.path for problem in effects if problem.path.startswith("phases")}
    return [*effects, *(problem for problem in prompts if problem.path not in reported)]


def _check_facts(flow: Flow, root: Node) -> Iterator[Problem]:
    """Yield facts that prompts show and agents do not learn, each at its line of the template."""
    for name, fact, problem, remedy in check_learned(flow.society):
        field, line = find_fact(flow.scenario.roles[name], fact)
        node, path = find_node(root, ("roles", name, field)), write_path(root, ("roles", name, field))
        yield make_problem(line_of(node, line, fact), path, f"{problem}; {remedy}")
