"""Checks of `vars`: values that no template uses."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import TemplateError, nodes

from society.core.problems import Problem
from society.core.templating.prompts import parse_template
from society.scenario.models.scenario import RoleSpec, Scenario
from society.scenario.models.settings import Vars
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, problem_at


def check_values(scenario: Scenario, root: Node) -> list[Problem]:
    """Return the problems of the values for templates in a scenario with valid names and templates."""
    try:
        used = {name: _used(role) for name, role in scenario.roles.items()}
    except TemplateError:  # reported by the check of templates
        return []
    return [problem_at(root, steps, message, level="warning") for steps, message in _unused(scenario, used)]


def _unused(scenario: Scenario, used: dict[str, frozenset[str] | None]) -> Iterator[tuple[Steps, str]]:
    """Yield each value that no template uses. A template that shows all of `vars` uses every value."""
    if None in used.values():
        return
    known = {name for names in used.values() for name in names or ()}
    for steps, values in _levels(scenario):
        for name in values:
            if name not in known:
                message = "is not used by any template; remove it, or write {{ vars." + name + " }}"
                yield (*steps, "vars", name), message


def _levels(scenario: Scenario) -> Iterator[tuple[Steps, Vars]]:
    yield (), scenario.vars
    yield from ((("roles", name), role.vars) for name, role in scenario.roles.items())
    yield from ((("agents", name), agent.vars) for name, agent in scenario.agents.items())
    for i, phase in enumerate(scenario.phases):
        yield ("phases", i), phase.vars
        yield from ((("phases", i, "bind", name), bound.vars) for name, bound in phase.bind.items())


def _used(role: RoleSpec) -> frozenset[str] | None:
    """Return the values that a role's templates use; None if they may use any."""
    found: set[str] = set()
    for field in ("system", "prompt"):
        tree = parse_template(getattr(role, field) or "")
        names = sum(node.name == "vars" for node in tree.find_all(nodes.Name))
        attributes = [node.attr for node in tree.find_all(nodes.Getattr) if _is_vars(node.node)]
        items = [node.arg.value for node in tree.find_all(nodes.Getitem) if _is_named(node)]
        if names > len(attributes) + len(items):
            return None
        found.update((*attributes, *items))
    return frozenset(found)


def _is_vars(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "vars"


def _is_named(node: nodes.Getitem) -> bool:
    return _is_vars(node.node) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
