"""Word problems of one to three steps, generated from templates; some templates are left out of training on purpose."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from society.answers.format import AnswerFormat
from society.core.types import Item
from society.tasks.base import PATIENCE, Task
from society.tasks.word_stories import STORIES, Problem, draw_problem

StepCounts = Annotated[tuple[Literal[1, 2, 3], ...], Field(strict=False, min_length=1)]


class WordProblems(Task):
    """Word problems of one to three steps of +, - and *, each solvable in several equally valid ways.

    A combination of template and numbers occurs once, whatever the names and items. So training questions that follow
    those of the evaluation share none with them. A `train.task` with another seed needs the other `half`.
    """

    kind: Literal["word_problems"] = "word_problems"
    steps: StepCounts = (1, 2, 3)
    """Numbers of steps that a problem may have."""
    high: int = Field(40, ge=10, le=60)
    """Largest number of a story. Factors are smaller: up to 5 groups of up to 9 items."""
    templates: Literal["usual", "left_out", "all"] = "usual"
    """Templates of the problems. A base finetuned on the usual ones has not seen those that are left out."""
    half: Literal["first", "second"] | None = None
    """Half of the problems. The halves share no combination of template and numbers: finetune a base on the first and
    ask the society about the second. By default both."""
    limit: Annotated[int, Field(ge=1)] | None = 100
    """Number of questions."""

    standard: ClassVar[AnswerFormat] = AnswerFormat(extract=("hash", "boxed", "last_number"), equal="numeric")
    generated: ClassVar[bool] = True
    disjoint: ClassVar[str] = "Set `half: first` in one of the tasks and `half: second` in the other."

    def questions(self, seed: int) -> Iterable[Item]:
        """Yield random problems until no new combination of template and numbers is found."""
        for problem in self.problems(seed):
            yield Item(id=problem.key, question=problem.question, gold=str(problem.answer))

    @property
    def bound(self) -> int:
        return sum(STORIES[name].bound(self.high) for name in self._names)

    @property
    def _names(self) -> list[str]:
        """The names of the templates in use."""
        return [name for name, story in STORIES.items() if story.steps in self.steps and self._uses(story.left_out)]

    def problems(self, seed: int) -> Iterator[Problem]:
        """Yield the problems of the questions, which also have solutions."""
        rng = random.Random(f"word_problems/{self.steps}/{self.high}/{self.templates}/{self.half}/{seed}")
        names = self._names
        seen: set[str] = set()
        repeated = 0
        while repeated < PATIENCE:
            problem = draw_problem(rng, names, self.high)
            if problem.key in seen or not self._in_half(problem):
                repeated += 1
                continue
            repeated = 0
            seen.add(problem.key)
            yield problem

    def _uses(self, left_out: bool) -> bool:
        return self.templates == "all" or left_out == (self.templates == "left_out")

    def _in_half(self, problem: Problem) -> bool:
        """Return whether a problem is in the half, by a hash of its template and numbers."""
        odd = hashlib.sha256(problem.key.encode()).digest()[0] % 2
        return self.half is None or odd == (self.half == "second")
