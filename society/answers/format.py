"""Answer formats: the rules that parse answers from texts and compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from society.answers.decimals import Decimal, with_points
from society.answers.equal import EQUALITIES, Equality, read_choice
from society.answers.extract import Extractor, Regex, extract
from society.answers.mathematics import require_math_verify
from society.answers.mentions import Candidates
from society.answers.phrases import contains_answer
from society.answers.quantities import read_quantity
from society.core.component import Component

ENDINGS = {
    "tag": "Put your final answer between <answer> and </answer>.",
    "boxed": r"Put your final answer in \boxed{}.",
    "hash": "End with a line of the form: #### answer",
    "last_number": "End with the final answer as a number.",
    "choice": "End with: The answer is (X), where X is the letter of your choice.",
    "candidates": "Answer in one short sentence.",
    "statement": "Answer in one short sentence.",
    "line": "Give the final answer alone on the last line.",
    "text": "Reply with the final answer alone.",
    "code": "Write the whole code in one block between ``` and ```.",
}
"""Instruction for the model, by extractor, so that the extractor finds the answer."""


Extractors = Annotated[tuple[Extractor, ...], Field(strict=False, min_length=1)]  # not strict: YAML gives a list
Tolerance = Annotated[float, Field(ge=0, lt=1)]
MORE_WORDS = 3
"""Number of words that an answer may have beyond twice the length of the true answer."""


class AnswerOptions(Component):
    """Rules that parse and compare answers. A field left out keeps the default of the task."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Values of these fields that replace the defaults of the task."""
    extract: Extractors | None = None
    """Extractors in order of preference: boxed, hash, tag, last_number, choice, candidates, statement, line, text,
    code, or {regex: "..."}. Adjacent boxed, hash and tag count as one; the last in the reply wins."""
    equal: Equality | None = None
    """Comparison of answers: exact, words ("eight" equals 8), numeric, choice or math. With `words`, an answer that
    contains the true answer is correct, too: "the planet Jupiter"."""
    tolerance: Tolerance | None = None
    """Maximum relative difference of equal numbers for `numeric` and `math`, by default 1e-6. Integers are compared
    exactly."""
    decimal: Decimal | None = None
    """Decimal sign of numbers such as 3,125 and 1.234, in replies and true answers, for `numeric`: point or comma. By
    default point: 3125 and 1.234. Other numbers show their sign: 1,5 is always 1.5."""


class AnswerFormat(Component):
    """Default rules of a task that parse and compare answers. The fields are those of `AnswerOptions`."""

    extract: Extractors = ("boxed", "hash", "line")
    equal: Equality = "exact"
    tolerance: Tolerance = 1e-6
    decimal: Decimal = "point"

    @property
    def sign(self) -> Decimal | None:
        """Decimal sign of numbers that leave it open. None: answers are not compared as numbers."""
        return self.decimal if self.equal == "numeric" else None

    @property
    def ending(self) -> str:
        """Instruction for prompts on how to end a reply, or "" if all extractors are regular expressions."""
        named = [extractor for extractor in self.extract if not isinstance(extractor, Regex)]
        return ENDINGS[named[0]] if named else ""

    def find(self, text: str, candidates: Candidates | None = None, question: str = "") -> str | None:
        """Return the final answer in `text`, or None."""
        return extract(text, self.extract, candidates, question, self.sign)

    def matches(self, answer: str, true: str) -> bool:
        """Return whether an answer gives the true one: equal to it or, for `words`, a phrase that contains it."""
        if self.equal == "numeric":
            # an answer that was found has points already
            return self.same(with_points(answer, "point"), with_points(true, self.decimal))
        return self.same(answer, true) or (self.equal == "words" and contains_answer(answer, true))

    def has_form(self, answer: str, true: Sequence[str]) -> bool:
        """Return whether an answer has the form of the true ones: a number, a letter, or a phrase of similar length."""
        match self.equal:
            case "numeric":
                return read_quantity(answer) is not None
            case "choice":
                return read_choice(answer) is not None
            case "exact" | "words":
                longest = max((len(text.split()) for text in true), default=0)
                return len(answer.split()) <= 2 * longest + MORE_WORDS or any(self.matches(answer, t) for t in true)
            case "math":
                return True

    def same(self, a: str, b: str) -> bool:
        """Return whether two answers are equal. Symmetric, and true for identical strings."""
        return EQUALITIES[self.equal](a, b, self.tolerance)

    def require(self) -> None:
        """Raise `MissingExtraError` if the library that compares answers is not installed."""
        if self.equal == "math":
            require_math_verify()

    def override(self, options: AnswerOptions) -> AnswerFormat:
        """Return this format with the given options applied."""
        given = {name: getattr(options, name) for name in AnswerOptions.model_fields}
        return self.model_copy(
            update={**options.defaults, **{name: value for name, value in given.items() if value is not None}}
        )
