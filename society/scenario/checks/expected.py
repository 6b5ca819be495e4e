"""Checks of conditions that wait for an answer, or a text, that no agent can give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from society.components.facts import listing
from society.components.faults import faults_of
from society.components.stops import StopRule
from society.core.errors import SlowPatternError
from society.core.problems import Problem, find_near, show
from society.core.templating.patterns import search
from society.core.types import Item
from society.scenario.checks.conditions import all_conditions, each_rule
from society.scenario.checks.effects.flow import Flow
from society.scenario.members import agents_of
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, problem_at
from society.tasks.base import Task

_SIGNAL = re.compile(r"(?<![\\\w])[A-Z]{3,}(?!\w)")
"""Matches a word in capitals: a signal on which prompt and rule agree."""
MOST_READ = 20_000
"""Maximum number of fixed replies, times questions, that are read to list the possible answers."""
MOST_ANSWERS = 2_000
"""Maximum number of possible answers that are compared."""


def check_expected(flow: Flow, root: Node, items: Sequence[Item]) -> Iterator[Problem]:
    """Yield rules that wait for an answer which these questions, or the roles of the agents, do not allow."""
    task = flow.scenario.task
    told = "\n".join(_told(flow)).lower()
    for steps, rule in awaiting_rules(flow.scenario):
        replies = _fixed_replies(flow, rule)
        listed = _list_answers(task, items, replies) if rule.awaits() else None
        for field, answer in rule.awaits().items():
            yield from _check_answer(task, root, (*steps, field), answer, listed, items)
        for field, pattern in rule.awaits_texts().items():
            yield from _check_pattern(root, (*steps, field), pattern, replies, told)


def awaiting_rules(scenario: Scenario) -> Iterator[tuple[Steps, StopRule]]:
    """Yield each rule that waits for a certain answer or text, with its steps."""
    for steps, conditions in all_conditions(scenario):
        for below, rule in each_rule(conditions):
            with faults_of(rule, "awaits"):
                waits = bool(rule.awaits() or rule.awaits_texts())
            if waits:
                yield (*steps, *below), rule


def _fixed_replies(flow: Flow, rule: StopRule) -> tuple[str, ...] | None:
    """Return the replies that the agents of a rule choose from; None if one of them writes freely."""
    named = [name for field in rule.agent_fields() for name in field.names if name]
    agents = agents_of(named, flow.society.members) if named else flow.society.speaking
    phases = [phase for phase in flow.phases if not phase.speaking.isdisjoint(agents)]
    roles = {phase.plan.agents[name].role for phase in phases for name in phase.speaking.intersection(agents)}
    if not roles or not all(role.choices for role in roles):
        return None
    return tuple(dict.fromkeys(choice for role in roles for choice in role.choices))


def _told(flow: Flow) -> Iterator[str]:
    """Yield all texts of a scenario that prompts may show."""
    yield flow.scenario.task.instruction
    for role in flow.scenario.roles.values():
        yield from (role.system or "", role.prompt, *role.choices)
    for plan in {id(plan.vars): plan for _, plan in flow.plans()}.values():
        yield from map(str, plan.vars.values())
    for plan in {str(plan.persona): plan for _, plan in flow.plans()}.values():
        yield str(plan.persona)


def _list_answers(task: Task, items: Sequence[Item], replies: tuple[str, ...] | None) -> list[str] | None:
    """Return all answers that agents can give; None if they are not limited, or too many."""
    found: Iterable[str | None]
    if replies is not None:
        if len(replies) * len(items) > MOST_READ:
            return None
        try:
            found = [task.parse(reply, item) for item in items for reply in replies]
        except Exception:
            return None  # a reader that raises an error is named when it reads a reply
    elif not _is_free(task) and (task.format.equal == "choice" or set(task.format.extract) <= {"candidates", "choice"}):
        found = (answer for item in items for answer in task.candidates(item).values())
    else:
        return None
    answers = list(dict.fromkeys(answer for answer in found if answer is not None))
    return answers if len(answers) <= MOST_ANSWERS else None


def _is_free(task: Task) -> bool:
    """Return whether an answer may be any text of a reply."""
    return not set(task.format.extract) <= {"boxed", "hash", "tag", "last_number", "choice", "candidates"}


def _level(steps: Steps) -> str:
    """Return the level of a rule that never holds: without `stop`, a phase still ends."""
    return "warning" if "stop" in steps else "error"


def _check_answer(
    task: Task, root: Node, steps: Steps, answer: str, listed: list[str] | None, items: Sequence[Item]
) -> Iterator[Problem]:
    if listed is None:
        if task.format.equal == "numeric" and not task.format.has_form(answer, ()) and not _is_free(task):
            message = f"never holds: answers are numbers, and {show(answer)} is none"
            yield problem_at(root, steps, message, value=answer, level=_level(steps))
        return
    if not listed or any(task.same(answer, other) for other in listed):
        return
    letters = {choice.casefold(): letter for item in items for choice, letter in task.candidates(item).items()}
    letter = letters.get(answer.casefold(), "") if task.format.equal == "choice" else ""
    why = f"answers are the letters of options; write {letter}" if letter else f"no agent can answer {show(answer)}"
    few = tuple(sorted(listed)) if len(listed) <= 20 else ()
    near = letter or find_near(answer, listed)
    yield problem_at(
        root, steps, f"never holds: {why}", value=answer, allowed=few, suggestion=near, level=_level(steps)
    )


def _check_pattern(
    root: Node, steps: Steps, pattern: str, replies: tuple[str, ...] | None, told: str
) -> Iterator[Problem]:
    if replies is not None:
        try:
            found = any(search(pattern, reply, ignore_case=True) for reply in replies)
        except SlowPatternError:
            return
        if not found:
            message = f"never holds: agents choose from {listing(replies)}, which {show(pattern)} does not match"
            yield problem_at(root, steps, message, value=pattern, level=_level(steps))
        return
    words = _SIGNAL.findall(pattern)
    if words and not any(word.lower() in told for word in words):
        message = f"waits for {show(words[0])}, which no prompt tells an agent to write; name it in a prompt"
        yield problem_at(root, steps, message, value=pattern, level="warning")
