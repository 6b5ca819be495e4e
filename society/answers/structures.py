r"""The outer form of an answer: words, a list, a set, a tuple or interval, a matrix, an equation, a time, a base.

All functions take text in the normal form of `society.answers.latex.simplify`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from society.answers.lazy_pattern import compile_later

_OPENING = compile_later(r"\\\{|\\langle(?![a-zA-Z])|[(\[{]")
_CLOSING = compile_later(r"\\\}|\\rangle(?![a-zA-Z])|[)\]}]")
_BEGIN = compile_later(r"\\begin\{[^{}]*\}")
_END = compile_later(r"\\end\{[^{}]*\}")
_JOINT = compile_later(r",?\s*(?:\\text\{(?:and|or|and\s*/\s*or)\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z]))\s*|[,;]\s*")
_RELATION = compile_later(r"<|>|\\(?:le|ge|ne|in|subset|subseteq|equiv|sim|cup|cap|mid|to)(?![a-zA-Z])")

Kind = Literal["list", "set", "tuple", "brackets", "half-open"]


@dataclass(frozen=True, slots=True)
class Collection:
    """Several answers in one: `1,2` (list), `\\{1,2\\}` (set), `(1,2)` (tuple), `[1,2]` (brackets), `[1,2)`."""

    kind: Kind
    brackets: str
    items: tuple[str, ...]


def split_top(text: str, separator: re.Pattern[str]) -> list[str]:
    """Split `text` at each match of `separator` that stands outside brackets and environments."""
    parts, start, place, depth = [], 0, 0, 0
    while place < len(text):
        if step := _nesting(text, place):
            depth += step[0]
            place = step[1]
        elif depth == 0 and (found := separator.match(text, place)) and found.end() > place:
            parts.append(text[start:place])
            start = place = found.end()
        else:
            command = re.compile(r"\\(?:text\{[^{}]*\}|[a-zA-Z]+|.)").match(text, place)
            place = command.end() if command else place + 1
    return [*parts, text[start:]]


def _nesting(text: str, place: int) -> tuple[int, int] | None:
    """Return the change of depth by a bracket at `place`, and its end; None if there is no bracket."""
    for pattern, step in ((_BEGIN, 1), (_END, -1), (_OPENING, 1), (_CLOSING, -1)):
        if found := pattern.match(text, place):
            return step, found.end()
    return None


def enclosed(text: str) -> tuple[str, str, str] | None:
    """Return the outer brackets and their contents, if one pair encloses all of `text`."""
    opening = _OPENING.match(text)
    if opening is None or opening[0] == "{":
        return None
    depth, place = 0, 0
    while place < len(text):
        step = _nesting(text, place)
        depth += step[0] if step else 0
        end = step[1] if step else place + 1
        if step and depth == 0:
            return (opening[0], text[opening.end() : place], text[place:end]) if end == len(text) else None
        place = end
    return None


def read_collection(text: str) -> Collection | None:
    """Return `text` as a list, set, tuple or interval, or None."""
    if outer := enclosed(text):
        return _bracketed(*outer)
    items = _items(text)
    return Collection("list", "", items) if items and len(items) > 1 else None


def _bracketed(opening: str, inner: str, closing: str) -> Collection | None:
    items = _items(inner)
    if items is None or re.search(r"\\mid(?![a-zA-Z])|(?<!\|)\|[^|]*$|:", inner):
        return None
    pair = opening + closing
    if pair == r"\{\}":
        return Collection("set", pair, items)
    if pair in ("()", r"\langle\rangle"):
        return Collection("tuple", "()", items) if len(items) > 1 else None
    if pair == "[]":
        return Collection("brackets", pair, items)
    return Collection("half-open", pair, items) if len(items) == 2 and pair in ("[)", "(]") else None


def _items(text: str) -> tuple[str, ...] | None:
    """Return the items between the commas of `text`, with each `\\pm` as two items; None if an item is empty."""
    items = [item.strip() for item in split_top(text, _JOINT)]
    if not all(items):
        return None
    return tuple(spelled for item in items for spelled in spell_signs(item))


def spell_signs(item: str) -> Iterator[str]:
    r"""Yield the two values of an item with `\pm`; any other item as it is."""
    if re.search(r"\\(?:pm|mp)(?![a-zA-Z])", item):
        for plus, minus in (("+", "-"), ("-", "+")):
            text = re.sub(r"\\mp(?![a-zA-Z])\s*", minus, re.sub(r"\\pm(?![a-zA-Z])\s*", plus, item))
            yield re.sub(r"(^|[=(,])\+", r"\1", text)
    else:
        yield item


_MATRIX = compile_later(
    r"\\begin\{(?P<kind>[pbvBV]?(?:small)?matrix\*?|array)\}(?:(?<=array\})\{[^{}]*\})?(?P<body>.*)\\end\{(?P=kind)\}",
    re.DOTALL,
)


def read_matrix(text: str) -> list[list[str]] | None:
    """Return the rows of cells if `text` is a matrix; None for a determinant or other text."""
    outer = enclosed(text)
    match = _MATRIX.fullmatch(outer[1] if outer and outer[0] in "([" else text)
    if match is None or match["kind"][0] in "vV" or "\\begin" in match["body"]:
        return None
    rows = [row.strip() for row in re.sub(r"\\hline", "", match["body"]).split(r"\\")]
    return [[cell.strip() for cell in row.split("&")] for row in rows if row]


_WORD = compile_later(r"[^\W\d_]+(?:[-'\N{RIGHT SINGLE QUOTATION MARK} ][^\W\d_]+)*")


def read_words(text: str) -> str | None:
    """Return `text` as words, for comparison, or None if it may be a formula.

    Letters that are not marked as text are words if they spell one: `BAC` and `east` do, `xy` and `abc` are products.
    """
    marked = re.fullmatch(r"\\text\{([^{}]*)\}", text)
    words = (marked[1] if marked else text).strip(" .!?'\"")
    if not _WORD.fullmatch(words) or not (marked or _spells_words(words)):
        return None
    folded = re.sub(r"[- ]+", " ", words).casefold().strip()
    return re.sub(r"^(?:the|an?) (?=..)", "", folded)


def _spells_words(text: str) -> bool:
    letters = re.findall(r"[^\W\d_]+", text)
    return any(len(word) >= 2 for word in letters) and all(_spells_word(word) for word in letters)


def _spells_word(word: str) -> bool:
    if len(word) >= 4 or (len(word) == 3 and word.isupper()):
        return True
    vowels = set(word.lower()) & set("eiou") if word != "i" else set()
    return len(word) == 1 or bool(vowels) or (len(word) == 3 and not set(word) <= set("abcdxyz") and "a" in word)


_BASE = compile_later(
    r"(?P<sign>-?)(?:\{|\()?(?P<digits>[0-9A-Za-z]*[0-9][0-9A-Za-z]*(?:\.[0-9A-Z]+)?)(?:\}|\))?"
    r"(?:_\{?(?P<base>[0-9]{1,2}|\\text\{[a-z]+\}|[a-z]{3,})\}?"
    r"|\s?\\text\{\(?(?:in )?base (?P<word>\w+)\)?\}|\s?\(?base (?P<plain>\w+)\)?)"
)
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
_BASES |= {"ten": "10", "twelve": "12", "sixteen": "16"}


def read_based(text: str) -> tuple[str, str] | None:
    """Return the digits and the base of a number such as `101_2`; None for other text."""
    match = _BASE.fullmatch(text)
    if match is None:
        return None
    base = re.sub(r"\\text\{|\}", "", match["base"] or match["word"] or match["plain"])
    return match["sign"] + (match["digits"].upper().lstrip("0") or "0"), _BASES.get(base, base)


_TIME = compile_later(
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?\s*(?:\\text\{\s?)?(?P<half>[ap]\.?m\.?)?\}?",
    re.I,
)


def read_time(text: str) -> tuple[tuple[int, ...], str] | None:
    """Return hour, minute, second, and "a", "p" or "" for the half of the day; None if `text` is not a time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    parts = (int(match["hour"]), int(match["minute"]), int(match["second"] or 0))
    return parts, (match["half"] or "")[:1].lower()


@dataclass(frozen=True, slots=True)
class Assignment:
    """An assignment `label = value`, whose answer is the value."""

    label: str
    value: str


_LABEL = compile_later(
    r"[a-zA-Z](?:_\{?\w+\}?)?'*|\\[a-zA-Z]+(?:_\{?\w+\}?)?|[a-zA-Z](?:\^\{?-1\}?)?'*\([a-z](?:,[a-z])*\)|\\text\{[^{}]*\}(?:\([^()]*\))?"
    r"|[a-zA-Z]{2,}(?: [a-zA-Z]+)*|\\(?:angle|triangle|overline|widehat|vec)\s?\{?[a-zA-Z]+\}?|\|[a-zA-Z]+\|"
    r"|\([a-zA-Z](?:_\{?\w\}?)?(?:,[a-zA-Z](?:_\{?\w\}?)?)*\)|[a-zA-Z]\\circ\s?[a-zA-Z]\([a-z]\)|[a-zA-Z]\([a-zA-Z]\)"
)
_EQUALS = compile_later(r"==?|\\approx(?![a-zA-Z])")


def read_assignment(text: str) -> Assignment | None:
    """Return label and value of `x=5`, `5=x` or `f(x)=2x`; None for a formula, another equation or an inequality."""
    parts = [part.strip() for part in split_top(text, _EQUALS)]
    if len(parts) < 2 or not all(parts) or any(_RELATION.search(part) for part in parts):
        return None
    if _LABEL.fullmatch(parts[0]) or not re.search(r"[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", parts[0])):
        return Assignment(parts[0], parts[-1])
    if len(parts) == 2 and _LABEL.fullmatch(parts[1]):
        return Assignment(parts[1], parts[0])
    return None


def has_relation(text: str) -> bool:
    """Return whether `text` holds an equation, an inequality or a relation of sets."""
    return "=" in text or _RELATION.search(text) is not None


_TRAILING_WORDS = compile_later(
    r"(?P<body>.+?)\s*(?P<words>(?:/?\s*\\text\{[^{}]*\}(?:\^\{?[1-9]\}?)?\s*)+|(?<=[0-9)}\]i])°)", re.DOTALL
)


_TRIGONOMETRIC = compile_later(r"\\(?:sin|cos|tan|sec|csc|cot)(?![a-zA-Z])")


def split_unit(text: str) -> tuple[str, str] | None:
    r"""Return formula and unit of `3\sqrt{2}\text{cm}`; None if no words follow a formula."""
    match = _TRAILING_WORDS.fullmatch(text)
    if match is None or (match["words"] == "°" and _TRIGONOMETRIC.search(match["body"])):
        return None
    return match["body"], re.sub(r"\\text\{([^{}]*)\}", r" \1 ", match["words"]).strip()
