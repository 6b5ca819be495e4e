"""The possible values of an expression of a template."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any, Literal

Kind = Literal["", "text", "number", "flag", "list", "record", "none"]
Truth = frozenset[bool]
"""Possible truth values of an expression."""
EITHER: Truth = frozenset((True, False))
MOST_OPTIONS = 2_000
"""Maximum number of possible values that are listed, and of pairs that are compared."""
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda a, b: a in b,
    "notin": lambda a, b: a not in b,
}
"""Operators of comparisons, by their names in Jinja2."""
ORDERS = frozenset({"lt", "lteq", "gt", "gteq"})
"""Operators that fail for None."""


@dataclass(frozen=True, slots=True)
class Value:
    """The possible values of an expression. A value of the kind "" may be anything."""

    kind: Kind = ""
    options: Collection[Any] | None = None
    """All possible values, None among them, if they are known."""
    none: bool = False
    """Whether the value may also be None."""
    low: float = float("-inf")
    high: float = float("inf")
    fields: Mapping[str, Value] = field(default_factory=dict)
    """Fields of a record."""
    optional: frozenset[str] = frozenset()
    """Fields that only some records have."""
    hidden: Mapping[str, str] = field(default_factory=dict)
    """Fields of data that a record does not show, each with the reason."""
    noun: str = ""
    """A record in words, such as "a message of `heard`"."""
    plain: bool = True
    """Whether a record is shown as a text, not in Python's form."""
    item: Value | None = None
    """Items of a list."""
    most: int | None = None
    """Maximum number of items of a list."""
    source: str = ""
    """The variable, or attribute, that has the value; "" for results of other expressions."""
    known: tuple[str, ...] = ()
    """Names that exist anywhere in the scenario and that the value might be meant to equal."""
    literal: bool = False
    """Whether the template states the value itself."""
    remedy: str = ""
    """How the value would not always be None."""

    @property
    def empty(self) -> bool:
        """Return whether the value is certainly None, an empty text, an empty list or an empty record."""
        if self.options is not None:
            return all(value in (None, "") for value in self.options)
        return (self.kind == "list" and self.most == 0) or (self.kind == "record" and not self.fields)

    @property
    def truth(self) -> Truth:
        if self.options is not None:
            return frozenset(bool(value) for value in self.options)
        return frozenset((False,)) if self.empty else EITHER

    @property
    def choices(self) -> tuple[str, ...]:
        """The possible values in words, without None."""
        return tuple(str(option) for option in self.options or () if option is not None)


UNKNOWN = Value()
NOTHING = Value("none", options=(None,))
TEXT = Value("text")
NUMBER = Value("number")
FLAG = Value("flag")
SHARE = Value("number", low=0, high=1)


def text(options: Iterable[str] | None = None, none: bool = False, **more: Any) -> Value:
    """Return a text, one of `options` if they are given and few, or also None."""
    return Value("text", _list_few(options, none), none, **more)


def number(options: Iterable[float] | None = None, none: bool = False, **more: Any) -> Value:
    """Return a number, one of `options` if they are given and few, or also None."""
    return Value("number", _list_few(options, none), none, **more)


def _list_few(options: Iterable[Any] | None, none: bool) -> tuple[Any, ...] | None:
    if options is None:
        return None
    found = tuple(dict.fromkeys([*options, None] if none else options))
    return found if len(found) <= MOST_OPTIONS else None


def listed(item: Value, most: int | None = None, **more: Any) -> Value:
    """Return a list of at most `most` of these items."""
    return Value("list", item=item, most=most, **more)


def constant(value: Any) -> Value:
    """Return the possible values of a literal of a template, or of data of the scenario."""
    if isinstance(value, bool):
        return Value("flag", (value,))
    if isinstance(value, str):
        return Value("text", (value,))
    if isinstance(value, int | float):
        return Value("number", (value,))
    if value is None:
        return NOTHING
    if isinstance(value, list | tuple):
        return listed(join(map(constant, value)), len(value))
    if isinstance(value, Mapping):
        return Value("record", fields={str(key): constant(inner) for key, inner in value.items()}, plain=False)
    return UNKNOWN


def join(values: Iterable[Value]) -> Value:
    """Return a value that may be any of these."""
    found = list(values)
    kinds = {value.kind for value in found} - {"none"}
    none = any(value.none or value.kind == "none" for value in found)
    if not kinds:
        return NOTHING if found else UNKNOWN
    if len(kinds) > 1 or "" in kinds:
        return UNKNOWN
    options: tuple[Any, ...] | None = None
    if all(value.options is not None for value in found):
        options = tuple(dict.fromkeys(option for value in found for option in value.options or ()))
    first = next(value for value in found if value.kind != "none")
    if first.kind == "list":
        most = [value.most for value in found]
        items = [value.item for value in found if value.item is not None and value.most != 0]
        longest = None if None in most else max(each or 0 for each in most)
        return replace(first, item=join(items) if items else first.item, most=longest, none=none)
    if first.kind == "record":
        names = [set(value.fields) for value in found if value.kind == "record"]
        if any(own != names[0] for own in names):
            return UNKNOWN
        return replace(first, none=none)
    if options is not None and len(options) > MOST_OPTIONS:
        options = None
    low, high = min(value.low for value in found), max(value.high for value in found)
    return replace(first, options=options, none=none, low=low, high=high)


def join_rows(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, Value]:
    """Return the possible values of these fields, which all rows have."""
    return {name: join(map(constant, _distinct(row[name] for row in rows))) for name in names}


def _distinct(values: Iterable[Any]) -> Collection[Any]:
    """Return the values, each text, number and None once."""
    found = {(type(one), one) if isinstance(one, str | int | float | None) else id(one): one for one in values}
    return found.values()


def compute(work: Callable[..., Any], *values: Value) -> tuple[Any, ...] | None:
    """Return all possible results of a function; None if they are not known, or if it fails for some values."""
    known = [value.options for value in values if value.options is not None]
    if len(known) < len(values) or prod(map(len, known)) > MOST_OPTIONS:
        return None
    try:
        return tuple(dict.fromkeys(work(*given) for given in product(*known)))
    except (ArithmeticError, TypeError):
        return None


def compare(left: Value, name: str, right: Value) -> Truth:
    """Return the possible results of a comparison."""
    if not left.kind or not right.kind:
        return EITHER
    if left.options is not None and right.options is not None:
        return _compare_all(left.options, name, right.options)
    if name in ("eq", "ne") and not _may_equal(left, right):
        return frozenset((name == "ne",))
    if left.kind == right.kind == "number" and right.options is not None and None not in right.options:
        return _compare_range(left, name, right.options)
    return EITHER


def _compare_all(left: Collection[Any], name: str, right: Collection[Any]) -> Truth:
    if len(left) * len(right) > MOST_OPTIONS * 10:
        return EITHER
    pairs = [*product(left, right)]
    found = set()
    for one, other in pairs:
        if name in ORDERS and (one is None or other is None):
            continue  # the prompt fails there
        try:
            found.add(bool(OPERATORS[name](one, other)))
        except TypeError:
            return EITHER
    return frozenset(found) if found or not pairs else EITHER


def _may_equal(left: Value, right: Value) -> bool:
    if "none" in (left.kind, right.kind):
        other = left if right.kind == "none" else right
        return other.none or other.kind == "none" or None in (other.options or ())
    numeric = {left.kind, right.kind} <= {"number", "flag"}
    return left.kind == right.kind or numeric or (left.none and right.none)


def _compare_range(left: Value, name: str, options: Collection[Any]) -> Truth:
    found: set[bool] = {False} if left.none else set()
    for option in options:
        if name in ("eq", "ne"):
            inside = left.low <= option <= left.high
            found |= {True, False} if inside else {name == "ne"}
        elif name in OPERATORS:
            found |= {bool(OPERATORS[name](left.low, option)), bool(OPERATORS[name](left.high, option))}
    return frozenset(found) or EITHER
