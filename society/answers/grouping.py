"""Groups answers into the classes that a vote counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def group(answers: Sequence[str], same: Callable[[str, str], bool]) -> list[list[int]]:
    """Indices of `answers`, one list per class, in the order in which classes were first seen.

    Each answer is compared with the first of each class so far and joins the first that it equals. That is
    deterministic even where `same` is not transitive (a tolerance, say).
    """
    classes: list[list[int]] = []
    for index, answer in enumerate(answers):
        found = next((members for members in classes if same(answers[members[0]], answer)), None)
        if found is None:
            classes.append([index])
        else:
            found.append(index)
    return classes
