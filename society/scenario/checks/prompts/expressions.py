"""The possible values of the expressions of a template, where its variables have possible values."""

from __future__ import annotations

import operator
from dataclasses import replace

from jinja2 import UndefinedError, nodes

from society.core.problems import find_near
from society.scenario.checks.prompts import filters
from society.scenario.checks.prompts.comparisons import Comparisons, last_name
from society.scenario.checks.prompts.log import Fault
from society.scenario.checks.prompts.possible import (
    FLAG,
    NUMBER,
    OPERATORS,
    TEXT,
    UNKNOWN,
    Truth,
    Value,
    compute,
    constant,
    join,
    listed,
    number,
)
from society.scenario.checks.variables import VARIABLES


class Expressions(Comparisons):
    """Evaluates expressions, with their comparisons."""

    def test(self, node: nodes.Node) -> Truth:
        """Return the possible truth values of a condition."""
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            text = node.value
            message = f"the text {text!r} alone always holds; repeat the comparison, as in A == B or A == {text!r}"
            self.fault(node, text, message)
        with self.set_(testing=True):
            return self.value(node).truth

    def refine(self, test: nodes.Node, holds: bool) -> dict[str, Value]:
        """Return the values that variables have where a condition holds, or does not hold."""
        if isinstance(test, nodes.Not):
            return self.refine(test.node, not holds)
        if isinstance(test, nodes.And if holds else nodes.Or):
            return {**self.refine(test.left, holds), **self.refine(test.right, holds)}
        named = test.expr if isinstance(test, nodes.Compare) else test
        known = self.names.get(named.name) if isinstance(named, nodes.Name) else None
        if known is None or not isinstance(named, nodes.Name):
            return {}
        if isinstance(test, nodes.Name) and known.kind == "list" and not holds and not known.empty:
            return {named.name: replace(known, most=0, remedy="the condition around it holds only then")}
        if known.options is None:
            return {}
        if isinstance(test, nodes.Name):
            return {named.name: replace(known, options=[o for o in known.options if bool(o) is holds])}
        if not isinstance(test, nodes.Compare) or len(test.ops) != 1:
            return {}
        try:
            other = test.ops[0].expr.as_const()
            kept = [o for o in known.options if bool(OPERATORS[test.ops[0].op](o, other)) is holds]
        except (nodes.Impossible, UndefinedError, TypeError):
            return {}
        return {named.name: replace(known, options=kept)}

    def value(self, node: nodes.Node | None) -> Value:
        """Return the possible values of an expression."""
        if node is None:
            return UNKNOWN
        method = getattr(self, f"_value_{type(node).__name__.lower()}", None)
        if method is not None:
            found: Value = method(node)
            return found
        if isinstance(node, nodes.BinExpr):
            return self._compute(node)
        for child in node.iter_child_nodes():
            self.value(child)
        return TEXT if isinstance(node, nodes.Concat) else UNKNOWN

    def _value_const(self, node: nodes.Const) -> Value:
        return replace(constant(node.value), literal=True)

    def _value_neg(self, node: nodes.Neg) -> Value:
        found = self.value(node.node)
        options = compute(operator.neg, found) if found.kind == "number" else None
        return replace(NUMBER, options=options, literal=found.literal)

    def _value_list(self, node: nodes.List | nodes.Tuple) -> Value:
        items = [self.value(item) for item in node.items]
        literal = bool(items) and all(item.literal for item in items)
        return listed(join(items) if items else UNKNOWN, len(items), literal=literal)

    _value_tuple = _value_list

    def _value_name(self, node: nodes.Name) -> Value:
        return self.names.get(node.name, UNKNOWN)

    def _value_getattr(self, node: nodes.Getattr) -> Value:
        return self._part(node, self.value(node.node), node.attr)

    def _value_getitem(self, node: nodes.Getitem) -> Value:
        found = self.value(node.node)
        if isinstance(node.arg, nodes.Slice):
            self.use(node.node, found)
            return replace(found, source="", options=None)
        if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) and found.kind == "record":
            return self._part(node, found, node.arg.value)
        self.value(node.arg)
        self.use(node.node, found)
        if found.kind == "text":
            return TEXT
        return (found.kind == "list" and found.item) or UNKNOWN

    def _part(self, node: nodes.Getattr | nodes.Getitem, whole: Value, name: str) -> Value:
        """Return an attribute of a value, or the item of this name."""
        if whole.empty and whole.source in ("outcome", "judged", "now"):
            self.use(node.node, whole)
            self.undefined = True
            return UNKNOWN
        if whole.kind == "record" and name in whole.fields:
            return whole.fields[name]
        known = filters.attributes(whole)
        if known is None or (name in whole.optional and (self.guarded or name in self.tested)):
            return UNKNOWN
        if name in known and isinstance(node, nodes.Getattr):
            return Value("record", noun="a method", fields={"()": UNKNOWN}, plain=False)
        self.undefined = True
        if not self.guarded:
            self._fault_part(node, whole, name)
        return UNKNOWN

    def _fault_part(self, node: nodes.Node, whole: Value, name: str) -> None:
        own = tuple(sorted({*whole.fields, *whole.optional}))
        if name in whole.optional:
            message = f"some rows have no field {name!r}; test {{% if {whole.source}.{name} is defined %}} first"
            self.fault(node, name, message, error=True)
            return
        if name in whole.hidden:
            self.fault(node, name, f"`{whole.source}.{name}` {whole.hidden[name]}", error=True)
            return
        if whole.kind == "list":
            each = f"{{% for one in {whole.source or '...'} %}}{{{{ one.{name} }}}}{{% endfor %}}"
            message = f"is a list, so it has no {name!r}; write {each}"
            self.fault(node, name, f"`{whole.source or 'this'}` {message}", error=True)
            return
        if whole.kind == "text" and whole.source == "persona":
            self.fault(node, name, f"{whole.noun} has no fields, such as {name!r}", error=True)
            return
        message = f"{whole.noun or NOUNS.get(whole.kind)} has no {'field ' * bool(own)}{name!r}"
        self.fault(node, name, message, error=True, allowed=own, suggestion=find_near(name, own))

    def _value_and(self, node: nodes.And | nodes.Or) -> Value:
        ends = isinstance(node, nodes.Or)  # the truth value of the left side at which the right one does not matter
        with self.set_(guarded=self.guarded + ends):
            left = self._operand(node.left)
        if left.truth == {ends}:
            return left
        before = self.names
        self.names = {**before, **self.refine(node.left, not ends)}
        right = self._operand(node.right)
        self.names = before
        if left.truth == {not ends}:
            return replace(right, literal=False)
        if not self.testing:
            return replace(join([left, right]), literal=False, source="", none=False) if ends else UNKNOWN
        return Value("flag", (ends,)) if right.truth == {ends} else FLAG

    _value_or = _value_and

    def _operand(self, node: nodes.Expr) -> Value:
        if self.testing and isinstance(node, nodes.Const):
            self.test(node)
        return self.value(node)

    def _value_not(self, node: nodes.Not) -> Value:
        with self.set_(testing=True):
            return Value("flag", tuple(not one for one in self.value(node.node).truth))

    def _value_condexpr(self, node: nodes.CondExpr) -> Value:
        with self.set_(other=node.expr2 is not None):
            truth = self.test(node.test)
        found = []
        for holds, part in ((True, node.expr1), (False, node.expr2)):
            if holds in truth:
                before = self.names
                self.names = {**before, **self.refine(node.test, holds)}
                found.append(self.value(part) if part is not None else TEXT)
                self.names = before
        return replace(join(found), literal=False, source="")

    def _value_test(self, node: nodes.Test) -> Value:
        self.undefined = False
        with self.set_(guarded=self.guarded + 1, testing=True):
            found = self.value(node.node)
        undefined, self.undefined = self.undefined, False
        for argument in node.args or ():
            self.value(argument)
        if (
            node.name == "none"
            and (found.kind == "list" or found.source in VARIABLES)
            and not (found.none or undefined)
        ):
            self._fault_none(node, node.node, "None")
        truth = filters.test(node.name, found, undefined)
        return Value("flag", tuple(truth))

    def _value_filter(self, node: nodes.Filter) -> Value:
        lenient = node.name in ("default", "d")
        self.undefined = False
        with self.set_(guarded=self.guarded + lenient):
            found = self.value(node.node)
            if node.node is not None and not lenient and node.name not in ("length", "count"):
                self.use(node.node, found)
        undefined, self.undefined = self.undefined and lenient, False
        given = [self.value(argument) for argument in node.args or ()]
        named = {str(pair.key): self.value(pair.value) for pair in node.kwargs or () if isinstance(pair, nodes.Keyword)}
        return filters.apply(self, node, UNKNOWN if undefined else found, given, named)

    def _value_call(self, node: nodes.Call) -> Value:
        given = [self.value(argument) for argument in node.args]
        for pair in node.kwargs:
            self.value(pair.value)
        if isinstance(node.node, nodes.Getattr):
            whole = self.value(node.node.node)
            if whole.kind in ("text", "record", "list") and node.node.attr in (filters.attributes(whole) or ()):
                return filters.call(self, node, whole, node.node.attr, given)
            self._part(node.node, whole, node.node.attr)
            return UNKNOWN
        self.value(node.node)
        is_range = isinstance(node.node, nodes.Name) and node.node.name == "range"
        return listed(NUMBER) if is_range else UNKNOWN

    def _compute(self, node: nodes.BinExpr) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if left.kind == right.kind == "text" and node.operator == "+":
            return TEXT
        if left.kind != "number" or right.kind != "number":
            return UNKNOWN
        work = filters.ARITHMETIC.get(node.operator)
        options = compute(work, left, right) if work is not None else None
        return number(options, literal=options is not None and left.literal and right.literal)

    def check_shown(self, node: nodes.Node, found: Value) -> None:
        """Record a value that is always empty, or shown in Python's form."""
        if isinstance(node, nodes.Const) and isinstance(node.value, str) and node.value in self.names:
            self.fault(node, node.value, f"shows the word {node.value!r}, not the variable; remove the quotation marks")
        self.use(node, found)
        if found.source and found.empty:
            return
        where = last_name(node)
        if found.kind == "list":
            message = f"`{found.source or where}` is a list, and shown in Python's form; {filters.show_list(found)}"
            self.fault(node, where, message)
        elif found.kind == "record" and found.noun == "a method":
            self.fault(node, where, f"`{where}` is a method, which is not called; write {where}()")
        elif found.kind == "record" and not found.plain:
            shown = next((name for name in ("text", "answer") if name in found.fields), next(iter(found.fields), ""))
            message = f"shows {found.noun or 'a mapping'} in Python's form; show a part, such as .{shown}"
            self.fault(node, where, message)
        else:
            self._check_none(node, found)

    def _check_none(self, node: nodes.Node, found: Value) -> None:
        where = last_name(node)
        none = found.kind == "none" or (found.options is not None and set(found.options) == {None})
        message = f"`{found.source or where}` is always None here{'; ' * bool(found.remedy)}{found.remedy}"
        self.use_if(node, none, Fault(node.lineno, where, message))


NOUNS = {"text": "a text", "number": "a number", "flag": "true or false", "record": "this value"}
