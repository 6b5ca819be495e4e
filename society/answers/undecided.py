"""Comparisons of answers that were given up: counted and shown, never silently false."""

from __future__ import annotations

from collections.abc import Iterable

MAX_PAIRS = 10_000
"""Maximum number of remembered comparisons; beyond it the oldest are forgotten."""

_pairs: dict[tuple[str, str], None] = {}


def note(a: str, b: str) -> None:
    """Remember that nobody knows whether `a` and `b` are the same answer; they count as different."""
    _pairs[min(a, b), max(a, b)] = None
    while len(_pairs) > MAX_PAIRS:
        del _pairs[next(iter(_pairs))]


def undecided_with(answer: str, others: Iterable[str]) -> list[str]:
    """Return those of `others` whose comparison with `answer` was given up."""
    return [other for other in others if (min(answer, other), max(answer, other)) in _pairs] if _pairs else []
