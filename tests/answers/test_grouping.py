"""Classes of answers do not depend on the order of the answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from society.answers import choose_spelling, group
from society.answers.format import AnswerFormat

UNITS = ("5 cm", "5", "$5", "5 hours", "6", "6 cm")


def classes(answers: list[str]) -> set[frozenset[str]]:
    same = AnswerFormat(equal="numeric").same
    return {frozenset(answers[index] for index in members) for members in group(answers, same)}


@given(st.lists(st.sampled_from(UNITS), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_answers_changes_no_class(answers: list[str], draw: object) -> None:
    shuffled = list(answers)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    assert classes(answers) == classes(shuffled)


def test_answers_that_equal_a_third_are_one_class() -> None:
    assert classes(["5 cm", "$5"]) == {frozenset({"5 cm"}), frozenset({"$5"})}
    assert classes(["5 cm", "$5", "5"]) == {frozenset({"5 cm", "$5", "5"})}


def test_indices_stand_in_the_order_of_first_sight() -> None:
    assert group(["b", "a", "b", "c", "a"], lambda one, other: one == other) == [[0, 2], [1, 4], [3]]


def test_the_most_frequent_spelling_stands_for_a_class() -> None:
    """Neither the order nor, in a tie, the first answer decides."""
    assert choose_spelling(["b", "a", "b"]) == choose_spelling(["a", "b", "b"]) == "b"
    assert choose_spelling(["b", "a"]) == choose_spelling(["a", "b"]) == "a"
