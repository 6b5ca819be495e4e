r"""Mathematical equality of two answers.

The comparisons are, in this order: identical strings; strings without LaTeX's layout commands; words, times, numbers of
a base, and quantities; the parts of lists, sets, tuples, intervals, matrices and assignments; for formulas, SymPy in a
worker process. Text that is too costly for SymPy (`society.answers.tame`) equals only itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec

from society.answers.latex import MAX_LENGTH, for_parser, simplify
from society.answers.numbers import BENT
from society.answers.quantities import read_quantity, same_quantity
from society.answers.structures import (
    Assignment,
    Collection,
    has_relation,
    read_assignment,
    read_based,
    read_collection,
    read_matrix,
    read_time,
    read_words,
    split_unit,
)
from society.answers.tame import is_formula, is_tame
from society.answers.undecided import note
from society.answers.units import read_unit
from society.answers.worker import Worker
from society.core.errors import MissingExtraError

__all__ = ["is_tame", "require_math_verify", "same_math", "simplify"]

MAX_ITEMS = 40
"""Maximum number of items of a list or set that is compared in any order."""
MAX_NESTING = 8


def require_math_verify() -> None:
    """Raise `MissingExtraError` if math-verify is not installed."""
    if find_spec("math_verify") is None:
        raise MissingExtraError("The answer equality `math`", "math-verify", "math")


def same_math(a: str, b: str, tolerance: float = 1e-6) -> bool:
    """Return whether `a` and `b` are equal as mathematics. Symmetric; an identical string is always equal.

    Numbers are compared as by `numeric`. A comparison that SymPy does not finish is False and recorded as undecided
    (`society.answers.undecided`). Raises `MissingExtraError` if math-verify is needed and missing.
    """
    if a == b:
        return True
    if BENT.search(a + b):  # the displayed order differs from the order of the characters
        return False
    if max(len(a), len(b)) > MAX_LENGTH:
        return False
    return _Comparison(tolerance, (a, b)).same(a, b, simplify(a), simplify(b))


class _Comparison:
    """The comparison of two answers, part by part."""

    def __init__(self, tolerance: float, answers: tuple[str, str]) -> None:
        self._tolerance = tolerance
        self._answers = answers
        self._depth = 0
        self._rules: tuple[Callable[[str, str], bool | None], ...] = (
            self._words,
            self._bases,
            self._times,
            self._matrices,
            self._collections,
            self._assignments,
            self._units,
        )

    def same(self, a: str, b: str, left: str, right: str) -> bool:
        """Return whether two answers or parts are equal; `left` and `right` are their simplified spellings."""
        left, right = _LABEL.sub("", left), _LABEL.sub("", right)
        if left == right:
            return True
        if not left or not right:
            return False
        first, second = read_quantity(a, variables=True), read_quantity(b, variables=True)
        if first and second:
            return same_quantity(first, second, self._tolerance)
        for rule in self._rules:
            verdict = rule(left, right)
            if verdict is not None:
                return verdict
        return self._formulas(left, right)

    def _part(self, a: str, b: str) -> bool:
        if self._depth >= MAX_NESTING:
            return a == b
        self._depth += 1
        try:
            return self.same(a, b, simplify(a), simplify(b))
        finally:
            self._depth -= 1

    def _words(self, a: str, b: str) -> bool | None:
        """Compare words and single letters without regard to case: `(b)` is the choice `B`."""
        first, second = read_words(a), read_words(b)
        if first is not None and second is not None:
            return first == second
        letters = _LETTER.fullmatch(a), _LETTER.fullmatch(b)
        if letters[0] and letters[1] and "(" in a + b:
            return letters[0][1].upper() == letters[1][1].upper()
        return True if _has_word(a) and _folded(a) == _folded(b) else None

    def _bases(self, a: str, b: str) -> bool | None:
        """Compare numbers of a base: digits and base must be equal. Base ten may be omitted."""
        first, second = read_based(a), read_based(b)
        if first is None and second is None:
            return None
        if first and second:
            return first == second
        based, plain = (first, b) if first else (second, a)
        if based is None or not re.fullmatch(r"-?[0-9]+", plain):
            return None
        return based[1] == "10" and based[0] == (plain.lstrip("0") or "0")

    def _times(self, a: str, b: str) -> bool | None:
        first, second = read_time(a), read_time(b)
        if first is None or second is None:
            return None
        return first[0] == second[0] and (first[1] == second[1] or not (first[1] and second[1]))

    def _matrices(self, a: str, b: str) -> bool | None:
        first, second = read_matrix(a), read_matrix(b)
        if first is None or second is None:
            return None
        if [len(row) for row in first] != [len(row) for row in second]:
            return False
        return all(self._in_order(x, y) for x, y in zip(first, second, strict=True))

    def _collections(self, a: str, b: str) -> bool | None:
        first, second = read_collection(a), read_collection(b)
        if first is None and second is None:
            return None
        if first and second:
            return self._same_collection(first, second)
        one, other = (first, b) if first else (second, a)
        assert one is not None
        if len(one.items) == 1 and one.kind in ("set", "brackets"):
            return self._part(one.items[0], other)
        if one.kind == "list" and not has_relation(other) and not re.search(r"\\begin|\\text", other):
            return False  # several answers are not one
        return None

    def _same_collection(self, a: Collection, b: Collection) -> bool:
        kinds = {a.kind, b.kind}
        if a.kind == b.kind:
            if a.kind == "set":
                return self._within(a.items, b.items) and self._within(b.items, a.items)
            if a.kind == "list":
                return self._any_order(a.items, b.items)
            return a.brackets == b.brackets and self._in_order(a.items, b.items)
        if kinds == {"list", "set"}:
            return self._within(a.items, b.items) and self._within(b.items, a.items)
        intervals = "half-open" in kinds or ("brackets" in kinds and 2 in (len(a.items), len(b.items)))
        return "set" not in kinds and not intervals and self._in_order(a.items, b.items)

    def _in_order(self, a: Sequence[str], b: Sequence[str]) -> bool:
        return len(a) == len(b) and all(self._part(x, y) for x, y in zip(a, b, strict=True))

    def _any_order(self, a: Sequence[str], b: Sequence[str]) -> bool:
        """Return whether the items can be paired. Each item is paired with the first equal one that remains."""
        if len(a) != len(b) or max(len(a), len(b)) > MAX_ITEMS:
            return self._in_order(a, b)
        left = list(b)
        for item in a:
            found = next((other for other in left if self._part(item, other)), None)
            if found is None:
                return False
            left.remove(found)
        return True

    def _within(self, some: Sequence[str], others: Sequence[str]) -> bool:
        if len(some) > MAX_ITEMS or len(others) > MAX_ITEMS:
            return self._in_order(some, others)
        return all(any(self._part(item, other) for other in others) for item in some)

    def _assignments(self, a: str, b: str) -> bool | None:
        first, second = read_assignment(a), read_assignment(b)
        if first and second:
            return self._same_assignment(first, second)
        if first and not has_relation(b):
            return self._part(first.value, b)
        if second and not has_relation(a):
            return self._part(a, second.value)
        return None

    def _same_assignment(self, a: Assignment, b: Assignment) -> bool | None:
        """Compare the values of one label. Of two labels: values under a name, but never those of two variables."""
        named = len(a.label) > 1 or len(b.label) > 1
        if a.label == b.label or (named and not (read_words(a.label) and read_words(b.label))):
            return True if self._part(a.value, b.value) else self._implicit(a, b)
        return self._implicit(a, b)

    def _implicit(self, a: Assignment, b: Assignment) -> bool | None:
        """Return False if both values have no variables, or None for equations that SymPy must compare."""
        letters = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z](?![a-zA-Z])")
        return None if letters.search(a.value) or letters.search(b.value) else False

    def _units(self, a: str, b: str) -> bool | None:
        """Compare formulas with units: the units must be equal or missing."""
        first, second = split_unit(a), split_unit(b)
        if first is None and second is None:
            return None
        left, right = first or (a, ""), second or (b, "")
        units = read_unit(left[1]), read_unit(right[1])
        if units[0] is None or units[1] is None or units[0].scale != units[1].scale:
            return None
        known = units[0].dimensions and units[1].dimensions
        if known and (units[0].dimensions, units[0].factor) != (units[1].dimensions, units[1].factor):
            return False
        return self._part(left[0], right[0])

    def _formulas(self, a: str, b: str) -> bool:
        """Compare by SymPy, unless it would omit a part of the answer or may not terminate."""
        if _DROPPED.search(a + b) or a.count("'") != b.count("'") or _has_both_cases(a + b):
            return False
        left, right = sorted((for_parser(a), for_parser(b)))
        if not (is_tame(left) and is_tame(right)):
            if is_formula(left) and is_formula(right):  # too costly to compute
                note(*self._answers)
            return False
        verdict = _verify(left, right, self._tolerance)
        if verdict is None:
            note(*self._answers)
        return bool(verdict)


_LETTER = re.compile(r"\(?([A-Za-z])\)?")


def _has_word(text: str) -> bool:
    return re.search(r"(?<![a-zA-Z\\])[a-zA-Z]{3}", text) is not None


def _folded(text: str) -> str:
    """Return `text` without text commands, spaces and case."""
    return re.sub(r"\s", "", re.sub(r"\\text\{([^{}]*)\}", r"\1", text)).casefold()


_DROPPED = re.compile(r"\\ldots|\\text\{|(?<![a-zA-Z_^{])[0-9.]+ [0-9]")
"""Matches text that math-verify's parser omits or misreads: ellipses, words, and numbers separated by a space."""
_LABEL = re.compile(r"^(?:\\text\{[^{}]*:\}|[a-zA-Z](?:_\{?\w\}?)?\\in(?![a-zA-Z])\s*)")
"""A label in words, or the variable of `x\\in`, before an answer."""


def _has_both_cases(text: str) -> bool:
    """Return whether a letter is a variable in both cases: math-verify's parser does not tell them apart."""
    letters = set(re.findall(r"(?<![a-zA-Z\\])[a-zA-Z]+(?![a-zA-Z{])", text))
    variables = set("".join(letters))
    return any(letter.isupper() and letter.lower() in variables for letter in variables)


@cache
def _worker() -> Worker:
    require_math_verify()
    return Worker("society.answers.math_worker")


@lru_cache(maxsize=10_000)
def _verify(a: str, b: str, tolerance: float) -> bool | None:
    """Return SymPy's verdict, or None if it is undecided."""
    verdict = _worker().ask(a, b, tolerance)
    return None if verdict is None else bool(verdict)
