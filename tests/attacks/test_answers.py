"""Answers that resemble others: for each trick, whether the two are equal, in both directions."""

from __future__ import annotations

import pytest

from society.answers.equal import EQUALITIES, same_choice, same_exact, same_numeric
from society.answers.extract import extract
from society.answers.mathematics import same_math

ZERO_WIDTH = "\N{ZERO WIDTH SPACE}"
OVERRIDE = "\N{RIGHT-TO-LEFT OVERRIDE}"
ISOLATE = "\N{RIGHT-TO-LEFT ISOLATE}"


def numeric(a: str, b: str) -> bool:
    return same_numeric(a, b, 1e-6)


@pytest.mark.parametrize(
    ("same", "a", "b", "expected"),
    [
        # What looks the same and means the same is equal.
        (numeric, "3", "\N{FULLWIDTH DIGIT THREE}", True),
        (numeric, "3", "\N{MATHEMATICAL BOLD DIGIT THREE}", True),
        (numeric, "34", f"3{ZERO_WIDTH}4", True),
        (numeric, "12", "1\N{SOFT HYPHEN}2", True),
        (numeric, "-3", "\N{MINUS SIGN}3", True),
        (same_exact, "Paris", f"Pa{ZERO_WIDTH}ris", True),
        (same_exact, "Paris", "\N{FULLWIDTH LATIN CAPITAL LETTER P}aris", True),
        (same_exact, "São", "Sa\N{COMBINING TILDE}o", True),
        (same_choice, "A", "\N{FULLWIDTH LATIN CAPITAL LETTER A}", True),
        (same_choice, "A", f"A{ZERO_WIDTH}", True),
        # What looks the same and is something else is not.
        (same_exact, "Paris", "P\N{CYRILLIC SMALL LETTER A}ris", False),
        (same_choice, "A", "\N{CYRILLIC CAPITAL LETTER A}", False),
        (same_choice, "B", "\N{GREEK CAPITAL LETTER BETA}", False),
        (same_choice, "I", "1", False),
        (numeric, "0", "O", False),
        (numeric, "10", "1\N{LATIN CAPITAL LETTER O}", False),
        # Digits of other scripts equal themselves alone.
        (numeric, "3", "\N{ARABIC-INDIC DIGIT THREE}", False),
        (numeric, "8", "\N{BENGALI DIGIT FOUR}", False),
        # A power is no digit.
        (same_exact, "102", "10\N{SUPERSCRIPT TWO}", False),
        (same_exact, "x2", "x\N{SUPERSCRIPT TWO}", False),
        (same_exact, "x2", "x\N{SUBSCRIPT TWO}", False),
        (numeric, "12", "1\N{SUPERSCRIPT TWO}", False),
        (numeric, "2", "\N{SUBSCRIPT TWO}", False),
        # What changes the order of letters equals itself alone: "123" is seen where 1, override, 32 is written.
        (numeric, "132", f"1{OVERRIDE}32", False),
        (numeric, "123", f"1{OVERRIDE}32", False),
        (same_exact, "abcd", f"ab{OVERRIDE}cd", False),
        (same_exact, "Paris", f"{OVERRIDE}siraP", False),
        (same_choice, "B", f"{OVERRIDE}B", False),
        (same_choice, "B", f"{ISOLATE}B", False),
        (lambda a, b: same_math(a, b), "x+12", f"x+1{OVERRIDE}2", False),
    ],
)
def test_whether_two_that_look_alike_are_equal(same, a: str, b: str, expected: bool) -> None:
    assert same(a, b) is expected
    assert same(b, a) is expected


@pytest.mark.parametrize("name", EQUALITIES)
@pytest.mark.parametrize(
    "text", [f"1{OVERRIDE}2", "10\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}", "\N{CYRILLIC CAPITAL LETTER A}"]
)
def test_every_answer_equals_itself(name: str, text: str) -> None:
    assert EQUALITIES[name](text, text, 1e-6)  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it is \N{FULLWIDTH DIGIT THREE}", "3"),
        (f"it is 3{ZERO_WIDTH}4", "34"),
        # Where a reader sees another number than the last one that is read, there is none.
        ("it is 10\N{SUPERSCRIPT TWO}", None),
        ("it is 5\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT ONE}", None),
        ("it is 3\N{VULGAR FRACTION ONE HALF}", "3 1/2"),
        ("not 5 but \N{ARABIC-INDIC DIGIT THREE}", None),
        (f"it is 1{OVERRIDE}32", None),
        (f"not 5 but {OVERRIDE}6", None),
        ("first \N{ARABIC-INDIC DIGIT THREE}, then 5", "5"),
        (f"{OVERRIDE}aside\N{POP DIRECTIONAL FORMATTING}, it is 5", "5"),
        ("an area of 5 m\N{SUPERSCRIPT TWO}", "5"),
    ],
)
def test_the_last_number_is_what_is_seen_or_none(text: str, found: str | None) -> None:
    assert extract(text, ["last_number"]) == found


@pytest.mark.parametrize("letter", ["\N{CYRILLIC CAPITAL LETTER A}", "\N{GREEK CAPITAL LETTER ALPHA}"])
def test_a_letter_that_looks_like_a_choice_is_none(letter: str) -> None:
    assert extract(f"The answer is {letter}.", ["choice"]) is None
