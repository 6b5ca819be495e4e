"""Check of prompts that show facts on a question that the agents do not learn, by `feedback` or for want of an answer.

Without it, the prompt `{{ 'right' if outcome.right else 'wrong' }}` would state "wrong" for an unknown verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from jinja2 import nodes

from society.core.templating.prompts import find_variables, parse_template
from society.scenario.checks.variables import VARIABLES
from society.scenario.expand import Society
from society.scenario.models.memory import FEEDBACK, MemorySpec
from society.scenario.models.scenario import RoleSpec

LEARNED = ("decision", "right", "gold")
"""Facts that agents learn by `feedback`, in the order of its values."""
GUARDS = ("none", "defined", "false", "boolean")
"""Tests by which a template tells an unknown fact from others."""


def check_learned(society: Society, unscored: int = 0, questions: int = 0) -> Iterator[tuple[str, str, str, str]]:
    """Yield the role, the fact, the problem and the remedy for each fact that a prompt shows and an agent may lack.

    `unscored` of these `questions` have no true answer, so that no agent learns a verdict on them.
    """
    for name, role in society.scenario.roles.items():
        for variable, fact in sorted(_facts_shown(role)):
            level = _least_feedback(society, name, variable)
            if level is None:
                continue
            shown = f"shows `{fact}` of `{variable}`"
            needed = FEEDBACK[LEARNED.index(fact) + 1]
            guard = f"test {{% if {'outcome' if variable == 'outcome' else 'memory'}.{fact} is none %}} first"
            if level < FEEDBACK.index(needed):
                why = f"{shown}, which an agent with `feedback: {FEEDBACK[level]}` does not learn"
                yield name, fact, why, f"set `feedback: {needed}`, or {guard}"
            elif unscored and fact != "decision":
                why = f"{shown}, which is unknown for {unscored:,} of {questions:,} questions: they have no true answer"
                yield name, fact, why, guard


def _least_feedback(society: Society, name: str, variable: str) -> int | None:
    """Return the lowest level of feedback of the facts that a role is shown; None if it is shown none."""
    lasting = [plan for plan in society.plans.values() if plan.memory.lasts]
    given = [plan for plan in lasting if name in _named(plan.memory)]
    if variable == "memories":
        given += [plan for plan in lasting if plan.role_name == name]
        given = lasting if any(plan.memory.scope != "agent" for plan in given) else given
    return min((FEEDBACK.index(plan.memory.feedback) for plan in given), default=None)


def _named(memory: MemorySpec) -> list[str | None]:
    return [memory.write, memory.rate, memory.reflect.role if memory.reflect else None]


def find_fact(role: RoleSpec, fact: str) -> tuple[str, int]:
    """Return the field of a role and the line of its template that show a fact first."""
    for field in ("system", "prompt"):
        for node in parse_template(getattr(role, field) or "").find_all((nodes.Getattr, nodes.Getitem, nodes.Filter)):
            if _attribute(node)[1] == fact:
                return field, node.lineno
    return "prompt", 1


@lru_cache(maxsize=1024)
def _facts_shown(role: RoleSpec) -> frozenset[tuple[str, str]]:
    """Return the facts that the templates of a role show and do not test, with `outcome` or `memories`."""
    trees = [parse_template(source) for source in (role.system, role.prompt) if source]
    names = {name for source in (role.system, role.prompt) if source for name in find_variables(source)}
    other = "memories" if "memories" in names else "outcome"

    def place(found: Iterator[tuple[str, str]]) -> set[tuple[str, str]]:
        return {(owner or other, fact) for owner, fact in found if (owner or other) in names}

    shown = {fact for tree in trees for fact in place(_facts(tree))}
    return frozenset(shown - {fact for tree in trees for fact in place(_guarded(tree))})


def _facts(tree: nodes.Node) -> Iterator[tuple[str, str]]:
    """Yield the facts in a part of a template. A name that is no variable, as in a loop, has the owner ""."""
    for node in (tree, *tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Filter))):
        owner, fact = _attribute(node)
        while isinstance(owner, nodes.Getitem | nodes.Filter):  # memories[0], memories | last
            owner = owner.node
        if fact in LEARNED and isinstance(owner, nodes.Name):
            if owner.name in ("outcome", "memories"):
                yield owner.name, fact
            elif owner.name not in VARIABLES:
                yield "", fact


def _attribute(node: nodes.Node) -> tuple[nodes.Node | None, str]:
    """Return an object and the name of its attribute: of `a.name`, `a["name"]` and `a | attr("name")`."""
    match node:
        case nodes.Getattr():
            return node.node, node.attr
        case nodes.Getitem(arg=nodes.Const(value=str(name))):
            return node.node, name
        case nodes.Filter(name="attr", args=[nodes.Const(value=str(name))]):
            return node.node, name
    return None, ""


def _guarded(tree: nodes.Node) -> Iterator[tuple[str, str]]:
    """Yield the facts that a template tests: each by `is none`, texts also by their truth."""
    for test in tree.find_all(nodes.Test):
        if test.name in GUARDS:
            yield from _facts(test.node)
    for compared in tree.find_all(nodes.Compare):
        if any(constant.value is None for constant in compared.find_all(nodes.Const)):
            yield from _facts(compared)
    for kind, part in ((nodes.If, "test"), (nodes.CondExpr, "test"), (nodes.Or, "left"), (nodes.And, "left")):
        for node in tree.find_all(kind):
            yield from (found for found in _facts(getattr(node, part)) if found[1] != "right")
    for call in tree.find_all(nodes.Filter):
        if call.name in ("default", "d") and call.node is not None and call.args:
            yield from (found for found in _facts(call.node) if found[1] != "right")
