"""Reading of a row by its layout: the question, its options in the order that is shown, and the true answers.

The true answer is "" where a row has none.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from typing import Any

from society.answers.choice import OPTION_LETTERS
from society.answers.decimals import Decimal, write_number
from society.answers.extract import extract_gold
from society.core.errors import InputError
from society.core.field_paths import ABSENT, find, without
from society.core.types import Item
from society.tasks.layout import MOST, VARIABLE, Layout
from society.tasks.options import Form, Options, describe, read_alone, read_flags
from society.tasks.readers import Row, explain_absent


class RowReader:
    """Makes items of rows. `form` is the form of the true answers of multiple-choice questions, if known.

    `secret` names further fields that prompts may not show. Rules that judge answers find them in `Item.data`. With
    `decimal`, true answers that are numbers of JSON or Parquet have this sign.
    """

    def __init__(
        self,
        layout: Layout,
        seed: int,
        form: Form | None = None,
        secret: Sequence[str] = (),
        decimal: Decimal | None = None,
    ) -> None:
        self.layout, self.seed, self._decimal = layout, seed, decimal
        self._secret = tuple(secret)
        self.form: Form | None = layout.gold_as or ("label" if layout.labels else form)

    def read(self, row: Row, name: str) -> Item:
        """Return the question of a row. `name` identifies it where the layout has no `id`.

        Raises `InputError`, with file and line, for an invalid row.
        """
        layout = self.layout
        identity = name if layout.id is None else self._text(row, layout.id, "id")
        if not layout.has_options:
            gold, *aliases = self._golds(row) or [""]
            return Item(identity, self._fill(row, ()), gold, tuple(aliases), **self._fields(row))
        options = self.options(row)
        right = _with_equals(self._right(row, options), options.texts)
        order = self._order(len(options.texts), right, identity)
        texts = tuple(options.texts[i] for i in order)
        letters = [OPTION_LETTERS[place] for place, i in enumerate(order) if i in right]
        gold, *aliases = letters or [""]
        question = self._fill(row, texts)
        if not VARIABLE.search(layout.question):
            question += f"\n{_letter(texts)}"
        ordered = tuple(sorted(options.texts))
        stem = "\n".join((self._fill(row, ordered), *ordered)) if layout.draws_options else ""
        return Item(identity, question, gold, tuple(aliases), texts, **self._fields(row), stem=stem)

    def _fields(self, row: Row) -> dict[str, Any]:
        """Return the fields for prompts, and those for rules that judge answers, as arguments of an item."""
        data = {top: row.values[top] for path in self._secret if (top := _top(row, path)) in row.values}
        return {"fields": without(row.values, (*self.layout.hidden, *self._secret)), "data": data}

    def options(self, row: Row) -> Options:
        """Return the options of a row. Raises `InputError` where there are too few, too many, or no usable ones."""
        layout = self.layout
        if layout.options:
            return self._count(row, Options(layout.options))
        if isinstance(layout.choices, tuple):
            columns = [(name, self._value(row, name, "choices", i)) for i, name in enumerate(layout.choices)]
            columns = self._filled(row, columns)
            names = tuple(name for name, _ in columns)
            return self._count(row, Options(tuple(self._plain(row, value, name) for name, value in columns), names))
        assert layout.choices is not None
        found = self._value(row, layout.choices, "choices")
        labels = self._labels(row)
        if isinstance(found, dict):
            flags = layout.gold_as == "flags"
            # Parquet gives every row all keys: those without an option are null.
            found = found if flags else {key: option for key, option in found.items() if option is not None}
            labels, found = ((), list(found)) if flags else (tuple(map(str, found)), list(found.values()))
        if not isinstance(found, list):
            raise self._few(row)
        options = Options(tuple(self._plain(row, option, layout.choices) for option in found), labels)
        return self._count(row, options)

    def _filled(self, row: Row, columns: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Return the columns with an option: questions may have fewer options than the table has columns."""
        if self.layout.gold_is_option:
            return [column for column in columns if column[0] == self.layout.gold or not _is_empty(column[1])]
        while columns and _is_empty(columns[-1][1]):
            columns.pop()
        if empty := next((name for name, value in columns if _is_empty(value)), None):
            what = f"has no option in {empty!r}, but one in {columns[-1][0]!r}"
            raise self._error(
                row, what, "Move the options to the first columns, with the true answer, or remove the row."
            )
        return columns

    def _labels(self, row: Row) -> tuple[str, ...]:
        if self.layout.labels is None:
            return ()
        found = self._value(row, self.layout.labels, "labels")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def _count(self, row: Row, options: Options) -> Options:
        if not 2 <= len(options.texts) <= (10_000 if self.layout.max_choices else MOST):
            raise self._few(row)
        if options.labels and len(options.labels) != len(options.texts):
            raise self._error(
                row,
                f"has {len(options.texts)} options and {len(options.labels)} labels",
                "Correct `task.labels`.",
                "labels",
            )
        return options

    def _few(self, row: Row) -> InputError:
        remedy = f"Correct the row or `task.choices`. For more than {MOST} options, set `task.max_choices`."
        return self._error(row, f"has no list of 2 to {MOST} options in {self.layout.choices!r}", remedy, "choices")

    def values(self, row: Row) -> list[Any]:
        """Return the true answers of a row as the data set gives them; none where it has none."""
        if self.layout.gold is None:
            return []
        value = self.given(row)
        values = value if isinstance(value, list) and self.form != "flags" else [value]
        return [entry for entry in values if not _is_empty(entry)]

    def given(self, row: Row) -> Any:
        """Return the value of the field with the true answer, or `ABSENT`."""
        return ABSENT if self.layout.gold is None else find(row.values, self.layout.gold)

    def _right(self, row: Row, options: Options) -> list[int]:
        """Return the indices of the true options; none where the row has no true answer."""
        if self.layout.gold_is_option:
            assert isinstance(self.layout.choices, tuple)
            right = options.labels.index(str(self.layout.gold))
            if _is_empty(options.texts[right]):
                raise self._error(row, f"has no right option in {self.layout.gold!r}", "Correct the row, or remove it.")
            return [right]
        values = self.values(row)
        if values and self.form == "flags":
            found = read_flags(values[0], options)
            if not found:
                what = f"has no list with a flag for each of its {len(options.texts)} options in {self.layout.gold!r}"
                raise self._error(row, what, "Correct `task.gold` or `task.gold_as`, or the row.", "gold_as", "gold")
            return found
        found = [self._index(row, value, options) for value in values]
        if len(set(found)) < len(found) and not any(isinstance(value, str) for value in values):
            what = f"names an option twice in {self.layout.gold!r}: {values!r:.80}"
            raise self._error(row, what, "Correct the row, or set `task.gold_as: flags` for a flag for each option.")
        return list(dict.fromkeys(found))

    def _index(self, row: Row, value: Any, options: Options) -> int:
        found = options.read(value, self.form) if self.form else read_alone(value, options)
        if found is not None:
            return found
        wanted = f": the other rows give {describe(self.form)}" if self.form and not self.layout.gold_as else ""
        wanted = f": `gold_as` asks for {describe(self.form)}" if self.form and self.layout.gold_as else wanted
        raise self._error(
            row,
            f"has the answer {value!r:.80}, which is not one of its {len(options.texts)} options{wanted}",
            "Correct the row, or set `task.gold_as` to the form of the true answers.",
            "gold_as",
            "gold",
        )

    def _order(self, count: int, right: Sequence[int], identity: str) -> list[int]:
        """Return the indices of the options to show, in order: some and shuffled by the seed and the question's id."""
        order = list(range(count))
        most = self.layout.max_choices or MOST
        rng = random.Random(f"choices/{self.seed}/{identity}")
        if count > most:
            wrong = [i for i in order if i not in right[:most]]
            order = sorted([*right[:most], *rng.sample(wrong, most - len(right[:most]))])
        if self.layout.shuffles:
            rng.shuffle(order)
        return order

    def _golds(self, row: Row) -> list[str]:
        """Return the true answers of a question without options. All are correct; the first is displayed."""
        return list(dict.fromkeys(self.gold(row, value) for value in self.values(row)))

    def gold(self, row: Row, value: Any) -> str:
        """Return a true answer of a question without options. Raises `InputError` if it has none."""
        name = str(self.layout.gold)
        text = self._plain(row, value, name)
        if isinstance(value, float):
            text = write_number(value, self._decimal)
        wanted = self.layout.gold_extract
        question = self._fill(row, ()) if "statement" in wanted else ""
        found = extract_gold(text, wanted, question, self._decimal) if wanted else text.strip()
        if not found:
            remedy = "Correct `task.gold_extract`, or the row."
            raise self._error(row, f"has a field {name!r} without an answer", remedy, "gold_extract", "gold")
        return found

    def _fill(self, row: Row, options: Sequence[str]) -> str:
        """Return the question from its field or template. A template shows options with their letters."""
        source = self.layout.question

        def show(name: str) -> str:
            own = name == self.layout.choices or (name == "choices" and find(row.values, name) is ABSENT)
            return _letter(options) if options and own else self._text(row, name, "question")

        question = VARIABLE.sub(lambda match: show(match[1]), source) if "{" in source else show(source)
        if not question.strip():
            remedy = "Correct `task.question`, or correct or remove the row."
            raise self._error(row, "has an empty question", remedy, "question")
        return question

    def _text(self, row: Row, name: str, key: str) -> str:
        """Return the text of a field. A list becomes lettered options."""
        value = self._value(row, name, key)
        if isinstance(value, list) and key == "question":
            return _letter([self._plain(row, entry, name) for entry in value])
        return self._plain(row, value, name)

    def _value(self, row: Row, name: str, key: str, *below: int) -> Any:
        value = find(row.values, name)
        if value is ABSENT:
            raise explain_absent(row, name, key, *below)
        return value

    def _plain(self, row: Row, value: Any, name: str) -> str:
        """Return the text of a value of the field `name`. Raises `InputError` if it is neither text nor a number."""
        if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
            return str(value)
        raise self._error(
            row,
            f"has {_describe(value)} in the field {name!r}, which should be text or a number",
            "Correct the row, or remove it.",
        )

    def _error(self, row: Row, what: str, remedy: str, *fields: str) -> InputError:
        """Return the error of a row, at the first of these fields that the layout sets."""
        given = next((field for field in fields if field in self.layout.model_fields_set), None)
        return InputError(f"{row.where}: the row {what}.", remedy, () if given is None else (given,))


def _with_equals(right: list[int], texts: Sequence[str]) -> list[int]:
    """Return the right options and those of the same text, which are right under each of their letters."""
    same = {texts[i].strip() for i in right}
    return [*right, *(i for i, text in enumerate(texts) if i not in right and text.strip() in same)]


def _top(row: Row, path: str) -> str:
    """Return the name of the field that a path begins with."""
    return path if path in row.values else re.split(r"[.\[]", path, maxsplit=1)[0]


def _letter(options: Sequence[str]) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in zip(OPTION_LETTERS, options, strict=False))


def _is_empty(value: Any) -> bool:
    return value is None or value is ABSENT or (isinstance(value, str) and not value.strip())


def _describe(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value} (not a finite number)"
    return "a list" if isinstance(value, list) else "a JSON object"
