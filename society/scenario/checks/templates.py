"""Checks of prompt templates: their syntax, and the existence of their variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import jinja2
from jinja2 import meta, nodes

from society.core.problems import Place, Problem, find_near, make_problem, show
from society.core.templating.prompts import parse_template
from society.scenario.checks.variables import VARIABLES
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node, PathText
from society.scenario.reading.tree import Steps, find_node, write_path

_BRACED = re.compile(r"(?<!\{)\{\s*(" + "|".join(VARIABLES) + r")\s*\}(?!\})")
"""Matches a variable in single braces, as in Python's format texts."""


def check_templates(scenario: Scenario, root: Node) -> list[Problem]:
    """Return the problems of the templates of all roles, each at its line of a block text."""
    problems: list[Problem] = []
    for name, role in scenario.roles.items():
        for field in ("system", "prompt"):
            if source := getattr(role, field):
                problems += _check(source, root, ("roles", name, field))
    return problems


def _check(source: str, root: Node, steps: Steps) -> Iterator[Problem]:
    node, path = find_node(root, steps), write_path(root, steps)
    if isinstance(node.value, PathText):
        yield make_problem(
            node.place, path, f"should be text, not the path {show(str(node.value))}; read the file first"
        )
        return
    try:
        tree = parse_template(source)
    except jinja2.TemplateSyntaxError as error:
        yield make_problem(line_of(node, error.lineno), path, f"is not a valid template: {error.message}")
    except (
        jinja2.TemplateError,
        SyntaxError,
        ValueError,
        ArithmeticError,
        RecursionError,
        MemoryError,
    ) as error:
        yield make_problem(node.place, path, f"is not a valid template: {error or 'it is nested too deeply'}")
    else:
        yield from _check_variables(tree, node, path)
        yield from _check_braces(tree, node, path)
        for alone in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            yield make_problem(
                line_of(node, alone.lineno), path, "templates cannot load other templates; write the text out"
            )


def _check_braces(tree: nodes.Template, node: Node, path: str) -> Iterator[Problem]:
    """Warn about variables in single braces, which are shown as they are written."""
    names = [match[1] for text in tree.find_all(nodes.TemplateData) for match in _BRACED.finditer(text.data)]
    for name in dict.fromkeys(names):
        message = f"{{{name}}} is shown as it is written, not as {VARIABLES[name]}; write {{{{ {name} }}}}"
        yield make_problem(node.place, path, message, level="warning")


def _check_variables(tree: nodes.Template, node: Node, path: str) -> Iterator[Problem]:
    free = (
        meta.find_undeclared_variables(tree)
        - set(VARIABLES)
        - set(tree.environment.globals if tree.environment else ())
    )
    seen: set[tuple[str, int]] = set()
    for used in tree.find_all(nodes.Name):
        if used.name in free and used.ctx == "load" and (used.name, used.lineno) not in seen:
            seen.add((used.name, used.lineno))
            yield make_problem(
                line_of(node, used.lineno),
                path,
                f"there is no variable {show(used.name)}",
                value=used.name,
                allowed=tuple(VARIABLES),
                suggestion=find_near(used.name, VARIABLES),
            )


def line_of(node: Node, number: int) -> Place:
    """Return the place of a line of a template: its own line for a literal block, else the start of the text."""
    if node.style != "|":
        return node.place
    return replace(node.place, line=node.place.line + number, column=1)
