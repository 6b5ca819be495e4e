"""Kinds of answers that are compared word by word.

The normal form is that of SQuAD (Rajpurkar et al., 2016, arXiv 1606.05250) for any language: letter case, Unicode
compatibility forms, punctuation and the words of `ignore` do not count. A text of such words alone keeps them. Signs
within a number count: 1.5 is not 15. In scripts without spaces (Han, kana, Thai, Lao, Khmer, Burmese) each character is
a word, after MLQA (Lewis et al., 2020, arXiv 1910.07475).
"""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from society.answers.equal import SIGNS
from society.answers.format import AnswerFormat
from society.core.errors import InputError
from society.core.types import Item, Judgement
from society.scoring.base import AnswerRule, Court, find_field

_WITHOUT_SPACES = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
_IN_NUMBERS = ".,:/-"
MAX_LENGTH = 100_000
"""Maximum number of characters of an answer that are compared, from its end."""


class WordRule(AnswerRule):
    """A comparison of words. Subclasses define the score of an answer against one true answer."""

    ignore: tuple[str, ...] = Field(("a", "an", "the"), strict=False)
    """Words that do not count, by default the English articles, as in SQuAD. Give those of your language."""

    defaults: ClassVar[Mapping[str, Any]] = {"equal": "exact"}

    @abstractmethod
    def score(self, given: Sequence[str], right: Sequence[str]) -> float:
        """Return how well the words of an answer match those of a true answer, from 0 to 1."""

    def passes(self, score: float) -> bool:
        """Return whether an answer with this score is right."""
        return score == 1

    def best(self, answer: str, item: Item) -> float:
        """Return the best score over the true answers."""
        given = self._words(answer)
        return max((self.score(given, self._words(right)) for right in self.truths(item)), default=0.0)

    def truths(self, item: Item) -> list[str]:
        """Return the true answers of a question."""
        return [right for right in (item.gold, *item.aliases) if right]

    def same(self, a: str, b: str, form: AnswerFormat) -> bool:
        return self._words(a) == self._words(b) or a == b

    def correct(self, answer: str, item: Item, form: AnswerFormat) -> bool:
        return self.passes(self.best(answer, item))

    def has_form(self, answer: str, item: Item, form: AnswerFormat) -> bool:
        return True

    def _words(self, text: str) -> tuple[str, ...]:
        return split_words(text[-MAX_LENGTH:], frozenset(self.ignore))


class Includes(WordRule):
    """An answer is right if it contains a true answer as consecutive words. An answer that lists everything is right,
    too."""

    kind: Literal["includes"] = "includes"

    def score(self, given: Sequence[str], right: Sequence[str]) -> float:
        starts = range(len(given) - len(right) + 1)
        return float(bool(right) and any(tuple(given[i : i + len(right)]) == tuple(right) for i in starts))


class Aliases(WordRule):
    """An answer is right if its words are those of the true answer or of one of its aliases, as in TriviaQA."""

    kind: Literal["aliases"] = "aliases"
    field: str = "aliases"
    """Field of the row with an alias, or with a list of them. A dot leads into a nested field: `answer.aliases`."""

    @property
    def secret(self) -> tuple[str, ...]:
        return (self.field,)

    def score(self, given: Sequence[str], right: Sequence[str]) -> float:
        return float(bool(right) and given == right)

    def truths(self, item: Item) -> list[str]:
        value = find_field(item, self.field, "field")
        aliases = value if isinstance(value, list | tuple) else [value]
        return [*super().truths(item), *(str(alias) for alias in aliases if alias not in (None, ""))]

    def scores(self, item: Item) -> bool:
        return bool(self.truths(item))

    def check(self, item: Item) -> None:
        value = find_field(item, self.field, "field")
        for alias in value if isinstance(value, list | tuple) else [value]:
            if not isinstance(alias, str | int | float | None) or isinstance(alias, bool):
                raise InputError(
                    f"The question {item.id!r} has {alias!r:.80} in the field {self.field!r}, which is no alias.",
                    "Set `task.answer.field` to a field with a text or a list of texts.",
                    ("field",),
                )


class F1(WordRule):
    """An answer is scored by the harmonic mean of precision and recall of its words, as in SQuAD. The mean score is
    reported beside the accuracy."""

    kind: Literal["f1"] = "f1"
    threshold: float = Field(0.5, gt=0, le=1)
    """Minimum score of a right answer."""

    def score(self, given: Sequence[str], right: Sequence[str]) -> float:
        return word_f1(given, right)

    def passes(self, score: float) -> bool:
        return score >= self.threshold

    async def judge(
        self, answers: Sequence[str], item: Item, correct: Callable[[str], bool], court: Court
    ) -> dict[str, Judgement]:
        scores = {answer: self.best(answer, item) for answer in answers}
        return {answer: Judgement(self.passes(score), score) for answer, score in scores.items()}


def word_f1(given: Sequence[str], right: Sequence[str]) -> float:
    """Return 2pr / (p + r) of the words in common. Two empty texts are equal, as in SQuAD."""
    if not given or not right:
        return float(given == right)
    common = (Counter(given) & Counter(right)).total()
    return 2 * common / (len(given) + len(right))


@lru_cache(maxsize=4096)
def split_words(text: str, ignored: frozenset[str]) -> tuple[str, ...]:
    """Return the words of the normal form of a text."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text.translate(SIGNS)).casefold())
    kept = "".join(_spell(plain, i) for i in range(len(plain)))
    words = tuple(kept.split())
    return tuple(word for word in words if word not in ignored) or words


def _spell(text: str, i: int) -> str:
    """Return the character at a place as it counts: unchanged, as a word of its own, or not at all."""
    char = text[i]
    if char.isalnum():
        return f" {char} " if _stands_alone(char) else char
    kind = unicodedata.category(char)
    if char in _IN_NUMBERS and text[i + 1 : i + 2].isdigit():
        before = text[i - 1 : i] if i else ""
        return char if before.isdigit() or (char in "-." and not before.isalnum()) else " " * (char == "/")
    if kind.startswith("P"):
        return ""
    return char if char.isspace() or kind[0] in "SM" else " "


@lru_cache(maxsize=4096)
def _stands_alone(char: str) -> bool:
    return not char.isascii() and unicodedata.name(char, "").startswith(_WITHOUT_SPACES)
