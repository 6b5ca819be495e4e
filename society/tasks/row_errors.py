"""Errors of rows in words: rows with the same error together, and all of them beside the first one."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from itertools import islice

from society.core.errors import InputError
from society.core.plain import count
from society.tasks.readers import AbsentFieldError

MOST_LINES = 10
"""Maximum number of rows with the same error that are named."""
MOST_OTHERS = 5
"""Maximum number of errors that are listed beside the first one."""
_NUMBER = re.compile(r"(:|, row )(\d+)$")


def gather(flaws: Iterable[InputError]) -> list[InputError]:
    """Return the errors of rows. Rows with the same error have one, with their number and the lines of the first."""
    rows: dict[Hashable, list[InputError]] = {}
    for flaw in flaws:
        same = flaw.known if isinstance(flaw, AbsentFieldError) else flaw.cause.partition(": ")[2] + flaw.remedy
        rows.setdefault((flaw.below, same), []).append(flaw)
    return [_join(*alike) for alike in rows.values()]


def _join(first: InputError, *others: InputError) -> InputError:
    """Return the error of rows that have the same one."""
    if not others:
        return first
    found = [_NUMBER.search(other.cause.partition(": ")[0]) for other in others[:MOST_LINES]]
    numbers = [match for match in found if match]
    named = ""
    if numbers:
        noun = ("line" if numbers[0][1] == ":" else "row") + "s" * (len(numbers) > 1)
        more = ", ..." if len(others) > MOST_LINES else ""
        named = f" ({noun} {', '.join(match[2] for match in numbers)}{more})"
    same = f"The same holds for {count(len(others), 'more row')}{named}."
    return InputError(first.cause, f"{first.remedy} {same}", first.below)


def add_others(error: InputError, flaws: Iterable[InputError]) -> InputError:
    """Return the error of the first row that cannot be used, with those of other rows in its remedy."""
    every = gather(flaws)
    first = next((flaw for flaw in every if flaw.cause == error.cause), error)
    others = [flaw.cause for flaw in every if flaw is not first]
    listed = "".join(f"\n  {cause}" for cause in islice(others, MOST_OTHERS))
    left = f"\n  ... and {len(others) - MOST_OTHERS:,} more; `society check` shows them" if others[MOST_OTHERS:] else ""
    also = f"\n  Other rows have errors, too:{listed}{left}" if others else ""
    return InputError(error.cause, f"{first.remedy}{also}", error.below)
