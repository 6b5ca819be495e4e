"""Analysis of templates: the variables and the parts of messages that the templates of a role use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import nodes

from society.core.templating.prompts import find_variables, parse_template
from society.scenario.models.scenario import RoleSpec

LISTS = ("heard", "own")
"""Template variables that are lists of messages or turns."""


@dataclass(frozen=True, slots=True)
class Use:
    """Variables that the templates of a role use or test, and parts of messages that they show."""

    variables: frozenset[str]
    tested: frozenset[str]
    parts: frozenset[str]
    whole: bool
    """Whether a message is shown, or passed on, as a whole."""

    def shows(self, part: str) -> bool:
        """Return whether the templates may show this part of messages, such as `sender`."""
        return self.whole or part in self.parts


@lru_cache(maxsize=1024)
def find_use(role: RoleSpec) -> Use:
    """Return the variables and parts that the role's `system` and `prompt` use. Both must be valid templates."""
    sources = [source for source in (role.system, role.prompt) if source]
    trees = [parse_template(source) for source in sources]
    variables = frozenset(name for source in sources for name in find_variables(source))
    tested = frozenset(name for tree in trees for name in _tested(tree))
    parts = frozenset(part for tree in trees for part in _parts(tree))
    return Use(variables, tested, parts, any(_is_whole(tree) for tree in trees))


def loops_question(role: RoleSpec) -> bool:
    """Return whether templates show the question, and only in loops over `heard`."""
    trees = [parse_template(source) for source in (role.system, role.prompt) if source]
    loops = [loop for tree in trees for loop in tree.find_all(nodes.For) if _names(loop.iter) == {"heard"}]
    inside = {id(name) for loop in loops for part in loop.body for name in _question(part)}
    everywhere = {id(name) for tree in trees for name in _question(tree)}
    return bool(everywhere) and inside == everywhere


def _question(node: nodes.Node) -> list[nodes.Name]:
    """Return the uses of variables that show the question, whole or in parts."""
    found = [node] if isinstance(node, nodes.Name) else []
    return [name for name in (*found, *node.find_all(nodes.Name)) if name.name in ("question", "item")]


def may_letter(role: RoleSpec) -> bool:
    """Return whether templates may show the letters of candidates: as `letter`, or made of other texts or numbers."""
    if find_use(role).shows("letter"):
        return True
    trees = [parse_template(source) for source in (role.system, role.prompt) if source]
    made = (nodes.Getitem, nodes.Call, nodes.Filter)
    return any(True for tree in trees for _ in tree.find_all(made))


def _tested(tree: nodes.Template) -> Iterator[str]:
    """Yield the names in the conditions of a template: `if name`."""
    tests = [branch.test for branch in tree.find_all(nodes.If)]
    tests += [branch.test for branch in tree.find_all(nodes.CondExpr)]
    for test in tests:
        yield from _names(test)


def _parts(tree: nodes.Template) -> Iterator[str]:
    """Yield attributes, and texts that may be attributes: `message.sender`, `map(attribute="sender")`."""
    yield from (node.attr for node in tree.find_all(nodes.Getattr))
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str):
            yield from constant.value.replace(",", " ").split()


def _is_whole(tree: nodes.Template) -> bool:
    """Return whether a message is shown other than by its attributes."""
    messages = set(LISTS)
    for loop in tree.find_all(nodes.For):
        messages |= _names(loop.target) if _names(loop.iter) & messages else set()
    for assigned in tree.find_all(nodes.Assign):
        messages |= _names(assigned.target) if _names(assigned.node) & messages else set()
    return any(
        _shows_whole(expression, messages) for output in tree.find_all(nodes.Output) for expression in output.nodes
    )


def _names(node: nodes.Node) -> set[str]:
    inner = {name.name for name in node.find_all(nodes.Name)}
    return inner | ({node.name} if isinstance(node, nodes.Name) else set())


def _shows_whole(node: nodes.Node, messages: set[str]) -> bool:
    """Return whether an expression shows one of these names without an attribute."""
    if isinstance(node, nodes.Name):
        return node.name in messages
    if isinstance(node, nodes.Getattr) or (isinstance(node, nodes.Filter) and node.name in ("length", "count", "map")):
        return False
    if isinstance(node, nodes.CondExpr):
        return any(_shows_whole(part, messages) for part in (node.expr1, node.expr2) if part is not None)
    return any(_shows_whole(child, messages) for child in node.iter_child_nodes())
