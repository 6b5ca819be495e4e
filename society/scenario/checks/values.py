"""Checks of `vars` and personas: templates that use a value that an agent lacks, and values that no template uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jinja2 import TemplateError, nodes

from society.core.problems import Place, Problem, find_near, make_problem, show
from society.core.templating.prompts import parse_template
from society.scenario.checks.templates import line_of
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import RoleSpec, Scenario
from society.scenario.models.settings import Vars
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, find_node, write_path


def check_values(scenario: Scenario, root: Node) -> list[Problem]:
    """Return the problems of the values for templates in a scenario with valid names and templates."""
    try:
        used = {name: _used(role) for name, role in scenario.roles.items()}
    except TemplateError:  # reported by the check of templates
        return []
    society = expand(scenario)
    found = [*_missing(society, used), *_unused(scenario, used), *_missing_fields(society)]
    return [
        make_problem(_find_use(root, steps, details.get("value")), write_path(root, steps), message, **details)
        for steps, message, details in found
    ]


def _find_use(root: Node, steps: Steps, name: object) -> Place:
    """Return the place of the line of a template that uses a value of this name, or the place of the field."""
    node = find_node(root, steps)
    use = (
        re.search(rf"\b(?:persona|vars)\W{{1,3}}{re.escape(name)}\b", str(node.value))
        if isinstance(name, str)
        else None
    )
    return line_of(node, str(node.value)[: use.start()].count("\n") + 1) if use else node.place


Found = Iterator[tuple[Steps, str, dict[str, Any]]]


def _missing(society: Society, used: dict[str, dict[str, str] | None]) -> Found:
    """Yield each value that a template uses and one of its agents lacks, once for each role."""
    reported: set[tuple[str, str]] = set()
    for phase in society.phases:
        for plan in phase.agents.values():
            for name, field in (used[plan.role_name] or {}).items():
                if name not in plan.vars and (plan.role_name, name) not in reported:
                    reported.add((plan.role_name, name))
                    who = f"the agent {plan.name!r} has no {show(name)} in `vars` in the phase {phase.name!r}"
                    details: dict[str, object] = {
                        "value": name,
                        "allowed": tuple(plan.vars),
                        "suggestion": find_near(name, plan.vars),
                    }
                    yield ("roles", plan.role_name, field), who, details


def _missing_fields(society: Society) -> Found:
    """Yield each field of a persona that a template uses and one of its agents lacks, once for each role."""
    fields = {name: _fields(role) for name, role in society.scenario.roles.items()}
    reported: set[tuple[str, str]] = set()
    for phase in society.phases:
        for plan in phase.agents.values():
            if society.scenario.agents[plan.group].personas is not None:  # the file cannot be read
                continue
            for name, where in fields[plan.role_name].items():
                own = tuple(plan.persona) if isinstance(plan.persona, dict) else ()
                if name not in own and (plan.role_name, name) not in reported:
                    reported.add((plan.role_name, name))
                    has = f"has no field {show(name)}" if own else "has no fields"
                    who = f"the persona of {plan.name!r} {has}, but the template shows `persona.{name}`"
                    details: dict[str, object] = {"value": name, "allowed": own, "suggestion": find_near(name, own)}
                    yield ("roles", plan.role_name, where), who, details


def _fields(role: RoleSpec) -> dict[str, str]:
    """Return the fields of personas that a role's templates show without a test, each with its template."""
    found: dict[str, str] = {}
    for where in ("system", "prompt"):
        tree = parse_template(getattr(role, where) or "")
        tested = {name for test in _tests(tree) for name in _attributes(test)}
        found.update(dict.fromkeys((name for name in _attributes(tree) if name not in tested), where))
    return found


def _tests(tree: nodes.Template) -> Iterator[nodes.Node]:
    """Yield what a template tests before it shows a value: conditions, `is defined` and `default`."""
    yield from (branch.test for branch in tree.find_all(nodes.If))
    yield from (branch.test for branch in tree.find_all(nodes.CondExpr))
    yield from (found for found in tree.find_all(nodes.Filter) if found.name in ("default", "d"))


def _attributes(tree: nodes.Node) -> Iterator[str]:
    """Yield the fields of `persona` in a part of a template, without the methods of mappings."""
    found: list[nodes.Node] = [tree, *tree.find_all((nodes.Getattr, nodes.Getitem))]
    for node in found:
        if isinstance(node, nodes.Getattr) and _is_persona(node.node) and not hasattr(dict, node.attr):
            yield node.attr
        elif isinstance(node, nodes.Getitem) and _is_persona(node.node) and isinstance(node.arg, nodes.Const):
            yield str(node.arg.value)


def _is_persona(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "persona"


def _unused(scenario: Scenario, used: dict[str, dict[str, str] | None]) -> Found:
    """Yield each value that no template uses. A template that shows all of `vars` uses every value."""
    if None in used.values():
        return
    known = {name for names in used.values() for name in names or ()}
    for steps, values in _levels(scenario):
        for name in values:
            if name not in known:
                message = "is not used by any template; remove it, or write {{ vars." + name + " }}"
                yield (*steps, "vars", name), message, {"level": "warning"}


def _levels(scenario: Scenario) -> Iterator[tuple[Steps, Vars]]:
    yield (), scenario.vars
    yield from ((("roles", name), role.vars) for name, role in scenario.roles.items())
    yield from ((("agents", name), agent.vars) for name, agent in scenario.agents.items())
    for i, phase in enumerate(scenario.phases):
        yield ("phases", i), phase.vars
        yield from ((("phases", i, "bind", name), bound.vars) for name, bound in phase.bind.items())


def _used(role: RoleSpec) -> dict[str, str] | None:
    """Return the values that a role's templates use, each with its field; None if they may use any."""
    found: dict[str, str] = {}
    for field in ("system", "prompt"):
        tree = parse_template(getattr(role, field) or "")
        names = sum(node.name == "vars" for node in tree.find_all(nodes.Name))
        attributes = [node.attr for node in tree.find_all(nodes.Getattr) if _is_vars(node.node)]
        items = [node.arg.value for node in tree.find_all(nodes.Getitem) if _is_named(node)]
        if names > len(attributes) + len(items):
            return None
        found.update(dict.fromkeys((*attributes, *items), field))
    return found


def _is_vars(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "vars"


def _is_named(node: nodes.Getitem) -> bool:
    return _is_vars(node.node) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
