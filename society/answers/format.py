"""What a scenario says about a task's answers: how to find them in a text, and when two are the same."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from society.answers.equal import EQUALITIES, Equality
from society.answers.extract import Extractor, Regex, extract
from society.answers.mathematics import require_math_verify
from society.answers.mentions import Candidates
from society.component import Component

ENDINGS = {
    "tag": "Put your final answer between <answer> and </answer>.",
    "boxed": r"Put your final answer in \boxed{}.",
    "hash": "End with a line of the form: #### answer",
    "last_number": "End with the final answer as a number.",
    "choice": "End with: The answer is (X), where X is the letter of your choice.",
    "candidates": "Answer in one short sentence.",
    "line": "Give the final answer alone on the last line.",
    "text": "Reply with the final answer alone.",
}
"""What to tell a model so that each extractor finds its answer."""


class AnswerFormat(Component):
    """How answers are found and compared. What is not given is as the task has it."""

    # A list in YAML.
    extract: Annotated[tuple[Extractor, ...], Field(strict=False, min_length=1)] = ("boxed", "hash", "line")
    """Extractors in the order in which they are tried: boxed, hash, tag, last_number, choice, candidates,
    line, text, or {regex: "..."}."""
    equal: Equality = "exact"
    """When two answers are the same: exact, numeric, choice or math."""
    tolerance: float = Field(1e-6, ge=0, lt=1)
    """Largest relative difference of equal numbers (numeric and math); whole numbers are exact."""

    @property
    def ending(self) -> str:
        """A sentence for a prompt on how to end an answer; empty if only regexes find it."""
        named = [extractor for extractor in self.extract if not isinstance(extractor, Regex)]
        return ENDINGS[named[0]] if named else ""

    def find(self, text: str, candidates: Candidates | None = None) -> str | None:
        """The final answer in `text`, or None."""
        return extract(text, self.extract, candidates)

    def same(self, a: str, b: str) -> bool:
        """Whether two answers are the same. Symmetric; identical strings always are."""
        return EQUALITIES[self.equal](a, b, self.tolerance)

    def require(self) -> None:
        """Raises `MissingExtraError` if what compares answers is not installed."""
        if self.equal == "math":
            require_math_verify()

    def override(self, other: AnswerFormat) -> AnswerFormat:
        """This format, with what `other` was explicitly given."""
        return self.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})
