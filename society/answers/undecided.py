"""Undecided comparisons of answers, which are counted and reported instead of being silently false."""

from __future__ import annotations

from collections.abc import Iterable

MAX_PAIRS = 10_000
"""Maximum number of recorded comparisons. Beyond it, the oldest are removed."""

_pairs: dict[tuple[str, str], None] = {}


def note(a: str, b: str) -> None:
    """Record that the comparison of `a` and `b` is undecided. They count as different."""
    _pairs[min(a, b), max(a, b)] = None
    while len(_pairs) > MAX_PAIRS:
        del _pairs[next(iter(_pairs))]


def undecided_with(answer: str, others: Iterable[str]) -> list[str]:
    """Return the elements of `others` whose comparison with `answer` is undecided."""
    return [other for other in others if (min(answer, other), max(answer, other)) in _pairs] if _pairs else []
