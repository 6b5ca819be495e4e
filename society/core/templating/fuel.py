"""Payments in a template's syntax tree, for what no filter, test or call of `society.core.templating.sandbox` pays for.

It puts the filters `_tick` (a fixed price) and `_weigh` (the size of a value) where time and memory are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, nodes
from jinja2.visitor import NodeTransformer

CHARACTERS_PER_STEP = 8
"""Characters of a text that cost one step of fuel."""


class _Meter(NodeTransformer):
    """Puts the payments into a template's syntax tree that no filter, test or call makes."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja2 calls it
        price = _price(node.body)
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_tick(price)))
        if node.test is not None:
            node.test = nodes.And(_tick(_price([node.test])), node.test)
        return node

    def visit_Macro(self, node: Any) -> Any:  # noqa: N802
        price = _price(node.body)
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_tick(price)))
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
    """The tree with payments: passes of loops and macros by `_tick`, operands by `_weigh`."""
    metered: nodes.Template = _Meter().visit(tree)
    for node in metered.find_all(nodes.Node):
        node.lineno = node.lineno or 1
    return metered.set_environment(environment)  # type: ignore[return-value]  # it gives itself


def _tick(price: int) -> nodes.Filter:
    return nodes.Filter(nodes.Const(price), "_tick", [], [], None, None)


def _weighed(node: nodes.Expr) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else nodes.Filter(node, "_weigh", [], [], None, None)


def _price(body: Sequence[nodes.Node]) -> int:
    """Steps that one pass over these nodes takes, loops in them once."""
    inner = [node for part in body for node in (part, *part.find_all(nodes.Node))]
    return len(inner) + sum(
        len(node.data) // CHARACTERS_PER_STEP for node in inner if isinstance(node, nodes.TemplateData)
    )
