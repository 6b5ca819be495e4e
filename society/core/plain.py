"""Values and texts in a plain form: what JSON can hold, and what fits on a line.

to_plain    dataclasses, mappings and numbers as JSON data
shorten     a text on one line of limited length
count       a number with its noun
list_names  names in words
list_some   the number of names and the first of them
duration    seconds in words
dollars     an amount of money
storable    a text without characters that stores refuse
name_path   a path as one writes it in the current folder
natural_order  a sort key of names with numbers
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import zip_longest
from math import floor, isfinite, log10
from pathlib import Path
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def to_plain(value: Any, digits: int | None = None) -> Any:
    """Return a value as JSON data: dataclasses as dictionaries with their `share`, if any, and keys as strings.

    A number that JSON lacks (NaN, infinity) becomes None. With `digits`, real numbers are rounded to that many places.
    """
    if isinstance(value, float):
        if not isfinite(value):
            return None
        return value if digits is None else round(value, digits)
    if is_dataclass(value):
        plain = {field.name: to_plain(getattr(value, field.name), digits) for field in fields(value)}
        return {"share": to_plain(value.share, digits), **plain} if hasattr(value, "share") else plain
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, digits) for key, item in value.items()}
    return [to_plain(item, digits) for item in value] if isinstance(value, list | tuple) else value


def shorten(text: str, length: int) -> str:
    """Return the text on one line of at most `length` characters; an ellipsis replaces the rest."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def storable(text: str) -> str:
    """Return the text with U+FFFD in place of NULs and lone surrogates, which stores, tokenizers and pages refuse."""
    return text if text.isprintable() else _UNSTORABLE.sub("\ufffd", text)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 question`, `2 questions`, `1 reply`, `2 replies`."""
    several = f"{noun[:-1]}ies" if noun.endswith("ply") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else several}"


def list_names(names: Sequence[str], noun: str) -> str:
    """Return up to three names in words (`a, b and c`), or else their number with the noun."""
    if len(names) > 3:
        return count(len(names), noun)
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def list_some(names: Sequence[str], most: int = 12) -> str:
    """Return names in words (`a, b`); of more than `most`, their number and the first: `15: a, b, ... and 3 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{len(names):,}: {', '.join(names[:most])} and {len(names) - most:,} more"


def duration(seconds: float) -> str:
    """Return a time in words, in the unit that suits: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def dollars(amount: float) -> str:
    """Return an amount of money with its first digits that are not zero: `$1,234.5000`, `$0.0012`, `$0.0000034`."""
    places = 4 if not 0 < abs(amount) < 0.001 else 1 - floor(log10(abs(amount)))
    return f"${amount:,.{places}f}"


def name_path(path: Path) -> str:
    """Return a path relative to the current folder where it leads into it, else as it is."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def natural_order(text: str) -> tuple[tuple[str, int], ...]:
    """Return a sort key that puts "trivia-2" before "trivia-10": words as text, numbers as numbers."""
    parts = re.split(r"([0-9]{1,18})", text)
    return tuple((words, int(number or 0)) for words, number in zip_longest(parts[::2], parts[1::2]))
