"""Which agents a text names: whole names only, so that "agent-10" does not name agent-1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

UNCLEAR = "No single speaker is named"
"""Begins the remark on a moderator's turn that names no speaker, or several."""


def find_names(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that the text mentions as whole words, each once, in the order of the text.

    A text that is a name, but for blanks, names that agent alone. Letter case decides only between names that differ
    in nothing else.
    """
    if text.strip() in names:
        return (text.strip(),)
    exact = set(names)
    lowered: dict[str, list[str]] = {}
    for name in names:
        lowered.setdefault(name.lower(), []).append(name)
    found: dict[str, None] = {}
    for match in _pattern(tuple(names)).findall(text):
        found.update(dict.fromkeys([match] if match in exact else lowered.get(match.lower(), ())))
    return tuple(found)


@lru_cache(maxsize=256)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Compile any of the names, the longest first; what surrounds it cannot belong to a longer name."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w]|-\w)", re.IGNORECASE)
