"""Finds the names of agents in a text. Only whole names count: "agent-10" does not name agent-1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

UNCLEAR = "No single speaker is named"
"""First words of the remark on a moderator's turn that names no speaker, or several."""
UNCLEAR_CHOICE = "No agent is named"
"""First words of the remark on a choice of agents that names none."""
TOO_MANY = "Too many agents are named"
"""First words of the remark on a choice of agents that names more than the maximum."""


def find_names(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that occur in the text as whole words, each once, in the order of the text.

    A text that equals a name, apart from blanks, names only that agent. Letter case matters only for names that do not
    differ otherwise.
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
    """Return a pattern for any of the names, the longest first; the characters around it belong to no longer name."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w]|-\w)", re.IGNORECASE)
