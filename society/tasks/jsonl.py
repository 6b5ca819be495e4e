"""Questions from a JSONL file: a mapping from its fields to questions, options and answers.

{kind: jsonl, path: gsm8k.jsonl, question: question, gold: answer, gold_extract: [hash]}
{kind: jsonl, path: mmlu.jsonl, question: question, choices: choices, gold: answer}
{kind: jsonl, path: trivia.jsonl}
{kind: jsonl, path: opinions.jsonl, gold: null}

By default an answer is parsed from a sentence and compared word by word. `answer.equal` selects numbers, mathematics or
choices instead.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from society.answers.choice import OPTION_LETTERS
from society.answers.equal import Equality
from society.answers.extract import Extractor, extract_gold
from society.answers.format import AnswerFormat, AnswerOptions
from society.components.facts import Reasons, TaskFacts
from society.core.errors import InputError
from society.core.paths import ReadablePath
from society.core.types import Item
from society.tasks.base import Task

Plain = str | int | float | bool | None
Row = dict[str, Any]

CHOICE = AnswerFormat(extract=("choice", "boxed", "candidates"), equal="choice")
STATEMENT = AnswerFormat(extract=("boxed", "hash", "statement"), equal="words")
_EXTRACTORS: Mapping[Equality, tuple[Extractor, ...]] = {
    "numeric": ("boxed", "hash", "last_number"),
    "math": ("boxed", "hash", "line"),
    "choice": ("choice", "boxed"),
}
"""Default extractors, by how answers are compared."""


def find_format(choices: bool, given: AnswerOptions) -> AnswerFormat:
    """Return the rules of questions of any kind: with `choices`, those of options; else by the comparison `given`."""
    if choices:
        return CHOICE.override(given)
    extract = _EXTRACTORS.get(given.equal) if given.equal is not None else None
    standard = STATEMENT.model_copy(update={"extract": extract}) if extract else STATEMENT
    return standard.override(given)


class Jsonl(Task):
    """Questions from a JSONL file: one JSON object per line.

    A question that several rows repeat is used once. Repeated questions with different answers are an error.
    """

    kind: Literal["jsonl"] = "jsonl"
    path: Annotated[ReadablePath, Field(strict=False)]
    """Path of the file, relative to the scenario."""
    question: str = "question"
    """Name of the field with the question, or a template such as "{context} {question}"."""
    gold: str | None = "answer"
    """Name of the field with the true answer, or with a list of equally correct answers. Where the value is missing,
    empty or null, the true answer is unknown. `null`: no question has a true answer."""
    gold_extract: Annotated[tuple[Extractor, ...], Field(strict=False)] = ()
    """Extractors for the true answer in its field: `hash` for GSM8K, `boxed` for MATH. By default the whole field."""
    choices: str | None = None
    """Name of the field with the list of options. The true answer is an index from 0, a letter, or an option."""
    id: str | None = None
    """Name of the field that identifies a question. By default its line number."""
    where: dict[str, Plain | list[Plain]] = Field(default_factory=dict)
    """Filter: use only rows whose fields have this value, or one of these values."""

    standard: ClassVar[AnswerFormat] = STATEMENT

    @cached_property
    def format(self) -> AnswerFormat:
        """Rules that parse and compare answers, by `choices` and `answer`."""
        return find_format(self.choices is not None, self.answer)

    @property
    def origin(self) -> str:
        return str(self.path)

    @property
    def lists_answers(self) -> bool:
        return self.choices is not None

    def idle(self, facts: TaskFacts) -> Reasons:
        if self.choices is None:
            return {}
        reasons: dict[str, str] = {}
        if self.gold_extract:
            says = "has no effect: of a question with `choices` the true answer is an index, a letter or an option"
            reasons["gold_extract"] = f"{says}; remove it"
        variable = f"{{{self.choices}}}"
        if "{" in self.question and variable not in self.question and not facts.choices_shown:
            says = "is shown to nobody: neither `question` nor a prompt has it"
            reasons["choices"] = f"{says}; write {variable} in `question`"
        return reasons

    def questions(self, seed: int) -> Iterable[Item]:
        """Yield the rows that match `where`, in the order of the file.

        Raises `InputError`, with file and line, for an invalid row.
        """
        ids: set[str] = set()
        found = 0
        for line, row in read_rows(self.path):
            if not self._fits(row, line):
                continue
            if not found:
                self._check_gold(row, line)
            item = self._item(row, line)
            if item.id in ids:
                raise self._error(line, f"repeats the id {item.id!r}", "Set `task.id` to a field with unique values.")
            ids.add(item.id)
            found += 1
            yield item
        if not found:
            what = "no row matches `where`" if self.where else "there are no rows"
            raise InputError(f"{self.path}: {what}.", "Check `task.path` and `task.where`.")

    def _check_gold(self, row: Row, line: int) -> None:
        """Raise `InputError` if the scenario names a field for true answers that no row has: a slip of the pen."""
        name = self.gold
        if name is None or name in row or "gold" not in self.model_fields_set:
            return
        if not any(name in other for _, other in read_rows(self.path)):
            remedy = "Correct `task.gold`, or set it to null for questions without true answers."
            raise self._error(line, f"has no field {name!r}, nor has any other row; it has {', '.join(row)}", remedy)

    def remark(self, items: Sequence[Item]) -> str:
        if self.gold is None or any(item.gold for item in items):
            return ""
        return (
            f"no question has a true answer in the field {self.gold!r}, so nothing counts as right or wrong; name the "
            "field in `gold`, or set `gold: null`"
        )

    def _fits(self, row: Row, line: int) -> bool:
        for name, wanted in self.where.items():
            value = self._field(row, name, line)
            if value not in (wanted if isinstance(wanted, list) else [wanted]):
                return False
        return True

    def _item(self, row: Row, line: int) -> Item:
        options = self._options(row, line)
        question = self._fill(row, line)
        if options and not re.search(r"\{.*\}", self.question):
            question += "".join(
                f"\n{letter}. {option}" for letter, option in zip(OPTION_LETTERS, options, strict=False)
            )
        identity = f"{self.path.stem}-{line}" if self.id is None else self._text(self.id, row, line)
        golds = self._golds(row, options, line)
        shown = {name: value for name, value in row.items() if name != self.gold}
        return Item(identity, question, golds[0] if golds else "", tuple(golds[1:]), options, fields=shown)

    def _fill(self, row: Row, line: int) -> str:
        """Return the question from its field or template. A template shows a list as lettered options."""
        if "{" not in self.question:
            question = self._show(self.question, row, line)
        else:
            question = re.sub(r"\{(\w+)\}", lambda match: self._show(match[1], row, line), self.question)
        if not question.strip():
            raise self._error(line, "has an empty question", "Correct `task.question`, or correct or remove the row.")
        return question

    def _show(self, name: str, row: Row, line: int) -> str:
        """Return the text of a field. A list becomes lettered options."""
        value = self._field(row, name, line)
        if not isinstance(value, list):
            return self._text(name, row, line)
        texts = [self._plain(entry, name, line) for entry in value]
        return "\n".join(f"{letter}. {option}" for letter, option in zip(OPTION_LETTERS, texts, strict=False))

    def _text(self, name: str, row: Row, line: int) -> str:
        """Return the text of a field that holds one text or number."""
        return self._plain(self._field(row, name, line), name, line)

    def _plain(self, value: Any, name: str, line: int) -> str:
        """Return the text of a value of the field `name`. Raises `InputError` if it is neither text nor a number."""
        if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
            return str(value)
        raise self._error(
            line,
            f"has {_describe(value)} in the field {name!r}, which should be text or a number",
            "Correct the row, or remove it.",
        )

    def _options(self, row: Row, line: int) -> tuple[str, ...]:
        if self.choices is None:
            return ()
        options = self._field(row, self.choices, line)
        if not isinstance(options, list) or not 2 <= len(options) <= len(OPTION_LETTERS):
            raise self._error(line, f"has no list of 2 to 10 options in {self.choices!r}", "Correct the row.")
        return tuple(self._plain(option, self.choices, line) for option in options)

    def _golds(self, row: Row, options: tuple[str, ...], line: int) -> list[str]:
        """Return the true answers of a row. All are correct; the first is displayed. Empty if none is known."""
        value = None if self.gold is None else row.get(self.gold)
        values = value if isinstance(value, list) else [value]
        known = [one for one in values if one is not None and not (isinstance(one, str) and not one.strip())]
        return list(dict.fromkeys(self._gold(one, options, line) for one in known))

    def _gold(self, value: Any, options: tuple[str, ...], line: int) -> str:
        if options:
            return self._letter(value, options, line)
        text = self._plain(value, self.gold or "", line)
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e6:
            text = f"{value:g}"
        found = extract_gold(text, self.gold_extract) if self.gold_extract else text.strip()
        if not found:
            raise self._error(
                line,
                f"has a field {self.gold!r} without an answer",
                "Correct `task.gold_extract`, or the row.",
            )
        return found

    def _letter(self, value: Any, options: tuple[str, ...], line: int) -> str:
        """Return the letter of an option, given by its index from 0, its letter or its text."""
        letters = OPTION_LETTERS[: len(options)]
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(options):
            return letters[value]
        if isinstance(value, str) and len(value) == 1 and value.upper() in letters:
            return value.upper()
        if isinstance(value, str) and value in options:
            return letters[options.index(value)]
        raise self._error(
            line, f"has the answer {value!r}, which is not one of its {len(options)} options", "Correct the row."
        )

    def _field(self, row: Row, name: str, line: int) -> Any:
        if name not in row:
            raise self._error(
                line,
                f"has no field {name!r}; it has {', '.join(row)}",
                "Correct the name of the field in the task.",
            )
        return row[name]

    def _error(self, line: int, what: str, remedy: str) -> InputError:
        return InputError(f"{self.path}:{line}: the row {what}.", remedy)


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the number of each line, from 1, and its row. Empty lines are skipped.

    Raises `InputError`, with file and line, for an unreadable file, a line that is not UTF-8, or not a JSON object.
    """
    try:
        with path.open("rb") as file:
            for line, raw in enumerate(file, 1):
                if raw.strip():
                    yield line, _parse_row(raw, f"{path}:{line}")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", "Check `task.path`.") from error


def _parse_row(raw: bytes, where: str) -> Row:
    try:
        row = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text.", "Convert the file to UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}.", "Write one JSON object per line.") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a JSON object.", "Write one JSON object per line.")
    return row


def _describe(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value} (not a finite number)"
    return "a list" if isinstance(value, list) else "a JSON object"
