"""The questions of a scenario: those that it is judged by and, where it trains, those that it learns from."""

from __future__ import annotations

from dataclasses import dataclass

from society.core.errors import InputError
from society.core.types import Item
from society.scenario.expand import Society
from society.tasks.base import Task
from society.tasks.normal import normal_question


@dataclass(frozen=True)
class Items:
    """Two lists that share no question; `training` is empty where nothing is trained."""

    evaluation: list[Item]
    training: list[Item]

    @property
    def every(self) -> list[Item]:
        """Both."""
        return [*self.evaluation, *self.training]


def load_items(society: Society) -> Items:
    """Return the evaluation and the training questions of a scenario.

    No question is in both, in whatever way it is written (see `normal_question`). Where both come from one task,
    questions of the evaluation are passed over. Raises `InputError` when there are too few questions, or when a
    training task of its own has one of the evaluation.
    """
    scenario = society.scenario
    evaluation = scenario.task.load(scenario.seed)
    if scenario.train is None:
        return Items(evaluation, [])
    if scenario.train.task is not None:
        training = scenario.train.task.load(scenario.seed)
    else:
        training = _follow(scenario.task, scenario.train.questions, evaluation, scenario.seed)
    tested = {normal_question(item.question) for item in evaluation}
    shared = [item.question for item in training if normal_question(item.question) in tested]
    if shared:
        raise InputError(
            f"{len(shared)} questions are in both the training and the evaluation set, such as {min(shared)!r:.100}.",
            "Choose other slices (offset, limit) or another train.task: a model must not learn what it is tested on.",
        )
    return Items(evaluation, training)


def _follow(task: Task, count: int, evaluation: list[Item], seed: int) -> list[Item]:
    """Return the next `count` questions of a task that are not questions of the evaluation, written otherwise."""
    tested = {normal_question(item.question) for item in evaluation}
    offset = task.offset + len(evaluation)
    limit = count
    while True:
        found = task.model_copy(update={"offset": offset, "limit": limit}).load(seed)
        new = [item for item in found if normal_question(item.question) not in tested]
        if len(new) >= count:
            return new[:count]
        limit += count - len(new)
