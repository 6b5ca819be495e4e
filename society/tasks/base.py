"""What a task is: a source of questions in a fixed order, and the judge of their answers.

A new task needs `kind`, `standard` and `questions`; slices, shuffling, parsing and scoring are common. Gold
answers are used by `correct` alone.
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
"""So many repeated questions in a row, and a generator is held to have no new ones."""


class Task(Component, ABC):
    """The `task:` of a scenario. Subclasses add `kind`, their fields, `standard` and `questions`.

    The questions of one task and seed have one order. `offset` and `limit` cut a slice of it, so two slices
    that do not overlap share no question: no text occurs twice in that order.
    """

    standard: ClassVar[AnswerFormat]
    """How this task's answers are found and compared, unless the scenario says otherwise."""
    generated: ClassVar[bool] = False
    """Whether `questions` goes on for ever. Generated questions come in random order as it is."""

    limit: Annotated[int, Field(ge=1)] | None = None
    """How many questions; all there are if not given."""
    offset: int = Field(0, ge=0)
    """How many questions of the order to skip first."""
    shuffle: bool = False
    """Whether to put the questions in a random order (fixed by the seed) before the slice is cut."""
    answer: AnswerOptions = AnswerOptions()
    """How answers are found and compared, where it should differ from the task's own way."""

    @abstractmethod
    def questions(self, seed: int) -> Iterable[Item]:
        """Every question, in an order and with ids that depend on the task's own fields and `seed` alone.

        Raises `InputError` when the questions cannot be had.
        """

    def load(self, seed: int) -> list[Item]:
        """The slice of the questions that the scenario asks for.

        Raises `InputError` when there are fewer questions than that, or an extra is missing.
        """
        self.format.require()
        if self.generated and self.limit is None:
            raise InputError("A task with generated questions has no end.", "Say how many questions: `limit: 100`.")
        items = distinct(self.questions(seed))
        if self.shuffle and not self.generated:
            items = iter(shuffled(items, seed))
        end = None if self.limit is None else self.offset + self.limit
        chosen = list(islice(items, self.offset, end))
        if not chosen or (self.limit is not None and len(chosen) < self.limit):
            self._refuse_slice(self.offset + len(chosen) if chosen else sum(1 for _ in distinct(self.questions(seed))))
        return chosen

    def _refuse_slice(self, available: int) -> None:
        wanted = f"questions {self.offset + 1} to {self.offset + self.limit}" if self.limit else "questions"
        raise InputError(
            f"The task should give {wanted} after an offset of {self.offset}, but has {available} in all.",
            "Lower `limit` or `offset`, or make the task wider.",
        )

    @cached_property
    def format(self) -> AnswerFormat:
        """How answers are found and compared: the task's own way with the scenario's changes."""
        return self.standard.override(self.answer)

    @property
    def instruction(self) -> str:
        """A sentence for prompts on how to end an answer."""
        return self.format.ending

    def candidates(self, item: Item) -> Mapping[str, str]:
        """Each way to write a possible answer and what it stands for. Never says which is right.

        For multiple choice the text of an option stands for its letter.
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
        """The final answer in a model's text, or None if there is none."""
        return self.format.find(text, self.candidates(item), item.question)

    def same(self, a: str, b: str) -> bool:
        """Whether two parsed answers are the same answer. Symmetric; knows nothing of what is right."""
        return self.format.same(a, b)

    def correct(self, answer: str, item: Item) -> bool:
        """Whether a parsed answer is right: the same as the gold answer or an alias of it."""
        return any(self.format.matches(answer, right) for right in (item.gold, *item.aliases))

    def has_form(self, answer: str, item: Item) -> bool:
        """Whether a parsed answer has the form of the true one, so that it could be right."""
        return self.format.has_form(answer, (item.gold, *item.aliases))


def distinct(items: Iterable[Item]) -> Iterator[Item]:
    """`items` without those whose question was there before; ends after `PATIENCE` repetitions in a row."""
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
    """`items` in a random order that depends on `seed` alone."""
    ordered = list(items)
    random.Random(f"shuffle/{seed}").shuffle(ordered)
    return ordered
