"""A walk through a template with the possible values of its variables: it records comparisons, empty values and faults.

What no place of a template reaches is not walked. The body of a loop over an empty list is walked for its faults only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from jinja2 import nodes

from society.scenario.checks.prompts.comparisons import find_tested, last_name, list_names, write
from society.scenario.checks.prompts.expressions import Expressions
from society.scenario.checks.prompts.log import Log
from society.scenario.checks.prompts.possible import (
    FLAG,
    NUMBER,
    UNKNOWN,
    Value,
)

LOOP = Value(
    "record",
    fields=dict.fromkeys(["index", "index0", "revindex", "revindex0", "length", "depth", "depth0"], NUMBER)
    | dict.fromkeys(("first", "last"), FLAG)
    | dict.fromkeys(["cycle", "changed", "previtem", "nextitem"], UNKNOWN),
    noun="`loop`",
    plain=False,
)


class Walk(Expressions):
    """One walk through a template. `variables` are the possible values of its variables at a place."""

    def __init__(self, tree: nodes.Template, variables: dict[str, Value], log: Log) -> None:
        super().__init__(variables, log)
        self.tested = find_tested(tree)
        targets = [name for found in tree.find_all(nodes.Assign) for name in list_names(found.target)]
        self.vague = {name for name in targets if targets.count(name) > 1}
        self.run(tree.body)

    def run(self, body: Iterable[nodes.Node]) -> None:
        for node in body:
            method = getattr(self, f"_run_{type(node).__name__.lower()}", None)
            if method is not None:
                method(node)
            elif isinstance(node, nodes.Expr):
                self.value(node)
            elif isinstance(node, nodes.Macro):
                self._in_scope(node.body, {arg.name: UNKNOWN for arg in node.args})
            else:
                self.run(node.iter_child_nodes())

    def _in_scope(self, body: Iterable[nodes.Node], names: dict[str, Value]) -> None:
        with self.set_(names={**self.names, **names}):
            self.run(body)

    def _run_output(self, node: nodes.Output) -> None:
        for part in node.nodes:
            if not isinstance(part, nodes.TemplateData):
                self.check_shown(part, self.value(part))

    def _run_for(self, node: nodes.For) -> None:
        found = self.value(node.iter)
        self.use(node.iter, found)
        if found.kind == "text":
            message = f"`{write(node.iter) or 'this'}` is a text, so the loop takes place for each letter; name a list"
            self.fault(node.iter, last_name(node.iter), message)
        if found.kind in ("number", "flag"):
            message = f"`{write(node.iter) or 'this'}` is no list, so no loop can go over it"
            self.fault(node.iter, last_name(node.iter), message, error=True)
        if (
            isinstance(node.target, nodes.Tuple)
            and found.kind == "list"
            and (found.item or UNKNOWN).kind in ("text", "record")
        ):
            message = f"an item of `{write(node.iter) or 'this'}` is one value; loop with one name, and show its parts"
            self.fault(node, list_names(node.target)[0], message, error=True)
        names = dict.fromkeys(list_names(node.target), UNKNOWN)
        if isinstance(node.target, nodes.Name):
            names[node.target.name] = found.item or UNKNOWN
            self._check_loop(node, node.target.name)
        with self.set_(quiet=self.quiet or found.most == 0, names={**self.names, **names, "loop": LOOP}):
            if node.test is not None:
                self.test(node.test)
            self.run(node.body)
        self.run(node.else_)

    def _check_loop(self, node: nodes.For, name: str) -> None:
        """Record a loop over messages that shows nothing of them."""
        over = node.iter.name if isinstance(node.iter, nodes.Name) else ""
        if any(True for _ in node.find_all((nodes.Assign, nodes.Call))):
            return
        used = {found.name for part in node.body for found in part.find_all(nodes.Name)}
        if over in ("heard", "own", "memories", "candidates", "choices") and not used & {name, "loop", over}:
            part = {"choices": "", "candidates": ".answer"}.get(over, ".text")
            message = f"the loop over `{over}` shows nothing of `{name}`; write {{{{ {name}{part} }}}} in it"
            self.fault(node, f"for {name}", message)

    def _run_if(self, node: nodes.If) -> None:
        before, changed = self.names, set[str]()
        rest = self.names
        for branch in (node, *node.elif_):
            with self.set_(other=bool(node.else_ or node.elif_)):
                truth = self.test(branch.test)
            if True in truth:
                changed |= self._run_branch(branch.body, {**rest, **self.refine(branch.test, True)})
            self.names = rest = {**rest, **self.refine(branch.test, False)}
            if False not in truth:
                break
        else:
            changed |= self._run_branch(node.else_, rest)
        self.names = {**before, **dict.fromkeys(changed, UNKNOWN)}

    def _run_branch(self, body: list[nodes.Node], names: dict[str, Value]) -> set[str]:
        """Walk through a branch. Return the names that it assigns."""
        self.names = dict(names)
        self.run(body)
        return {name for name, value in self.names.items() if names.get(name) is not value}

    def _run_assign(self, node: nodes.Assign) -> None:
        found = self.value(node.node)
        for name in list_names(node.target):
            whole = isinstance(node.target, nodes.Name) and name not in self.vague
            self.names[name] = replace(found, source="", literal=False) if whole else UNKNOWN

    def _run_with(self, node: nodes.With) -> None:
        values = [self.value(value) for value in node.values]
        names = {t.name: v for t, v in zip(node.targets, values, strict=True) if isinstance(t, nodes.Name)}
        self._in_scope(node.body, names)
