"""Checks of prompt templates: their syntax, and the existence of their variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import jinja2
from jinja2 import nodes

from society.core.problems import Place, Problem, find_near, make_problem, show
from society.core.templating.prompts import find_free_names, list_filters, list_tests, parse_template
from society.scenario.checks.variables import VARIABLES
from society.scenario.members import members
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node, PathText, Written
from society.scenario.reading.tree import Steps, find_node, write_path

_BRACED = re.compile(r"(?<!\{)\{\s*([A-Za-z_]\w*)((?:\.\w+|\[[^\[\]{}]*\])*)\s*\}(?!\})")
"""Matches a name in single braces, as in Python's format texts, with its attributes."""
_SPACED = re.compile(r"\{ +%|% +\}|\{ +\{ *\w+ *\} *\}")
"""Matches the beginning or the end of a tag that a space has spoiled."""
_TAG = re.compile(r"\{%-?\s*(\w+)")
_BLOCKS = frozenset(["for", "if", "macro", "call", "filter", "block", "raw", "with", "autoescape", "trans"])
"""Tags of blocks that have an end."""
_UNKNOWN = re.compile(r"No (filter|test) named '(\w+)'")


def check_templates(scenario: Scenario, root: Node) -> list[Problem]:
    """Return the problems of the templates of all roles, each at its line of a block text."""
    problems: list[Problem] = []
    for name, role in scenario.roles.items():
        for field in ("system", "prompt"):
            if source := getattr(role, field):
                problems += _check(source, root, ("roles", name, field), _texts(scenario))
    return problems


def _texts(scenario: Scenario) -> dict[str, str]:
    """Return the names of phases, agents and roles, each with the word for it."""
    names = dict.fromkeys(scenario.roles, "role") | dict.fromkeys(members(scenario), "agent")
    return names | dict.fromkeys((phase.name for phase in scenario.phases), "phase")


def _check(source: str, root: Node, steps: Steps, texts: Mapping[str, str]) -> Iterator[Problem]:
    node, path = find_node(root, steps), write_path(root, steps)
    if isinstance(node.value, PathText):
        yield make_problem(
            node.place, path, f"should be text, not the path {show(str(node.value))}; read the file first"
        )
        return
    try:
        tree = parse_template(source)
    except jinja2.TemplateSyntaxError as error:
        line = _find_open(source) if "end of template" in str(error.message) else error.lineno
        message = f"is not a valid template: {error.message}{_suggest(str(error.message))}"
        yield make_problem(line_of(node, line), path, message)
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
        yield from _check_variables(tree, node, path, texts)
        yield from _check_braces(tree, node, path)
        for alone in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            yield make_problem(
                line_of(node, alone.lineno), path, "templates cannot load other templates; write the text out"
            )


def _find_open(source: str) -> int:
    """Return the line of the last block that a template opens and does not close, from 1."""
    open_blocks: list[tuple[str, int]] = []
    for tag in _TAG.finditer(source):
        if tag[1].startswith("end"):
            while open_blocks and open_blocks.pop()[0] != tag[1].removeprefix("end"):
                pass
        elif tag[1] in _BLOCKS:
            open_blocks.append((tag[1], source[: tag.start()].count("\n") + 1))
    return open_blocks[-1][1] if open_blocks else source.count("\n") + 1


def _suggest(message: str) -> str:
    """Return a suggestion for an unknown filter or test."""
    unknown = _UNKNOWN.match(message)
    if unknown is None:
        return ""
    near = find_near(unknown[2], list_filters() if unknown[1] == "filter" else list_tests())
    return f" Did you mean {near!r}?" if near else ""


def _check_braces(tree: nodes.Template, node: Node, path: str) -> Iterator[Problem]:
    """Warn about variables in single braces, and braces that are left over: they are shown as they are written."""
    local = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    found: dict[str, int] = {}
    for text in tree.find_all(nodes.TemplateData):
        for match in _BRACED.finditer(text.data):
            if match[1] in VARIABLES or (match[1] in local and match[2]):
                line = text.lineno + text.data[: match.start()].count("\n")
                found.setdefault(match[1] + match[2], line)
    for name, line in found.items():
        meant = VARIABLES.get(name, "its value")
        message = f"{{{name}}} is shown as it is written, not as {meant}; write {{{{ {name} }}}}"
        yield make_problem(line_of(node, line, name), path, message, level="warning")
    for text in tree.find_all(nodes.TemplateData):
        for match in _SPACED.finditer(text.data):
            line = text.lineno + text.data[: match.start()].count("\n")
            message = f"{match[0]!r} is shown as it is written, not read as a tag; remove the space in it"
            yield make_problem(line_of(node, line, match[0]), path, message, level="warning")
    for line in _leftovers(tree):
        message = "a brace is left over after the tag and shown as it is written; remove it"
        yield make_problem(line_of(node, line, "}}}"), path, message, level="warning")


def _leftovers(tree: nodes.Template) -> Iterator[int]:
    """Yield the lines with a closing brace right after a tag, where the text before it has opened none."""
    open_braces = 0
    for output in tree.find_all(nodes.Output):
        after_tag = False
        for part in output.nodes:
            if isinstance(part, nodes.TemplateData):
                if after_tag and part.data.startswith("}") and open_braces <= 0:
                    yield part.lineno
                open_braces += part.data.count("{") - part.data.count("}")
            after_tag = not isinstance(part, nodes.TemplateData)


def _check_variables(tree: nodes.Template, node: Node, path: str, texts: Mapping[str, str]) -> Iterator[Problem]:
    """Yield names that are no variable. `texts` are names of the scenario, which need quotation marks."""
    free = (
        (find_free_names(tree) | {"self"})  # `self` is of Jinja2, for templates that extend others
        - set(VARIABLES)
        - set(tree.environment.globals if tree.environment else ())
    )
    seen: set[tuple[str, int]] = set()
    for used in tree.find_all(nodes.Name):
        if used.name in free and used.ctx == "load" and (used.name, used.lineno) not in seen:
            seen.add((used.name, used.lineno))
            yield make_problem(
                line_of(node, used.lineno, used.name),
                path,
                f"there is no variable {show(used.name)}{_quote(used.name, texts)}",
                value=used.name,
                allowed=tuple(VARIABLES),
                suggestion=find_near(used.name, VARIABLES),
            )


def _quote(name: str, texts: Mapping[str, str]) -> str:
    return f'; for the name of the {texts[name]}, write "{name}" in quotation marks' if name in texts else ""


def line_of(node: Node, number: int, text: str = "") -> Place:
    """Return the place of `text` in a line of a template, or of the line; the start of a template without a file.

    In a folded or quoted text, lines of the file are not those of the template. So the occurrences of `text`, or else
    of the line's first word, are counted.
    """
    written = node.written
    if written is None or not node.place.line:
        return node.place
    if node.style == "|":
        raw = written.lines[number] if number < len(written.lines) else ""
        column = raw.find(text) if text in raw else len(raw) - len(raw.lstrip())
        return replace(written.place, line=written.place.line + number, column=column + 1)
    lines = str(node.value).split("\n")
    line = lines[number - 1] if number <= len(lines) else ""
    text = text if text and text in line else next(iter(line.split()), "")
    earlier = "\n".join(lines[: number - 1]).count(text)
    return _find_occurrence(written, text, earlier) if text else written.place


def _find_occurrence(written: Written, text: str, earlier: int) -> Place:
    """Return the place of a text in the lines of a file, after this number of earlier occurrences."""
    for i, raw in enumerate(written.lines):
        start = written.place.column - 1 if i == 0 else 0
        count = raw.count(text, start)
        if count > earlier:
            column = start
            for _ in range(earlier + 1):
                column = raw.index(text, column) + 1
            return replace(written.place, line=written.place.line + i, column=column)
        earlier -= count
    return written.place
