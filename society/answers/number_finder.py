"""Finds the last number in a model's text."""

from __future__ import annotations

import re
import unicodedata

from society.answers.numbers import BENT, PLAIN

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_POWER = r"(?:[eE][-+]?[0-9]+(?![0-9.])|\s?(?:\N{MULTIPLICATION SIGN}|x|\*|\\times)\s?10\^\{?[-+]?[0-9]+\}?)"
_SIGNED = rf"(?:[-+])?(?:\\?[$€£]\s?(?:-)?)?(?:{_DIGITS})(?:{_POWER})?"
_FRACTION = rf"(?:\s?/\s?(?:{_DIGITS}))?"
_IN_TEXT = re.compile(
    r"(?<![\w).])[-+]?[0-9]+\s[0-9]+/[0-9]+(?![0-9])|"
    rf"(?<![\w)])(?<![0-9]\.){_SIGNED}{_FRACTION}|(?<![A-Za-z0-9_]){_DIGITS}"
)
_RAISED = ("\N{SUPERSCRIPT MINUS}", "\N{SUPERSCRIPT PLUS SIGN}", "\N{SUPERSCRIPT LEFT PARENTHESIS}")
_DECORATION = re.compile(r"[,$€£\\]|(?<=[^0-9])\s|\s(?=[^0-9])")


def find_last_number(text: str) -> str | None:
    """The last number in `text`, without separators, currency or percent signs; None if there is none.

    None also where a reader may see another: a power or fraction sign follows it (12\N{SUPERSCRIPT TWO}), digits of
    another script do, or signs that change the order of letters.
    """
    text = text.translate(PLAIN)
    last = None
    for match in _IN_TEXT.finditer(text):
        last = match
    if last and _is_doubtful(text, last):
        return None
    return _DECORATION.sub("", last[0].replace("\\times", "\N{MULTIPLICATION SIGN}")) if last else None


def _is_doubtful(text: str, number: re.Match[str]) -> bool:
    after = text[number.end() :]
    if unicodedata.category(after[:1] or " ") == "No" or after.startswith(_RAISED):
        return True
    if any(unicodedata.category(char) == "Nd" for char in after if not char.isascii()):
        return True
    return BENT.search(text[max(0, number.start() - 1) :]) is not None
