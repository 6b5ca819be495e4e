"""Comparisons in a template: their possible results, and the records of those with a literal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from jinja2 import nodes

from society.scenario.checks.prompts.log import Compared, Fault, Log, Used
from society.scenario.checks.prompts.possible import (
    EITHER,
    FLAG,
    UNKNOWN,
    Truth,
    Value,
    compare,
)
from society.scenario.checks.variables import VARIABLES

_MIRRORED = {"lt": "gt", "gt": "lt", "lteq": "gteq", "gteq": "lteq"}


class Comparisons(ABC):
    """Records comparisons, empty values and faults in `log`. `names` are the possible values of the variables."""

    def __init__(self, names: dict[str, Value], log: Log) -> None:
        self.names, self.log = dict(names), log
        self.quiet = False  # in a body that never takes place
        self.testing = False  # in a condition
        self.guarded = 0  # in `is defined`, `default` or `or`
        self.undefined = False  # whether the last guarded expression has an attribute that does not exist
        self.tested: frozenset[str] = frozenset()  # attributes whose existence the template tests
        self.other = False  # whether the condition has an `else`

    @contextmanager
    def set_(self, **flags: Any) -> Iterator[None]:
        before = {name: getattr(self, name) for name in flags}
        for name, value in flags.items():
            setattr(self, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    @abstractmethod
    def value(self, node: nodes.Node | None) -> Value:
        """Return the possible values of an expression."""

    def _value_compare(self, node: nodes.Compare) -> Value:
        left = self.value(node.expr)
        self._check_empty_literal(node, left)
        truths: list[Truth] = []
        for index, operand in enumerate(node.ops):
            right = self.value(operand.expr)
            if (name := write(node.expr)) and name == write(operand.expr) and len(node.ops) == 1:
                self.fault(node, name, f"compares `{name}` with itself; correct one side")
            truths.append(self._compare(node, index, left, operand, right))
            left = right
        if any(truth == {False} for truth in truths):
            return Value("flag", (False,))
        return Value("flag", tuple(truths[0])) if len(truths) == 1 else FLAG

    def _check_empty_literal(self, node: nodes.Compare, left: Value) -> None:
        """Record a comparison with None or an empty list, which says nothing about a text or a list."""
        for operand in node.ops:
            empty = isinstance(operand.expr, nodes.List) and not operand.expr.items
            none = isinstance(operand.expr, nodes.Const) and operand.expr.value is None
            if operand.op in ("eq", "ne") and left.kind == "list" and (empty or none):
                self._fault_none(node, node.expr, "an empty list" if empty else "None")
            elif operand.op in ("eq", "ne") and none and left.source in VARIABLES and not left.none:
                self._fault_none(node, node.expr, "None")

    def _fault_none(self, node: nodes.Node, subject: nodes.Node, other: str) -> None:
        name = write(subject) or "the value"
        self.fault(node, last_name(subject), f"`{name}` never equals {other}; write {{% if not {name} %}}")

    def _compare(self, node: nodes.Compare, index: int, left: Value, operand: nodes.Operand, right: Value) -> Truth:
        inside = operand.op in ("in", "notin")
        if inside and right.literal and right.kind == "list" and not left.literal:
            return self._compare_listed(node, left, operand)
        if inside and right.kind == "list":
            truth = compare(left, "eq", right.item or UNKNOWN) if right.most != 0 else frozenset((False,))
            truth = truth if truth == {False} else EITHER
            if left.literal and not right.literal:
                self._record((id(node), index), node, operand.expr, "contains", left, right.item or UNKNOWN, truth)
            return truth if operand.op == "in" else frozenset(not one for one in truth)
        if inside and right.kind == "record":
            return compare(left, operand.op, Value("record", [tuple(right.fields)])) if right.fields else EITHER
        if left.literal != right.literal:
            literal, subject = (left, right) if left.literal else (right, left)
            name = operand.op if right.literal or inside else _MIRRORED.get(operand.op, operand.op)
            truth = compare(left, operand.op, right)
            other = operand.expr if left.literal else node.expr
            self._record((id(node), index), node, other, name, literal, subject, truth)
            return truth
        return compare(left, operand.op, right)

    def _compare_listed(self, node: nodes.Compare, left: Value, operand: nodes.Operand) -> Truth:
        """Return whether a value may be in a list of literals. Each of them is recorded as a comparison."""
        found: list[Truth] = []
        for i, item in enumerate(getattr(operand.expr, "items", ())):
            literal = self.value(item)
            truth = compare(left, "eq", literal)
            self._record((id(node), ("in", i)), item, node.expr, "eq", literal, left, truth, listed=True)
            found.append(truth)
        if all(truth == {False} for truth in found):
            inside: Truth = frozenset((False,))
        elif left.options is not None and all(True in truth for truth in found) and len(left.options) <= len(found):
            inside = compare(replace(left, literal=False), "in", replace(self.value(operand.expr), options=None))
        else:
            inside = EITHER
        return inside if operand.op == "in" else frozenset(not one for one in inside)

    def _record(
        self,
        key: Any,
        node: nodes.Node,
        other: nodes.Node,
        name: str,
        literal: Value,
        subject: Value,
        truth: Truth,
        listed: bool = False,
    ) -> None:
        """Record a comparison of `other`, whose possible values are `subject`, with a literal."""
        if self.quiet or not subject.kind or literal.options is None or len(literal.options) != 1:
            return
        (stated,) = literal.options
        new = Compared(node, write(other), name, stated, subject, set(), {}, listed, self.other and self.testing)
        found = self.log.compared.setdefault(key, new)
        found.truth |= truth
        found.options.update(dict.fromkeys(subject.options or ()))

    def record_call(self, node: nodes.Call, method: str, literal: Value, subject: Value, truth: Truth) -> None:
        """Record a call such as `name.startswith("a")` like a comparison."""
        owner = node.node.node if isinstance(node.node, nodes.Getattr) else node.node
        self._record((id(node), method), node, owner, method, literal, subject, truth)

    def use(self, node: nodes.Node, found: Value) -> None:
        """Record the use of a variable, outside of conditions and defaults."""
        if not (found.source in VARIABLES or found.source == "time") or self.quiet or self.testing or self.guarded:
            return
        used = self.log.used.setdefault(id(node), Used(node, found.source, True))
        used.empty = used.empty and found.empty
        used.remedy = found.remedy

    def use_if(self, node: nodes.Node, wrong: bool, fault: Fault) -> None:
        """Record a fault that is one only if it occurs at all places of the template."""
        if not self.quiet:
            used = self.log.used.setdefault((id(node), "fault"), Used(node, "", True, fault))
            used.empty = used.empty and wrong

    def fault(self, node: nodes.Node, text: str, message: str, **details: Any) -> None:
        """Record a fault at this text in the line of a node, unless there is one already."""
        self.log.faults.setdefault((node.lineno, text), Fault(node.lineno, text, message, **details))


def list_names(target: nodes.Node) -> list[str]:
    """Return the names that a loop or an assignment sets."""
    own = [target.name] if isinstance(target, nodes.Name) else []
    return own + [name.name for name in target.find_all(nodes.Name)]


def find_tested(tree: nodes.Node) -> frozenset[str]:
    """Return the attributes whose existence a template tests: `x.name is defined`, `x.get("name")`, `"name" in x`."""
    found = [test.node for test in tree.find_all(nodes.Test) if test.name in ("defined", "undefined")]
    found += [argument for call in tree.find_all(nodes.Call) for argument in call.args]
    found += [compared.expr for compared in tree.find_all(nodes.Compare) if compared.ops[0].op in ("in", "notin")]
    named = [node.attr if isinstance(node, nodes.Getattr) else getattr(node, "value", None) for node in found]
    return frozenset(name for name in named if isinstance(name, str))


def write(node: nodes.Node) -> str:
    """Return the text of an expression of names and attributes; "" for others."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr) and (owner := write(node.node)):
        return f"{owner}.{node.attr}"
    if isinstance(node, nodes.Filter) and isinstance(node.node, nodes.Node) and (owner := write(node.node)):
        return f"{owner} | {node.name}"
    return ""


def last_name(node: nodes.Node) -> str:
    """Return the name at the end of an expression, by which its place in the line is found."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Name):
        return node.name
    inner = getattr(node, "node", None)
    return last_name(inner) if isinstance(inner, nodes.Node) else ""
