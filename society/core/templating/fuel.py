"""Rewriting of a Jinja2 syntax tree so that loops, comparisons and slices consume fuel.

Filters, tests and calls consume fuel in `society.core.templating.sandbox`. For all other work, this module inserts the
filters `_tick`, which consumes a fixed number of steps, and `_weigh`, which consumes the size of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer

CHARACTERS_PER_STEP = 8
"""Characters of a text that cost one step of fuel."""


class _Meter(NodeTransformer):
    """A transformer that inserts the filters `_tick` and `_weigh` into a syntax tree."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja2 calls it
        steps = _cost(node.body)
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_tick(steps)))
        if node.test is not None:
            node.test = nodes.And(_tick(_cost([node.test])), node.test)
        return node

    def visit_Macro(self, node: Any) -> Any:  # noqa: N802
        steps = _cost(node.body)
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_tick(steps)))
        return node

    visit_CallBlock = visit_Block = visit_Macro  # noqa: N815

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Concat:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [_weighed(part) for part in node.nodes]
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Pair:  # noqa: N802
        self.generic_visit(node)
        node.key = _weighed(node.key)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = nodes.Filter(node.node, "_weigh", [], [], None, None)
        else:
            node.arg = _weighed(node.arg)
        return node


def meter(tree: nodes.Template, environment: Environment) -> nodes.Template:
    """Return the tree with fuel consumption: `_tick` for passes of loops and macros, `_weigh` for operands."""
    metered: nodes.Template = _Meter().visit(tree)
    for node in metered.find_all(nodes.Node):
        node.lineno = node.lineno or 1
    return metered.set_environment(environment)  # type: ignore[return-value]  # it returns the tree


def _tick(steps: int) -> nodes.Filter:
    return nodes.Filter(nodes.Const(steps), "_tick", [], [], None, None)


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else nodes.Filter(node, "_weigh", [], [], None, None)


def _cost(body: Sequence[nodes.Node]) -> int:
    """Return the number of steps of one pass over these nodes, with inner loops counted once."""
    inner = [node for part in body for node in (part, *part.find_all(nodes.Node))]
    return len(inner) + sum(
        len(node.data) // CHARACTERS_PER_STEP for node in inner if isinstance(node, nodes.TemplateData)
    )
