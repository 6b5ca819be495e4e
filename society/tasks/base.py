"""Base class of tasks: a source of questions in a fixed order, with parsing and scoring of answers.

A new task needs `kind`, `standard` and `questions`. Slices, shuffling, parsing and scoring are inherited. Only
`scores`, `correct` and `has_form` use gold answers.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Annotated, ClassVar

from pydantic import Field

from society.answers.choice import OPTION_LETTERS
from society.answers.format import AnswerFormat
from society.components.facts import Reasons, TaskFacts
from society.components.faults import faults_of, guarded
from society.components.registry import Registered, clear_with_kinds
from society.core.component import Component
from society.core.errors import InputError, located
from society.core.types import Item, Judgement
from society.scoring.base import AnswerRule, Compare, Court
from society.tasks.remarks import remark_golds

Steps = tuple[str | int, ...]
"""Keys and indices below the task."""
PATIENCE = 10_000
"""Number of consecutive repeated questions after which a generator counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The questions that `offset` and `limit` select, and the number of repeated questions among those read."""

    items: list[Item]
    repeated: int
    again: Item | None = None
    """The first repeated question."""


class Task(Component, ABC):
    """The `task:` of a scenario. Subclasses add `kind`, their fields, `standard` and `questions`.

    The questions of a task and a seed have a fixed order. A repeated question is used once. `offset` and `limit` select
    a slice, so slices that do not overlap share no question.
    """

    standard: ClassVar[AnswerFormat]
    """Default rules that parse and compare the answers of this task."""
    generated: ClassVar[bool] = False
    """Whether `questions` is an endless generator. Generated questions are already in random order."""
    disjoint: ClassVar[str] = ""
    """Remedy where training and evaluation share a question, if there is one other than `offset` and `limit`."""

    limit: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of questions. By default all."""
    offset: int = Field(0, ge=0)
    """Number of questions to skip at the start."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Seed of the questions, by default that of the scenario. Scenarios with other seeds then have equal questions."""
    shuffle: bool = False
    """Shuffle the questions, with the seed of the scenario, before `offset` and `limit` apply."""
    answer: Annotated[AnswerRule, Registered("answer", default="compare")] = Compare()
    """Kind of answers, and rules that parse and compare them where they differ from the defaults of the task."""

    def find_hidden(self) -> Mapping[str, str]:
        """Return the fields of the questions that prompts may not show as `item.NAME`, each with the reason."""
        return {}

    @abstractmethod
    def questions(self, seed: int) -> Iterable[Item]:
        """Yield all questions. Their order and ids depend only on the fields of the task and `seed`.

        Raises `InputError` if the questions cannot be loaded.
        """

    def load(self, seed: int) -> list[Item]:
        """Return the questions of the slice that `offset` and `limit` select, each once.

        Raises `InputError` if there are fewer questions, or if a repeated question has different true answers, and
        `MissingExtraError` if an extra is not installed.
        """
        return self.slice(seed).items

    def slice(self, seed: int) -> Slice:
        """Return the questions of `load`, and how many questions were repeated. Raises the errors of `load`."""
        with located("answer"):
            self.format.require()
            self.answer.require()
        seed = seed if self.seed is None else self.seed
        if self.generated and self.limit is None:
            raise InputError(
                "A task with generated questions needs a limit.",
                "Set `task.limit`, for example `limit: 100`.",
                ("limit",),
            )
        if self.limit is not None and self.bound is not None and self.offset + self.limit > self.bound:
            self._refuse_slice(self.bound, 0, "at most ")
        found = _Distinct(self)
        items = found.iterate(self.questions(seed))
        if self.shuffle and not self.generated:
            items = iter(shuffled(items, seed))
        end = None if self.limit is None else self.offset + self.limit
        chosen = list(islice(items, self.offset, end))
        # A generator repeats questions by chance. Repeated rows of data are likely a mistake.
        repeated = 0 if self.generated else found.repeated
        if not chosen or (self.limit is not None and len(chosen) < self.limit):
            self._refuse_slice(len(found.first), repeated)
        with located("answer"):
            for item in chosen:
                self.answer.check(item)
        return Slice(chosen, repeated, found.again)

    @property
    def bound(self) -> int | None:
        """Maximum number of questions that can be generated; None if it is not known without generating them."""
        return None

    def _refuse_slice(self, available: int, repeated: int, about: str = "") -> None:
        last = f" to {self.offset + self.limit}" if self.limit else " and later ones"
        less = f", without {repeated} repeated" if repeated else ""
        raise InputError(
            f"The scenario asks for question {self.offset + 1}{last} of the task, which has {about}{available:,} in "
            f"all{less}.",
            "Lower `limit` or `offset` of the task, or remove restrictions such as `where`.",
            ("offset",) if self.offset >= available else ("limit",),
        )

    def locate(self, item: Item | None) -> Steps:
        """Return the keys below the task that lead to a question, for errors; () if the scenario does not list it."""
        return ()

    def flaws(self, seed: int) -> Iterator[InputError]:
        """Yield an error for each row of data that cannot be used, for `society check`. `load` raises the first one.

        Raises the errors of `load` for data that cannot be read at all.
        """
        return iter(())

    @property
    def missing(self) -> str:
        """Return which data have to be downloaded first, or ""."""
        return ""

    @property
    def uses_seed(self) -> bool:
        """True if the questions depend on the seed."""
        return self.generated or self.shuffle

    @property
    def licence(self) -> str:
        """Name of the licence of the questions; "" if it is not known."""
        return ""

    def find_commit(self) -> str:
        """Return the commit of the questions' files on the hub; "" if they are not from there. Uses no network."""
        return ""

    @property
    def origin(self) -> str:
        """Name of the source of the questions, for errors."""
        return f"the task {getattr(self, 'kind', '')!r}"

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
        """Return whether the questions of this task have lists of possible answers."""
        return type(self).candidates is not Task.candidates

    def idle(self, facts: TaskFacts) -> Reasons:
        """Return why fields of the task change nothing."""
        return {}

    def remarks(self, items: Sequence[Item]) -> Iterator[str]:
        """Yield each likely mistake in the loaded questions, with the remedy. `Remark` adds its place.

        By default, these are true answers that the scenario's own `extract` or `equal` cannot read.
        """
        if self.answer.model_fields_set & {"extract", "equal"}:
            yield from remark_golds(self, items, "")

    def parse(self, text: str, item: Item) -> str | None:
        """Return the final answer in a model's text, or None if there is none."""
        return self.format.find(text, self.candidates(item), item.question)

    def same(self, a: str, b: str) -> bool:
        """Return whether two parsed answers are equal. Symmetric, and independent of the true answer."""
        return self.answer.same(a, b, self.format)

    def scores(self, item: Item) -> bool:
        """Return whether answers to the question are right or wrong, by the kind of answer."""
        return self.answer.scores(item)

    def correct(self, answer: str, item: Item) -> bool:
        """Return whether a parsed answer is correct: equal to the gold answer or one of its aliases."""
        with faults_of(self.answer, "correct", f"on the question {item.id!r}"):
            return self.answer.correct(answer, item, self.format)

    async def judge(self, answers: Sequence[str], item: Item, court: Court) -> dict[str, Judgement]:
        """Return a judgement on each of these distinct answers of a finished debate."""
        place = f"on the question {item.id!r}"
        correct = guarded(self, self.correct, place)
        with faults_of(self.answer, "judge", place):
            return await self.answer.judge(answers, item, lambda answer: correct(answer, item), court)

    def has_form(self, answer: str, item: Item) -> bool:
        """Return whether a parsed answer has the form of the gold answer, so that it could be correct."""
        return self.answer.has_form(answer, item, self.format)


class _Distinct:
    """Filter of repeated questions. `first` has the first item of each question, `repeated` the number of others."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.first: dict[str, Item] = {}
        self.repeated = 0
        self.again: Item | None = None

    def iterate(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items without repeated questions. Stop after `PATIENCE` consecutive repetitions."""
        consecutive = 0
        for item in items:
            first = self.first.setdefault(item.stem or item.question, item)
            if first is item:
                consecutive = 0
                yield item
                continue
            self._check_answers(first, item)
            self.again = self.again or item
            self.repeated += 1
            consecutive += 1
            if consecutive >= PATIENCE:
                return

    def _check_answers(self, first: Item, again: Item) -> None:
        """Raise `InputError` if a repeated question of data has different true answers. Generators verify replies."""
        same_options = bool(first.stem) or first.choices == again.choices
        if self.task.generated or (same_options and self._same_gold(first, again)):
            return
        raise InputError(
            f"{self.task.origin}: {first.id!r} and {again.id!r} ask the same question, but differ in the true answer "
            f"or the options: {_show_gold(first)!r:.100} and {_show_gold(again)!r:.100}.",
            "Correct one of them, or remove it.",
            self.task.locate(again),
        )

    def _same_gold(self, first: Item, again: Item) -> bool:
        if first.stem:
            return _right_options(first) == _right_options(again)
        return first.gold == again.gold or self.task.correct(again.gold, first)


def _right_options(item: Item) -> frozenset[str]:
    """Return the texts of the right options. Their letters depend on the order of the options."""
    letters = dict(zip(OPTION_LETTERS, item.choices, strict=False))
    return frozenset(letters[right].strip() for right in (item.gold, *item.aliases) if right)


def _show_gold(item: Item) -> str:
    return ", ".join(sorted(_right_options(item))) if item.stem else item.gold


def shuffled(items: Iterable[Item], seed: int) -> list[Item]:
    """Return `items` in a random order that depends only on `seed`."""
    ordered = list(items)
    random.Random(f"shuffle/{seed}").shuffle(ordered)
    return ordered


def _rebuild(task: type[Task] = Task) -> None:
    """Rebuild the schemas of all tasks, which hold any kind of answer."""
    task.model_rebuild(force=True)
    for kind in task.__subclasses__():
        _rebuild(kind)


clear_with_kinds(_rebuild)
