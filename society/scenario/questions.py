"""The questions of a scenario: those that it is judged by and, where it trains, those that it learns from."""

from __future__ import annotations

from dataclasses import dataclass

from society.errors import InputError
from society.scenario.expand import Society
from society.types import Item


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
    """The evaluation and the training questions of a scenario.

    Raises `InputError` when they cannot be had, or a question is in both: the splits of one task never share one,
    another task might.
    """
    scenario = society.scenario
    evaluation = scenario.task.load(scenario.seed)
    if scenario.train is None:
        return Items(evaluation, [])
    if scenario.train.task is not None:
        training = scenario.train.task.load(scenario.seed)
    else:
        after = scenario.task.offset + len(evaluation)
        questions = {"offset": after, "limit": scenario.train.questions}
        training = scenario.task.model_copy(update=questions).load(scenario.seed)
    shared = {_normal(item.question) for item in evaluation} & {_normal(item.question) for item in training}
    if shared:
        raise InputError(
            f"{len(shared)} questions are in both the training and the evaluation set, such as {min(shared)!r:.100}.",
            "Choose other slices (offset, limit) or another train.task: a model must not learn what it is tested on.",
        )
    return Items(evaluation, training)


def _normal(question: str) -> str:
    return " ".join(question.casefold().split())
