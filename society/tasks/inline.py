"""Questions that the scenario itself lists, with or without true answers.

{kind: inline, items: ["Should cities ban cars?", "Should voting be compulsory?"]}
{kind: inline, items: [{question: "What is 6 * 7?", gold: 42}], answer: {equal: numeric}}
{kind: inline, items: ["Is a hot dog a sandwich?"], choices: ["yes", "no", "it depends"]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from society.answers.choice import OPTION_LETTERS
from society.answers.decimals import write_number
from society.answers.format import AnswerFormat
from society.components.facts import Reasons, TaskFacts
from society.core.component import Component
from society.core.errors import InputError, located
from society.core.types import Item
from society.tasks.base import Steps, Task
from society.tasks.file import STATEMENT, find_format
from society.tasks.layout import GOLD
from society.tasks.options import Options
from society.tasks.remarks import remark_golds
from society.tasks.signs import SignFinder, asks_for_sign

Text = Annotated[str, Field(pattern=r"\S")]
Gold = str | int | float | bool | None


class InlineQuestion(Component):
    """A question with its true answer."""

    question: Text
    """Text of the question."""
    gold: Gold | tuple[Gold, ...] = None
    """True answer, or a list of equally correct ones. Where it is missing, empty or null, the true answer is
    unknown."""
    id: str | int = ""
    """Identity of the question in results. By default question-1, question-2, ..."""

    @property
    def golds(self) -> list[Gold]:
        """The known true answers."""
        given = self.gold if isinstance(self.gold, tuple) else (self.gold,)
        return [one for one in given if one is not None and str(one).strip()]


class Inline(Task):
    """Questions that the scenario lists, with or without true answers."""

    kind: Literal["inline"] = "inline"
    items: tuple[Text | InlineQuestion, ...] = Field(min_length=1, max_length=100_000)
    """Questions: texts, or mappings with `question`, `gold` and `id`."""
    choices: tuple[Text, ...] = Field((), max_length=len(OPTION_LETTERS))
    """Options of every question. Agents answer with a letter, A for the first option; a true answer is a letter or an
    option."""

    standard: ClassVar[AnswerFormat] = STATEMENT

    @cached_property
    def format(self) -> AnswerFormat:
        """Rules that parse and compare answers, by `choices` and `answer`."""
        return find_format(bool(self.choices), self.answer)

    @property
    def lists_answers(self) -> bool:
        return bool(self.choices)

    def idle(self, facts: TaskFacts) -> Reasons:
        if len(self.choices) == 1:
            return {"choices": "leaves one option, so there is nothing to choose; list two or more"}
        return {}

    def questions(self, seed: int) -> Iterable[Item]:
        """Yield the listed questions in their order. Raises `InputError` for an id twice, or an unknown option."""
        ids = set[str]()
        self._signs.check()
        for index, (identity, entry) in enumerate(self._entries):
            if identity in ids:
                below = ("items", index, "id")
                raise InputError(
                    f"Two questions of the task have the id {identity!r}.", "Change the `id` of one.", below
                )
            ids.add(identity)
            with located("items", index, "gold"):
                golds = [self._read_gold(gold, identity) for gold in entry.golds]
            yield Item(identity, self._show(entry.question), next(iter(golds), ""), tuple(golds[1:]), self.choices)

    def find_hidden(self) -> Mapping[str, str]:
        return {"gold": GOLD}

    def locate(self, item: Item | None) -> Steps:
        """Return the place of a question of the list, at its true answer where it has one."""
        ids = [identity for identity, _ in self._entries]
        if item is None or item.id not in ids:
            return ("items",)
        index = ids.index(item.id)
        entry = self.items[index]
        return ("items", index, "gold") if isinstance(entry, InlineQuestion) else ("items", index)

    def remarks(self, items: Sequence[Item]) -> Iterator[str]:
        """Yield each likely mistake in the true answers, with the remedy."""
        if self.choices:
            yield from super().remarks(items)
            return
        yield from remark_golds(self, items, "shorten it")
        yield from self._signs.remarks()

    @property
    def _entries(self) -> Iterator[tuple[str, InlineQuestion]]:
        """Yield each question with its id."""
        for number, given in enumerate(self.items, 1):
            entry = given if isinstance(given, InlineQuestion) else InlineQuestion(question=given)
            yield f"question-{number}" if entry.id == "" else str(entry.id), entry

    @cached_property
    def _signs(self) -> SignFinder:
        """The decimal signs of the true answers that are texts."""
        finder = SignFinder()
        for identity, entry in self._entries if asks_for_sign(self) else ():
            for gold in entry.golds:
                if isinstance(gold, str):
                    finder.add(f"question {identity!r}", gold)
        return finder

    def _show(self, question: str) -> str:
        """Return the question with its lettered options."""
        options = (f"\n{letter}. {option}" for letter, option in zip(OPTION_LETTERS, self.choices, strict=False))
        return question.strip() + "".join(options)

    def _read_gold(self, gold: Gold, identity: str) -> str:
        """Return a true answer; of an option, its letter."""
        text = str(gold).strip()
        if not self.choices:
            return write_number(gold, self.format.sign) if isinstance(gold, float) else text
        letters = OPTION_LETTERS[: len(self.choices)]
        by_text = letters[self.choices.index(text)] if text in self.choices else None
        if by_text is None and text in ("True", "False"):  # the options yes and no
            index = Options(self.choices).read(text == "True", "text")
            by_text = None if index is None else letters[index]
        by_letter = text.upper() if text.upper() in letters else None
        if by_text and by_letter and by_text != by_letter:
            raise InputError(
                f"The true answer {text!r} of {identity!r} is the option {by_text} by its text, and {by_letter} by its "
                "letter.",
                "List `choices` in the order of their letters, or change their texts.",
            )
        if by_text or by_letter:
            return by_text or text.upper()
        raise InputError(
            f"The true answer {text!r:.80} of {identity!r} is not one of the {len(letters)} options.",
            "Correct `gold`, or add the option to `choices`.",
        )
