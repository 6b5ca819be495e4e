"""Grouping of answers into the classes that a vote counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence


def group(answers: Sequence[str], same: Callable[[str, str], bool]) -> list[list[int]]:
    """Return the indices of `answers`, one list per class, in the order of the first answer of each class.

    `same` must be symmetric but need not be transitive ("5 cm" and "$5" both equal "5"). The classes are its connected
    components, so they do not depend on the order of the answers.
    """
    classes: list[list[str]] = []
    for text in dict.fromkeys(answers):
        joined = [members for members in classes if any(same(member, text) for member in members)]
        apart = [members for members in classes if members not in joined]
        classes = [*apart, [*(member for members in joined for member in members), text]]
    places = {text: number for number, members in enumerate(classes) for text in members}
    indices: dict[int, list[int]] = {}
    for index, answer in enumerate(answers):
        indices.setdefault(places[answer], []).append(index)
    return list(indices.values())


def choose_spelling(answers: Sequence[str]) -> str:
    """Return the answer that stands for a class of answers: the most frequent one, else the first by characters.

    It does not depend on the order of the answers, so neither does a verdict on it.
    """
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))
