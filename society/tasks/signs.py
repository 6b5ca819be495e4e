"""The decimal sign of the true answers of a data set, where some of them leave it open: 3,125 is 3.125 or 3125."""

from __future__ import annotations

from collections.abc import Iterator

from society.answers.decimals import find_sign, with_points
from society.components.facts import Remark
from society.core.errors import InputError
from society.tasks.base import Task


def asks_for_sign(task: Task) -> bool:
    """Return whether the true answers of a task are numbers, and the scenario does not name their decimal sign."""
    return task.format.equal == "numeric" and task.answer.decimal is None


class SignFinder:
    """Finds out whether numbers have a decimal comma. `add` receives each true answer that is a text."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str]] = {}

    def add(self, where: str, text: str) -> None:
        """Read the sign of a true answer. `where` names its row in errors."""
        if sign := find_sign(text):
            self._first.setdefault(sign, (where, text))

    def check(self) -> None:
        """Raise `InputError` for a number that may have a decimal comma, as others surely have."""
        if "either" in self._first and "comma" in self._first:
            where, text = self._first["either"]
            sure, other = self._first["comma"]
            raise InputError(
                f"{where}: the true answer {text!r:.60} is {_both(text)}: {other!r:.60} ({sure}) has a decimal comma.",
                "Set `task.answer.decimal` to comma or point.",
                ("answer",),
            )

    def remarks(self) -> Iterator[str]:
        """Yield the reading of numbers whose sign is open, where no other number shows it."""
        if [*self._first] == ["either"]:
            where, text = self._first["either"]
            yield Remark(
                f"true answers such as {text!r:.60} ({where}) are {_both(text)}, and the former is used; "
                "set `answer.decimal` to point or comma",
                ("answer",),
            )


def _both(text: str) -> str:
    return f"{with_points(text, 'point').replace(',', '')!r:.60} or {with_points(text, 'comma')!r:.60}"
