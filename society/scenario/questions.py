"""The questions of a scenario: the evaluation questions and, with `train:`, the training questions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from society.components.faults import faults_of
from society.core.errors import InputError
from society.core.types import Item
from society.scenario.expand import Society
from society.tasks.base import Task
from society.tasks.normal import normal_question

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Items:
    """Disjoint lists of evaluation and training questions. `training` is empty without `train:`."""

    evaluation: list[Item]
    training: list[Item]

    @property
    def every(self) -> list[Item]:
        """The evaluation questions, followed by the training questions."""
        return [*self.evaluation, *self.training]


def log_repeated(task: Task, message: str) -> None:
    """Log a warning about the questions of a task: some are repeated, or none has a true answer."""
    log.warning("%s: %s", task.origin, message)


def load_items(society: Society, on_repeated: Callable[[Task, str], None] = log_repeated) -> Items:
    """Return the evaluation and the training questions of a scenario.

    No question is in both lists, compared by `normal_question`. If both come from one task, the training questions
    skip those of the evaluation. `on_repeated` is called for a task with repeated questions, or without true answers
    where it names a field for them, and for a controller that changes nothing with these questions. Raises `InputError`
    if there are too few questions, if `train.task` contains a question of the evaluation, or if the label is the true
    answer and no training question has one.
    """
    scenario = society.scenario
    evaluation = _load_all(scenario.task, scenario.seed, on_repeated)
    scored = sum(map(scenario.task.scores, evaluation))
    for phase in scenario.phases:
        for controller in phase.controllers:
            with faults_of(controller, "remarks"):
                for remark in controller.remarks(len(evaluation), scored):
                    on_repeated(scenario.task, f"in the phase {phase.name!r}, {remark}")
    if scenario.train is None:
        return Items(evaluation, [])
    if scenario.train.task is not None:
        training = _load_all(scenario.train.task, scenario.seed, on_repeated)
    else:
        training = _follow(scenario.task, scenario.train.questions, evaluation, scenario.seed)
    tested = {normal_question(item.question) for item in evaluation}
    shared = [item.question for item in training if normal_question(item.question) in tested]
    if shared:
        raise InputError(
            f"{len(shared)} questions are in both the training and the evaluation set, such as {min(shared)!r:.100}.",
            "Change `offset` or `limit`, or use another `train.task`: the two sets must be disjoint.",
        )
    kinds = [str(getattr(rule, "kind", "")) for rule in scenario.train.labels if rule.needs_truth]
    if kinds and not any(map((scenario.train.task or scenario.task).scores, training)):
        raise InputError(
            f"`train.label` is {kinds[0]}, but none of the {len(training)} training questions has a true answer.",
            "Set `train.label: consensus`, or give the questions true answers.",
        )
    return Items(evaluation, training)


def _load_all(task: Task, seed: int, on_repeated: Callable[[Task, str], None]) -> list[Item]:
    """Return the questions of a task, and report the number of repeated ones."""
    with faults_of(task, "questions"):
        found = task.slice(seed)
    if found.repeated:
        verb = " is" if found.repeated == 1 else "s are"
        on_repeated(task, f"{found.repeated:,} repeated question{verb} left out; each question is used once")
    for remark in task.remarks(found.items):
        on_repeated(task, remark)
    return found.items


def _load(task: Task, seed: int) -> list[Item]:
    """Return the questions of a task. Raises `ComponentError` if the code of the task fails."""
    with faults_of(task, "questions"):
        return task.load(seed)


def _follow(task: Task, count: int, evaluation: list[Item], seed: int) -> list[Item]:
    """Return the next `count` questions of a task that do not equal a question of the evaluation."""
    tested = {normal_question(item.question) for item in evaluation}
    offset = task.offset + len(evaluation)
    limit = count
    while True:
        found = _load(task.model_copy(update={"offset": offset, "limit": limit}), seed)
        new = [item for item in found if normal_question(item.question) not in tested]
        if len(new) >= count:
            return new[:count]
        limit += count - len(new)
