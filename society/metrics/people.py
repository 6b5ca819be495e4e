"""The part of people in a run: their turns, their time, and the defaults that were taken in their place."""

from __future__ import annotations

from society.core.plain import count, duration
from society.core.types import Usage


def describe_people(turns: int, usage: Usage) -> str:
    """Return the turns of people and their time in words; "" without any."""
    if not turns:
        return ""
    late = f"; {usage.defaults:,} of them the default, as the time was over" if usage.defaults else ""
    return f"{count(turns, 'turn')} in {duration(usage.person_seconds)}{late}"
