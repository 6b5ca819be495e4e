"""Normalization: signs around an answer are removed as by a stepwise reference, in few passes."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from society.answers import equal

HEADING = re.compile(r"#{1,6}\s+|[:;]\s+")
FULL_STOP = re.compile(r"(?:(?<=[^\W\d_]{2})[.!?]+|(?<=[\w)\]}\"'%°])\.|[,;:])$")
MOST_PASSES = 40


class CountingPattern:
    """A pattern that counts how often it is matched against a whole text."""

    passes = 0

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def fullmatch(self, text: str) -> re.Match[str] | None:
        CountingPattern.passes += 1
        return self._pattern.fullmatch(text)


@pytest.mark.parametrize("text", [":", ",", ": ", "# ", ", ", ";:", ": ,", "a,", ".,", "*,", "'"])
def test_a_text_of_signs_is_passed_over_a_few_times(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(CountingPattern, "passes", 0)
    monkeypatch.setattr(equal, "_BRACKETED_WORDS", CountingPattern(equal._BRACKETED_WORDS))
    equal.normalise(text * (equal.MAX_LENGTH // len(text)))
    assert 0 < CountingPattern.passes <= MOST_PASSES


def strip_step_by_step(text: str) -> str:
    """Return the expected result of `society.answers.equal._strip`, by removing one sign at a time."""
    before = None
    while text != before:
        before = text
        text = HEADING.sub("", text, count=1) if HEADING.match(text) else text
        text = FULL_STOP.sub("", text).strip() or text
        for pattern in (*equal._MARKUP, equal._BRACKETED_WORDS):
            if match := pattern.fullmatch(text):
                text = match[1].strip() or text
    return text


@given(st.text(alphabet=": ;,.!?#*_'\"`()]ab5%\u00b2\u00e9\u4e2d", max_size=14))
@example(": ; :")
@example(": : a.,")
@example("ab\u00b2!")
@example("**(ab)!**, ; :")
def test_signs_are_removed_as_step_by_step(text: str) -> None:
    plain = " ".join(text.split())
    assert equal._strip(plain) == strip_step_by_step(plain)
