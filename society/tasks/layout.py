"""The layout of a data set: which fields of a row hold the question, the options and the true answer.

`Layout` has the keys of YAML; `society.tasks.row_reader` makes an `Item` of each row.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from society.answers.choice import OPTION_LETTERS
from society.answers.extract import Extractor
from society.core.component import Component
from society.core.field_paths import ABSENT, find
from society.tasks.readers import Row

Names = Annotated[tuple[str, ...], Field(strict=False)]
MOST = len(OPTION_LETTERS)
"""Maximum number of options of a question."""
VARIABLE = re.compile(r"\{(\w[^{}\n]*)\}")
"""Matches a field in a template of a question."""
GOLD = "is the true answer, which prompts may not show; remove it here"
TOLD = "would give the true answer away, so prompts may not show it; use `choices`"
HIDDEN = "is hidden by `hide` of the task; remove it here, or there"


class Layout(Component):
    """The fields of a row. A nested field is written as a path, such as `answers[0].text`."""

    question: str = "question"
    """Field with the question, or a template such as "{context} {question}"."""
    gold: str | None = "answer"
    """Field with the true answer, or with a list of equally correct answers. null: there are no true answers."""
    gold_extract: Annotated[tuple[Extractor, ...], Field(strict=False)] = ()
    """Extractors for the true answer in its field: `hash` for GSM8K, `boxed` for MATH, `statement` for a sentence. By
    default the whole field."""
    gold_as: Literal["index0", "index1", "letter", "text", "flags"] | None = None
    """Form of the true answer of a question with options: an index from 0 or from 1, a letter, or a text. `flags` is a
    list of 0 and 1, one for each option. By default the form that fits all rows."""
    choices: str | Names | None = None
    """Field with the list of options, or a list of fields with one option each. If the field `gold` is one of these, it
    holds the right option, and the options are shuffled."""
    labels: str | None = None
    """Field with the list of labels of the options, where the true answer is a label."""
    options: Names = ()
    """Options that all questions share, such as [yes, no]."""
    shuffle_choices: bool = False
    """Shuffle the options of each question, with the seed of the scenario."""
    max_choices: Annotated[int, Field(ge=2, le=MOST)] | None = None
    """Maximum number of options. Of more, the true one and others drawn with the seed of the scenario are shown."""
    id: str | None = None
    """Field that identifies a question. By default the name of the file and the number of its line or row."""
    hide: Names = ()
    """Fields that prompts may not show as `item.NAME`, such as a solution. The true answer is always hidden."""

    @property
    def has_options(self) -> bool:
        """Return whether the questions are multiple-choice questions."""
        return self.choices is not None or bool(self.options)

    @property
    def shuffles(self) -> bool:
        """Return whether the options of a question are shown in another order than that of the data set."""
        return self.shuffle_choices or self.gold_is_option

    @property
    def draws_options(self) -> bool:
        """Return whether the options of a question, or their order, depend on the seed."""
        return self.shuffles or self.max_choices is not None

    @property
    def gold_is_option(self) -> bool:
        """Return whether the field `gold` is one of several fields that hold an option each."""
        return isinstance(self.choices, tuple) and self.gold in self.choices

    @property
    def needs_form(self) -> bool:
        """Return whether the form of the true answers has to be found from the data."""
        given = self.gold is None or self.gold_as is not None or self.labels is not None or self.gold_is_option
        return self.has_options and not given

    @property
    def hidden(self) -> dict[str, str]:
        """Fields that give the true answer away, each with the reason why prompts may not show it."""
        columns = self.choices if isinstance(self.choices, tuple) else (self.choices, self.labels)
        told = columns if self.shuffles else ()
        # answers[0].text names one of several answers: the others are hidden with it
        golds = () if self.gold is None else (self.gold, re.sub(r"\[\d+\]", "", self.gold))
        reasons = dict.fromkeys(self.hide, HIDDEN) | dict.fromkeys(filter(None, told), TOLD)
        return reasons | dict.fromkeys(golds, GOLD)

    def fits(self, row: Row) -> bool:
        """Return whether a row has all fields of the layout."""
        choices = self.choices if isinstance(self.choices, tuple) else (self.choices,)
        question = VARIABLE.findall(self.question) or [self.question]
        shown = (name for name in question if name != "choices")
        names = [name for name in (*shown, self.gold, self.labels, *choices) if name is not None]
        return all(find(row.values, name) is not ABSENT for name in names)
