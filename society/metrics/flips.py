"""Changes of answers between two points of a debate, whose sum is the change in accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields

from society.core.types import Same


@dataclass(frozen=True, slots=True)
class Flips:
    """Numbers of answers by their state before and after. `unread` is no answer: unreadable, failed or undecided.

    `unread` alone counts those without an answer before and after. Every answer is in exactly one field, so `gained -
    lost` is the change of the number of right answers.
    """

    kept_right: int = 0
    kept_wrong: int = 0
    right_to_wrong: int = 0
    wrong_to_right: int = 0
    wrong_to_wrong: int = 0
    right_to_unread: int = 0
    wrong_to_unread: int = 0
    unread_to_right: int = 0
    unread_to_wrong: int = 0
    unread: int = 0

    @property
    def total(self) -> int:
        """Number of all answers."""
        return sum(getattr(self, field.name) for field in fields(self))

    @property
    def changed(self) -> int:
        """Number of changed answers, including changes from and to no answer."""
        return self.total - self.kept_right - self.kept_wrong - self.unread

    @property
    def gained(self) -> int:
        """Number of answers that are right after and were not before."""
        return self.wrong_to_right + self.unread_to_right

    @property
    def lost(self) -> int:
        """Number of answers that were right before and are not after."""
        return self.right_to_wrong + self.right_to_unread


def name_flip(before: str | None, after: str | None, right: tuple[bool, bool], same: Same) -> str:
    """Return the field of `Flips` for an answer before and after. `right` states whether each of them is right."""
    was, now = (
        "unread" if answer is None else _word(is_right) for answer, is_right in zip((before, after), right, strict=True)
    )
    if was != now:
        return f"{was}_to_{now}"
    if before is None or after is None:
        return "unread"
    if was == "wrong" and not same(before, after):
        return "wrong_to_wrong"
    return f"kept_{was}"


def _word(right: bool) -> str:
    return "right" if right else "wrong"


def count_names(names: Iterable[str]) -> Flips:
    """Return the `Flips` with these fields counted."""
    return Flips(**Counter(names))


def describe_flips(flips: Flips, missing: str = "unreadable") -> str:
    """Return the changes in words, as they add up: `missing` is the word for no answer.

    "24 of 120: 1 wrong to right, 1 right to wrong, 21 right to unreadable, 1 wrong to wrong; in all 21 fewer right"
    """
    always = (("wrong to right", flips.wrong_to_right), ("right to wrong", flips.right_to_wrong))
    sometimes = (
        (f"{missing} to right", flips.unread_to_right),
        (f"right to {missing}", flips.right_to_unread),
        ("wrong to wrong", flips.wrong_to_wrong),
        (f"wrong to {missing}", flips.wrong_to_unread),
        (f"{missing} to wrong", flips.unread_to_wrong),
    )
    parts = [*always, *((words, number) for words, number in sometimes if number)]
    listed = ", ".join(f"{number:,} {words}" for words, number in parts)
    return f"{flips.changed:,} of {flips.total:,}: {listed}; in all {_net(flips.gained - flips.lost)}"


def _net(change: int) -> str:
    if not change:
        return "as many right"
    return f"{abs(change):,} {'more' if change > 0 else 'fewer'} right"
