"""Arithmetic: the value of a+b*c+d-e*f for random integers, or of another form with + - * and letters.

The default form is that of "Multiagent Finetuning" (arXiv 2501.05707), section 3.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from society.answers.format import AnswerFormat
from society.core.errors import FieldError
from society.core.types import Item
from society.tasks.base import Task

BOUND = 1_000_000


def _check_form(form: str) -> str:
    form = re.sub(r"\s", "", form)
    if not re.fullmatch(r"[a-z](?:[-+*][a-z])*", form):
        raise ValueError("should be single lowercase letters joined by +, - or *, such as a+b*c")
    return form


class Arithmetic(Task):
    """Values of arithmetic expressions over random integers. Equal letters are equal numbers."""

    kind: Literal["arithmetic"] = "arithmetic"
    form: Annotated[str, Field(max_length=60), AfterValidator(_check_form)] = "a+b*c+d-e*f"
    """Expression of single letters joined by +, - and *, such as a+b*c."""
    low: int = Field(0, ge=-BOUND, le=BOUND)
    """Smallest number."""
    high: int = Field(30, ge=-BOUND, le=BOUND)
    """Largest number."""
    limit: Annotated[int, Field(ge=1)] | None = 100
    """Number of questions."""

    standard: ClassVar[AnswerFormat] = AnswerFormat(extract=("boxed", "hash", "last_number"), equal="numeric")
    generated: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.low > self.high:
            raise FieldError(f"`low` ({self.low}) should not be above `high` ({self.high})", "low", "high")
        return self

    @property
    def bound(self) -> int:
        return int((self.high - self.low + 1) ** len(set(re.findall("[a-z]", self.form))))

    def questions(self, seed: int) -> Iterable[Item]:
        """Yield random expressions endlessly. The id of each question is its expression."""
        rng = random.Random(f"arithmetic/{self.form}/{self.low}/{self.high}/{seed}")
        letters = sorted(set(re.findall("[a-z]", self.form)))
        while True:
            numbers = {letter: rng.randint(self.low, self.high) for letter in letters}
            shown = _fill(self.form, numbers)
            gold = str(evaluate(self.form, numbers))
            yield Item(id=shown, question=f"What is the value of {shown}?", gold=gold)


def _fill(form: str, numbers: Mapping[str, int]) -> str:
    """Return the form with its letters replaced by numbers. A negative number after an operator is put in brackets."""
    shown = ""
    for char in form:
        if char not in numbers:
            shown += char
        else:
            value = numbers[char]
            shown += f"({value})" if value < 0 and shown else str(value)
    return shown


def evaluate(form: str, numbers: Mapping[str, int]) -> int:
    """Return the value of a checked form: products first, then sums from the left."""
    total = 0
    for sign, product in re.findall(r"([-+]?)([a-z](?:\*[a-z])*)", form):
        value = 1
        for letter in product.split("*"):
            value *= numbers[letter]
        total += -value if sign == "-" else value
    return total
