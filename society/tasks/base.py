"""Base class of tasks: a source of questions in a fixed order, with parsing and scoring of answers.

A new task needs `kind`, `standard` and `questions`. Slices, shuffling, parsing and scoring are inherited. Only
`correct` and `has_form` use gold answers.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Annotated, ClassVar

from pydantic import Field

from society.answers.format import AnswerFormat, AnswerOptions
from society.components.facts import Reasons, TaskFacts
from society.core.component import Component
from society.core.errors import InputError
from society.core.types import Item

PATIENCE = 10_000
"""Number of consecutive repeated questions after which a generator counts as exhausted."""


class Task(Component, ABC):
    """The `task:` of a scenario. Subclasses add `kind`, their fields, `standard` and `questions`.

    The questions of a task and a seed have a fixed order without repetitions. `offset` and `limit` select a slice, so
    slices that do not overlap share no question.
    """

    standard: ClassVar[AnswerFormat]
    """Default rules that parse and compare the answers of this task."""
    generated: ClassVar[bool] = False
    """Whether `questions` is an endless generator. Generated questions are already in random order."""

    limit: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of questions. By default all."""
    offset: int = Field(0, ge=0)
    """Number of questions to skip at the start."""
    shuffle: bool = False
    """Shuffle the questions, with the seed of the scenario, before `offset` and `limit` apply."""
    answer: AnswerOptions = AnswerOptions()
    """Rules that parse and compare answers, where they differ from the defaults of the task."""

    @abstractmethod
    def questions(self, seed: int) -> Iterable[Item]:
        """Yield all questions. Their order and ids depend only on the fields of the task and `seed`.

        Raises `InputError` if the questions cannot be loaded.
        """

    def load(self, seed: int) -> list[Item]:
        """Return the questions of the slice that `offset` and `limit` select.

        Raises `InputError` if there are fewer questions, and `MissingExtraError` if an extra is not installed.
        """
        self.format.require()
        if self.generated and self.limit is None:
            raise InputError(
                "A task with generated questions needs a limit.", "Set `task.limit`, for example `limit: 100`."
            )
        items = distinct(self.questions(seed))
        if self.shuffle and not self.generated:
            items = iter(shuffled(items, seed))
        end = None if self.limit is None else self.offset + self.limit
        chosen = list(islice(items, self.offset, end))
        if not chosen or (self.limit is not None and len(chosen) < self.limit):
            self._refuse_slice(self.offset + len(chosen) if chosen else sum(1 for _ in distinct(self.questions(seed))))
        return chosen

    def _refuse_slice(self, available: int) -> None:
        last = f" to {self.offset + self.limit}" if self.limit else " and later ones"
        raise InputError(
            f"The scenario asks for question {self.offset + 1}{last} of the task, which has {available} in all.",
            "Lower `limit` or `offset` of the task, or remove restrictions such as `where`.",
        )

    @cached_property
    def format(self) -> AnswerFormat:
        """Rules that parse and compare answers: the defaults of the task with the options of the scenario."""
        return self.standard.override(self.answer)

    @property
    def instruction(self) -> str:
        """Instruction for prompts on how to end a reply."""
        return self.format.ending

    def candidates(self, item: Item) -> Mapping[str, str]:
        """Return the possible answers: each spelling, mapped to its canonical form.

        For multiple choice, the text of an option maps to its letter. The result does not depend on the true answer.
        """
        return {choice: chr(ord("A") + index) for index, choice in enumerate(item.choices)}

    @property
    def lists_answers(self) -> bool:
        """Whether the questions of this task have lists of possible answers."""
        return type(self).candidates is not Task.candidates

    def idle(self, facts: TaskFacts) -> Reasons:
        """Return why fields of the task change nothing."""
        return {}

    def parse(self, text: str, item: Item) -> str | None:
        """Return the final answer in a model's text, or None if there is none."""
        return self.format.find(text, self.candidates(item), item.question)

    def same(self, a: str, b: str) -> bool:
        """Return whether two parsed answers are equal. Symmetric, and independent of the true answer."""
        return self.format.same(a, b)

    def correct(self, answer: str, item: Item) -> bool:
        """Return whether a parsed answer is correct: equal to the gold answer or one of its aliases."""
        return any(self.format.matches(answer, right) for right in (item.gold, *item.aliases))

    def has_form(self, answer: str, item: Item) -> bool:
        """Return whether a parsed answer has the form of the gold answer, so that it could be correct."""
        return self.format.has_form(answer, (item.gold, *item.aliases))


def distinct(items: Iterable[Item]) -> Iterator[Item]:
    """Yield `items` without repeated questions. Stop after `PATIENCE` consecutive repetitions."""
    seen: set[str] = set()
    repeated = 0
    for item in items:
        if item.question not in seen:
            seen.add(item.question)
            repeated = 0
            yield item
        elif (repeated := repeated + 1) >= PATIENCE:
            return


def shuffled(items: Iterable[Item], seed: int) -> list[Item]:
    """Return `items` in a random order that depends only on `seed`."""
    ordered = list(items)
    random.Random(f"shuffle/{seed}").shuffle(ordered)
    return ordered
