"""Regular expressions from scenarios: compiled with limits, and searched with a time limit."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Annotated, Any

from pydantic import AfterValidator

from society.core.errors import SlowPatternError

LONGEST_PATTERN = 1_000
"""Maximum length of a pattern, in characters."""
MOST_REPEATS = 100_000
"""Maximum product of the counted repeats of a pattern. Nested repeats are expanded in memory when it is compiled."""
MATCH_SECONDS = 0.5
"""Maximum seconds of a search."""


def compile_pattern(pattern: str, flags: int = 0) -> Any:
    """Return a compiled pattern of the package `regex`, whose searches accept a `timeout`.

    Raises `ValueError` for an invalid or too large pattern.
    """
    import regex

    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"is longer than {LONGEST_PATTERN:,} characters")
    if prod(max(1, int(number[:9])) for number in regex.findall(r"[0-9]+(?=\s*,?\s*\})", pattern)) > MOST_REPEATS:
        raise ValueError(f"has counted repeats with a product above {MOST_REPEATS:,}")
    try:
        return regex.compile(pattern, flags)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"is not a regular expression: {error or 'it is too large'}") from None


_compile = lru_cache(maxsize=256)(compile_pattern)


def search(pattern: str, text: str, ignore_case: bool = False) -> Any:
    """Return the first match of a pattern in `text`, or None.

    Raises `SlowPatternError` after `MATCH_SECONDS`, as a pattern may backtrack for a long time in a model's text.
    """
    import regex

    try:
        return _compile(pattern, regex.IGNORECASE if ignore_case else 0).search(text, timeout=MATCH_SECONDS)
    except TimeoutError:
        raise SlowPatternError(pattern, MATCH_SECONDS) from None


def search_last(pattern: str, text: str) -> Any:
    """Return the last match of a pattern in `text`, or None. Raises `SlowPatternError` after `MATCH_SECONDS`."""
    last = None
    try:
        for match in _compile(pattern).finditer(text, timeout=MATCH_SECONDS):
            last = match
    except TimeoutError:
        raise SlowPatternError(pattern, MATCH_SECONDS) from None
    return last


def _check(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


Pattern = Annotated[str, AfterValidator(_check)]
"""A regular expression in a scenario, for `search`."""
