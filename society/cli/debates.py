"""The debate that `society show` is asked for, by the id of its item or by its number in the list."""

from __future__ import annotations

from collections.abc import Sequence

from society.core.errors import InputError

LISTED = 6
"""Maximum number of numbers, and of ids, that a note lists."""


def find_debate(items: Sequence[str], item: str | None, number: int | None) -> tuple[int, str]:
    """Return the index of a debate among those on `items`, and a note if the user may have meant another, else "".

    `item` is an id and `number` counts from 1. If no item has a number as its id, `item` may also be a number of the
    list. Raises `InputError` if there is no such debate, or if the two options lead to different ones.
    """
    if item is None:
        return _by_number(items, number), ""
    found = [i for i, known in enumerate(items) if known == item]
    if number is not None:
        if _by_number(items, number) not in found:
            raise InputError(
                f"The debate with the number {number} is not on the item {item!r}.", "Give --item or --number alone."
            )
        return number - 1, ""
    if found:
        return found[0], _note(items, item, found)
    if not item.isdecimal() or any(known.isdecimal() for known in items):
        raise InputError(f"There is no item {item!r} in this run.", _remedy(items))
    if not 1 <= int(item) <= len(items):
        raise InputError(f"There is no debate {item!r} in this run.", _remedy(items))
    note = f"{item} is taken as the number of a debate, because no item has this id. It is the same as --number {item}."
    return int(item) - 1, note


def _by_number(items: Sequence[str], number: int | None) -> int:
    if number is None or not 1 <= number <= len(items):
        raise InputError(f"There is no debate with the number {number} in this run.", _remedy(items))
    return number - 1


def _note(items: Sequence[str], item: str, found: Sequence[int]) -> str:
    """Return a note on other debates that this id may mean."""
    if len(found) > 1:
        numbers = ", ".join(str(i + 1) for i in found[:LISTED]) + (", ..." if len(found) > LISTED else "")
        return f"{len(found)} debates are on the item {item!r}: this is the first. The others: --number {numbers}."
    place = int(item) if item.isdecimal() else 0
    if 1 <= place <= len(items) and items[place - 1] != item:
        return f"This is the item with the id {item!r}. For debate number {place} of the list, use --number {place}."
    return ""


def _remedy(items: Sequence[str]) -> str:
    if not items:
        return "No debate of this run is finished."
    ids = ", ".join(dict.fromkeys(items[: 2 * LISTED])) + (", ..." if len(items) > 2 * LISTED else "")
    return f"Give --number from 1 to {len(items)}, or --item with an id ({ids})."
