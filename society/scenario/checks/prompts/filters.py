"""The results of filters, tests and methods in templates, by the possible values that they are given."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from society.core.problems import find_near
from society.core.templating.prompts import list_filters
from society.scenario.checks.prompts.log import Fault
from society.scenario.checks.prompts.possible import (
    EITHER,
    FLAG,
    NUMBER,
    TEXT,
    UNKNOWN,
    Truth,
    Value,
    compute,
    join,
    listed,
    number,
)

if TYPE_CHECKING:
    from society.scenario.checks.prompts.expressions import Expressions


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TEXT_METHODS = _words(
    "capitalize casefold center count endswith expandtabs find format index isalnum isalpha isascii isdecimal "
    "isdigit islower isnumeric isspace istitle isupper join ljust lower lstrip partition removeprefix "
    "removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase "
    "title upper zfill"
)
MAPPING_METHODS = _words("copy get items keys values")
LIST_METHODS = _words("copy count index")
ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "%": operator.mod,
    "/": operator.truediv,
    "//": operator.floordiv,
}
_TO_TEXT = _words(
    "capitalize center e escape filesizeformat format forceescape indent join lower pprint replace safe string "
    "striptags title tojson trim truncate upper urlencode urlize wordwrap xmlattr"
)
_SAME_LIST = _words("list reverse sort unique select reject")
_BY_ATTRIBUTE = _words("selectattr rejectattr")
_KINDS = {"mapping": ("record",), "string": ("text",), "number": ("number", "flag"), "boolean": ("flag",)}
"""Tests of a value's type, with the kinds for which they hold."""
_PURE: Mapping[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "capitalize": str.capitalize,
    "trim": str.strip,
    "strip": str.strip,
}
"""Filters and methods of texts that are computed for each possible text."""


def attributes(value: Value) -> frozenset[str] | None:
    """Return the methods that a value has beside its fields; None if they are not known."""
    if value.kind == "text":
        return TEXT_METHODS
    if value.kind == "list":
        return LIST_METHODS
    if value.kind in ("number", "flag"):
        return frozenset()
    return MAPPING_METHODS if value.kind == "record" else None


def test(name: str, value: Value, undefined: bool) -> Truth:
    """Return the possible results of `value is name`. `undefined`: the value is an attribute that does not exist."""
    if name in ("defined", "undefined"):
        known = undefined or value.kind != ""
        return frozenset((undefined == (name == "undefined"),)) if known else EITHER
    if name == "none" and value.kind:
        may = value.none or value.kind == "none" or None in (value.options or ())
        if value.kind == "none" or (value.options is not None and set(value.options) == {None}):
            return frozenset((True,))
        return EITHER if may else frozenset((False,))
    if name in _KINDS and value.kind and not value.none:
        return frozenset((value.kind in _KINDS[name],))
    if name in ("odd", "even") and value.kind == "number":
        found = compute(lambda one: (one % 2 == 1) == (name == "odd"), value)
        return EITHER if found is None else frozenset(found)
    return EITHER


def apply(
    walk: Expressions, node: nodes.Filter, value: Value, given: Sequence[Value], named: Mapping[str, Value]
) -> Value:
    """Return the possible results of a filter."""
    name, where = node.name, node.name
    attribute = _literal(named.get("attribute"))
    if name in ("length", "count"):
        most = value.most if value.kind == "list" else None
        return number(range(most + 1), source=f"{value.source} | length") if most is not None else NUMBER
    if name in _BY_ATTRIBUTE or name in ("sort", "groupby", "unique", "sum", "min", "max"):
        attribute = attribute or (_literal(given[0]) if given and name not in ("sort", "unique", "min", "max") else "")
    if attribute and value.kind == "list":
        _check_attribute(walk, node, value, attribute)
    if name == "map" and value.kind == "list":
        return _map(walk, node, value, attribute, given)
    if value.kind == "text" and name == "join":
        walk.fault(
            node, where, f"`{value.source or 'this'}` is a text, so the filter 'join' separates its letters; remove it"
        )
    if name == "join" and value.kind == "list" and not attribute and _is_record(value.item):
        part = 'map(attribute="text")' if "text" in (value.item or UNKNOWN).fields else 'map(attribute="answer")'
        walk.fault(node, where, f"joins records in Python's form; write | {part} | join")
    if name in _PURE and value.kind == "text" and value.options is not None and not given:
        return replace(
            value, options=tuple(_PURE[name](one) for one in value.options if one is not None), literal=False
        )
    if name in _TO_TEXT:
        if value.kind in ("list", "record") and name in (
            "upper",
            "lower",
            "title",
            "capitalize",
            "trim",
            "replace",
            "truncate",
        ):
            walk.fault(
                node, where, f"`{name}` is for texts, and `{value.source or 'this'}` is none; choose a part of it"
            )
        return TEXT
    if name in ("int", "float", "round", "abs", "sum", "wordcount"):
        return NUMBER
    if name in _SAME_LIST or name in _BY_ATTRIBUTE:
        return replace(value, options=None, literal=False) if value.kind == "list" else UNKNOWN
    if name in ("first", "last", "min", "max") and value.kind == "list":
        return value.item or UNKNOWN
    if name in ("default", "d"):
        return join([value, *given[:1]]) if given and value.kind == given[0].kind else UNKNOWN
    return UNKNOWN


def _map(walk: Expressions, node: nodes.Filter, value: Value, attribute: str, given: Sequence[Value]) -> Value:
    if attribute:
        return listed((value.item or UNKNOWN).fields.get(attribute, UNKNOWN), value.most)
    what = _literal(given[0]) if given else ""
    if what and what not in list_filters():
        item = value.item or UNKNOWN
        meant = f'write map(attribute="{what}")' if what in item.fields else "name a filter, or attribute=..."
        walk.fault(node, what, f"there is no filter {what!r} for 'map'; {meant}", error=True)
    return listed(UNKNOWN, value.most)


def _check_attribute(walk: Expressions, node: nodes.Filter, value: Value, attribute: str) -> None:
    item = value.item or UNKNOWN
    if item.kind == "record" and item.fields and attribute.partition(".")[0] not in item.fields:
        own = tuple(item.fields)
        noun = item.noun or f"an item of `{value.source}`"
        near = find_near(attribute, own)
        walk.fault(node, attribute, f"{noun} has no {attribute!r}", error=True, allowed=own, suggestion=near)
    elif item.kind == "text":
        message = f"`{value.source or 'this'}` is a list of texts, which have no {attribute!r}; remove the attribute"
        walk.fault(node, attribute, message, error=True)


def call(walk: Expressions, node: nodes.Call, value: Value, method: str, given: Sequence[Value]) -> Value:
    """Return the possible results of a method of a text, a list or a mapping."""
    if method == "get" and value.kind == "record":
        key = _literal(given[0]) if given else ""
        near, own = find_near(key, value.fields), tuple(value.fields)
        message = f"{value.noun or 'the mapping'} has no field {key!r}"
        fault = Fault(node.lineno, key, message, allowed=own, suggestion=near)
        walk.use_if(node.node, bool(key and near) and key not in {*value.fields, *value.optional}, fault)
        return value.fields.get(key, UNKNOWN)
    if value.kind != "text":
        return UNKNOWN
    if method in _PURE and value.options is not None and not given:
        return replace(value, options=tuple(_PURE[method](one) for one in value.options if one is not None))
    if method in ("startswith", "endswith") and given and value.options is not None and given[0].options is not None:
        return _starts(walk, node, value, method, given[0])
    if method.startswith(("is", "starts", "ends")):
        return FLAG
    if method in ("split", "rsplit", "splitlines"):
        return listed(TEXT)
    return NUMBER if method in ("count", "find", "index", "rfind", "rindex") else TEXT


def _starts(walk: Expressions, node: nodes.Call, value: Value, method: str, given: Value) -> Value:
    options = [str(one) for one in given.options or ()]
    work = str.startswith if method == "startswith" else str.endswith
    truth = frozenset(work(str(one), tuple(options)) for one in value.options or ())
    if given.literal:
        walk.record_call(node, method, given, value, truth)
    return Value("flag", tuple(truth))


def show_list(value: Value) -> str:
    """Return how a template shows a list."""
    name = value.source or "LIST"
    if _is_record(value.item):
        part = "text" if "text" in (value.item or UNKNOWN).fields else "answer"
        return f"write {{% for one in {name} %}}{{{{ one.{part} }}}}{{% endfor %}}"
    return f'write {{{{ {name} | join(", ") }}}}'


def _is_record(value: Value | None) -> bool:
    return value is not None and value.kind == "record" and not value.plain


def _literal(value: Value | None) -> str:
    """Return a text that the template states, or ""."""
    if value is None or not value.literal or value.kind != "text" or not value.options:
        return ""
    return str(next(iter(value.options)))
