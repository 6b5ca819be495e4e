"""The exact values of numbers as people and models write them.

`$` and other currency signs, `%` and thousands separators are decoration: 50% is 50. No value is ever
computed by evaluating text.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_LENGTH = 200
"""Longer numerals have no value here: they are compared as text."""
MAX_EXPONENT = 400

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_POWER = r"(?:[eE][-+]?[0-9]+(?![0-9.])|\s?(?:\N{MULTIPLICATION SIGN}|x|\*|\\times)\s?10\^\{?[-+]?[0-9]+\}?)"
_SIGNED = rf"(?P<sign>[-+])?(?:\\?[$€£]\s?(?P<minus>-)?)?(?P<digits>{_DIGITS})(?P<power>{_POWER})?"
_FRACTION = rf"(?:\s?/\s?(?P<below>{_DIGITS}))?"
_MIXED = re.compile(r"(?P<sign>[-+])?(?P<whole>[0-9]+)\s+(?P<above>[0-9]+)/(?P<below>[0-9]+)\s*%?")
_WHOLE = re.compile(rf"\s*{_SIGNED}{_FRACTION}\s*(?:\\?[%$€£])?\s*\.?\s*")
_SAME_DIGITS = {
    ord(start) + i: str(i % 10) for start, count in (("\uff10", 10), ("\U0001d7ce", 50)) for i in range(count)
}
"""Digits that look like ASCII's: full-width ones and those of mathematical alphabets."""
_UNSEEN = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF))
PLAIN = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{FRACTION SLASH}": "/"}) | _SAME_DIGITS | _UNSEEN
BENT = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""What makes text stand in another order than it is written: what is seen is not what is read."""


def parse_number(text: str) -> Fraction | None:
    """The exact value of `text` if the whole of it is a number, a fraction or a mixed number, else None."""
    text = text.translate(PLAIN).strip()
    if len(text) > MAX_LENGTH:
        return None
    if mixed := _MIXED.fullmatch(text):
        below = int(mixed["below"])
        value = Fraction(int(mixed["above"]), below) + int(mixed["whole"]) if below else None
        return -value if value is not None and mixed["sign"] == "-" else value
    match = _WHOLE.fullmatch(text)
    return _value(match) if match else None


def close(a: Fraction, b: Fraction, tolerance: float) -> bool:
    """Whole numbers exactly, others if |a - b| <= tolerance * max(|a|, |b|). Symmetric."""
    if a.denominator == b.denominator == 1:
        return a == b
    return abs(a - b) <= max(abs(a), abs(b)) * Fraction(str(tolerance))


def _value(match: re.Match[str]) -> Fraction | None:
    exponent = int(re.split(r"[eE^]", match["power"])[-1].strip("{}")) if match["power"] else 0
    below = Fraction(match["below"].replace(",", "")) if match["below"] else Fraction(1)
    if abs(exponent) > MAX_EXPONENT or not below:
        return None
    value = Fraction(match["digits"].replace(",", "")) * Fraction(10) ** exponent / below
    return -value if "-" in (match["sign"], match["minus"]) else value
