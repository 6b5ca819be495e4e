"""The options of a multiple-choice question, and the form in which a data set gives the true one.

A true answer may be an index from 0 or from 1, a letter, a label, the text of an option, or a flag for each option. A
data set does not say which. `FormFinder` reads the true answers of a whole file in every form, and keeps the form that
fits all rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from society.answers.choice import OPTION_LETTERS
from society.answers.equal import read_choice
from society.core.errors import InputError

Form = Literal["label", "letter", "index0", "text", "index1", "flags"]
FOUND: tuple[Form, ...] = ("label", "letter", "index0", "text", "index1")
"""Forms that are found from the data, in the order in which rows of mixed forms are read."""
_YES, _NO = ("yes", "true"), ("no", "false")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a question in the order of the data set, with their labels where it has some."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def read(self, value: Any, form: Form) -> int | None:
        """Return the index of the option that a true answer names in this form, or None."""
        if isinstance(value, bool) and form == "text":
            return self._find_word(_YES if value else _NO)
        if isinstance(value, bool):
            return None
        text = str(value).strip()
        match form:
            case "label":
                return _index(self.labels, text)
            case "letter":
                letter = read_choice(text) if len(text) <= 4 and isinstance(value, str) else None
                return _within(OPTION_LETTERS.find(letter) if letter else -1, self.texts)
            case "text":
                return _index(self.texts, text)
            case "index0" | "index1":
                number = _integer(value)
                return None if number is None else _within(number - (form == "index1"), self.texts)
            case "flags":
                return None

    def _find_word(self, words: Sequence[str]) -> int | None:
        return next((i for i, text in enumerate(self.texts) if text.strip().casefold() in words), None)


def _index(texts: Sequence[str], text: str) -> int | None:
    """Return the index of the only equal text; letter case counts only where two texts differ by nothing else."""
    exact = [i for i, option in enumerate(texts) if option.strip() == text]
    same = exact or [i for i, option in enumerate(texts) if option.strip().casefold() == text.casefold()]
    return same[0] if same else None


def _within(index: int, texts: Sequence[str]) -> int | None:
    return index if 0 <= index < len(texts) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 4:
        return int(value)
    return value if isinstance(value, int) else None


def read_flags(value: Any, options: Options) -> list[int] | None:
    """Return the indices of the true options by a flag for each option, in a list or in a mapping by text; or None."""
    flags = list(value.values()) if isinstance(value, Mapping) else value
    if not isinstance(flags, list) or len(flags) != len(options.texts):
        return None
    numbers = [_flag(flag) for flag in flags]
    return None if None in numbers else [i for i, number in enumerate(numbers) if number]


def _flag(flag: Any) -> bool | None:
    if isinstance(flag, str):
        flag = {"1": 1, "0": 0, "true": 1, "false": 0}.get(flag.strip().casefold())
    return bool(flag) if isinstance(flag, int | float) and flag in (0, 1) else None


class FormFinder:
    """Finds the form of the true answers of a file. `add` receives the true answers of each row.

    `lenient`: where several forms fit and name different options, the first of `FOUND` is used; where none fits all
    rows, each row is read by itself. A text of digits is then no index. This is how `kind: jsonl` has always read.
    """

    def __init__(self, lenient: bool) -> None:
        self._lenient = lenient
        self._known = self._rows = self._flagged = 0
        self._read: Counter[Form] = Counter()
        self._differ: dict[tuple[Form, Form], tuple[str, Any]] = {}

    def add(self, where: str, given: Any, values: Sequence[Any], options: Options) -> None:
        """Read the true answers of a row in every form: `given` as a whole, and its `values`. `where` is for errors."""
        self._rows += bool(values)
        self._flagged += bool(values) and read_flags(given, options) is not None
        for value in values:
            self._known += 1
            found = dict(self._readings(value, options))
            self._read.update(found.keys())
            for one, other in combinations(found, 2):
                if found[one] != found[other]:
                    self._differ.setdefault((one, other), (where, value))

    def _readings(self, value: Any, options: Options) -> Iterator[tuple[Form, int]]:
        for form in FOUND:
            is_digits = self._lenient and isinstance(value, str) and form in ("index0", "index1")
            index = None if is_digits else options.read(value, form)
            if index is not None:
                yield form, index

    def choose(self) -> Form | None:
        """Return the form that fits all rows, or the most of them. None: each row is read by itself.

        Raises `InputError` if several forms fit as many rows and name different options.
        """
        if self._rows and self._flagged == self._rows:
            return "flags"  # as indices, they would name the same option twice, or all options of all rows
        most = max(self._read.values(), default=0)
        if self._lenient and most < self._known:
            return None
        if self.guessed and not self._lenient:
            raise self._ambiguous(*self.guessed)
        return self._fitting[0] if most or not self._known else None

    @property
    def _fitting(self) -> list[Form]:
        """The forms that fit most rows. Labels leave no doubt: a data set has them to be named by."""
        most = max(self._read.values(), default=0)
        fitting = [form for form in FOUND if self._read[form] == most]
        return ["label"] if "label" in fitting and most else fitting

    @property
    def guessed(self) -> tuple[Form, Form] | None:
        """The form that is used and another one that fits as many rows, where the two name different options."""
        return next((pair for pair in combinations(self._fitting, 2) if pair in self._differ), None)

    def _ambiguous(self, one: Form, other: Form) -> InputError:
        where, value = self._differ[(one, other)]
        return InputError(
            f"{where}: the true answer {value!r:.60} may be {describe(one)} or {describe(other)}: "
            "both ways fit as many rows, and the two name different options.",
            f"Set `task.gold_as` to {one} or {other}.",
            ("gold",),
        )


def read_alone(value: Any, options: Options) -> int | None:
    """Return the index of the option that a true answer names, in the first form that fits it, counted from 0."""
    forms: tuple[Form, ...] = ("label", "letter", "index0", "text")
    usable = (form for form in forms if not (isinstance(value, str) and form == "index0"))
    return next((index for form in usable if (index := options.read(value, form)) is not None), None)


_WORDS: Mapping[Form, str] = {
    "label": "a label",
    "letter": "a letter",
    "index0": "an index from 0",
    "index1": "an index from 1",
    "text": "the text of an option",
    "flags": "a list of one flag for each option",
}


def describe(form: Form) -> str:
    """Return a form in words."""
    return _WORDS[form]
