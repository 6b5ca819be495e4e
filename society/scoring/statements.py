"""Statements of unit tests, examined without running them: tests that no code can fail are refused."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

_FAILS = (ast.Assert, ast.Raise, ast.Call)
"""Nodes by which a statement can fail. Others only name, compute or define something."""
_LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
"""Definitions, whose bodies run only when something calls them."""
MAX_LENGTH = 1_000_000
"""Maximum number of characters of the tests of a question."""


def find_fault(tests: Sequence[str]) -> str:
    """Return why no code can fail these tests, in words that continue "has tests that ..."; "" if some code can.

    Literals, such as a list of tests that was written as text, definitions that nothing calls, and comparisons without
    an assertion test nothing.
    """
    if sum(map(len, tests)) > MAX_LENGTH:
        return f"have more than {MAX_LENGTH:,} characters"
    try:
        parsed = [ast.parse(test) for test in tests]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"are no Python code ({error})"
    nodes = [node for tree in parsed for node in ast.walk(tree)]
    if any(map(_is_unused, nodes)) and not any(isinstance(node, ast.Assert | ast.Raise) for node in nodes):
        return "compare values without an assertion, so a wrong result passes"
    if any(isinstance(node, _FAILS) for tree in parsed for node in _list_executed(tree)):
        return ""
    statements = [statement for tree in parsed for statement in tree.body]
    if any(isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for statement in statements):
        return "only define functions or classes that nothing calls"
    return "contain no statement that can fail, such as an assertion"


def _is_unused(node: ast.AST) -> bool:
    """Return whether a node is a comparison whose result nothing uses, as in `f(1) == 2` alone."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Compare)


def _list_executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the code runs; the bodies of functions do not."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, _LATER):
            yield node
            waiting.extend(ast.iter_child_nodes(node))
