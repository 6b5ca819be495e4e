"""Checks of conditions that wait for an answer, or a text, that no agent can give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from society.components.facts import listing
from society.components.stops import StopRule
from society.core.errors import SlowPatternError
from society.core.problems import Problem, find_near, show
from society.core.templating.patterns import search
from society.core.types import Item
from society.scenario.checks.conditions import all_conditions, each_rule
from society.scenario.checks.effects.flow import Flow
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, problem_at
from society.tasks.base import Task

MOST_ITEMS = 100
"""Maximum number of questions whose possible answers are compared."""
MOST_ANSWERS = 2_000
"""Maximum number of possible answers that are compared."""


def check_expected(flow: Flow, root: Node, items: Sequence[Item]) -> Iterator[Problem]:
    """Yield rules that wait for an answer which these questions, or the roles of the agents, do not allow."""
    task = flow.scenario.task
    texts = _fixed_replies(flow)
    listed = _list_answers(task, items, texts)
    for steps, conditions in all_conditions(flow.scenario):
        for below, rule in each_rule(conditions):
            for field, answer in rule.awaits().items():
                yield from _check_answer(task, root, (*steps, *below, field), answer, listed, items)
            yield from _check_texts(rule, root, (*steps, *below), texts)


def _fixed_replies(flow: Flow) -> tuple[str, ...] | None:
    """Return the replies that all speakers choose from; None if one of them writes freely."""
    roles = {plan.role for phase in flow.phases for name, plan in phase.plan.agents.items() if name in phase.speaking}
    if not all(role.choices for role in roles):
        return None
    return tuple(dict.fromkeys(choice for role in roles for choice in role.choices))


def _list_answers(task: Task, items: Sequence[Item], replies: tuple[str, ...] | None) -> list[str] | None:
    """Return all answers that agents can give; None if they are not limited."""
    some = items[:MOST_ITEMS]
    found: Iterable[str | None]
    if replies is not None:
        found = (task.parse(reply, item) for item in some for reply in replies)
    elif task.format.equal == "choice" or set(task.format.extract) <= {"candidates", "choice"}:
        found = (answer for item in some for answer in task.candidates(item).values())
    else:
        return None
    return list(dict.fromkeys(answer for answer in found if answer is not None))[:MOST_ANSWERS]


def _check_answer(
    task: Task, root: Node, steps: Steps, answer: str, listed: list[str] | None, items: Sequence[Item]
) -> Iterator[Problem]:
    if listed is None:
        if task.format.equal == "numeric" and not task.format.has_form(answer, ()):
            yield problem_at(root, steps, f"never holds: answers are numbers, and {show(answer)} is none", value=answer)
        return
    if not listed or any(task.same(answer, other) for other in listed):
        return
    letters = {choice.casefold(): letter for item in items for choice, letter in task.candidates(item).items()}
    letter = letters.get(answer.casefold(), "") if task.format.equal == "choice" else ""
    why = f"answers are the letters of options; write {letter}" if letter else f"no agent can answer {show(answer)}"
    few = tuple(sorted(listed)) if len(listed) <= 20 else ()
    near = letter or find_near(answer, listed)
    yield problem_at(root, steps, f"never holds: {why}", value=answer, allowed=few, suggestion=near)


def _check_texts(rule: StopRule, root: Node, steps: Steps, replies: tuple[str, ...] | None) -> Iterator[Problem]:
    for field, pattern in rule.awaits_texts().items() if replies else ():
        try:
            found = any(search(pattern, reply, ignore_case=True) for reply in replies or ())
        except SlowPatternError:
            continue
        if not found:
            message = f"never holds: agents choose from {listing(replies or ())}, which {show(pattern)} does not match"
            yield problem_at(root, (*steps, field), message, value=pattern)
