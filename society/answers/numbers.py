"""Numbers as people and models write them: where they stand in a text, and their exact value.

`$` and other currency signs, `%` and thousands separators are decoration: 50% is 50. No value is ever
computed by evaluating text.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

MAX_LENGTH = 200
"""Longer numerals have no value here: they are compared as text."""
MAX_EXPONENT = 400

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_POWER = r"(?:[eE][-+]?[0-9]+(?![0-9.])|\s?(?:\N{MULTIPLICATION SIGN}|x|\*|\\times)\s?10\^\{?[-+]?[0-9]+\}?)"
_SIGNED = rf"(?P<sign>[-+])?(?:\\?[$€£]\s?(?P<minus>-)?)?(?P<digits>{_DIGITS})(?P<power>{_POWER})?"
_FRACTION = rf"(?:\s?/\s?(?P<below>{_DIGITS}))?"
_MIXED = re.compile(r"(?P<sign>[-+])?(?P<whole>[0-9]+)\s+(?P<above>[0-9]+)/(?P<below>[0-9]+)\s*%?")
_IN_TEXT = re.compile(
    r"(?<![\w).])[-+]?[0-9]+\s[0-9]+/[0-9]+(?![0-9])|"
    rf"(?<![\w)])(?<![0-9]\.){_SIGNED}{_FRACTION}|(?<![A-Za-z0-9_]){_DIGITS}"
)
_WHOLE = re.compile(rf"\s*{_SIGNED}{_FRACTION}\s*(?:\\?[%$€£])?\s*\.?\s*")
_SAME_DIGITS = {
    ord(start) + i: str(i % 10) for start, count in (("\uff10", 10), ("\U0001d7ce", 50)) for i in range(count)
}
"""Digits that look like ASCII's: full-width ones and those of mathematical alphabets."""
_UNSEEN = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF))
_PLAIN = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{FRACTION SLASH}": "/"}) | _SAME_DIGITS | _UNSEEN
BENT = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""What makes text stand in another order than it is written: what is seen is not what is read."""
_RAISED = ("\N{SUPERSCRIPT MINUS}", "\N{SUPERSCRIPT PLUS SIGN}", "\N{SUPERSCRIPT LEFT PARENTHESIS}")
_DECORATION = re.compile(r"[,$€£\\]|(?<=[^0-9])\s|\s(?=[^0-9])")


def find_last_number(text: str) -> str | None:
    """The last number in `text`, without separators, currency or percent signs; None if there is none.

    None also where a reader may see another: a power or fraction sign follows it (12\N{SUPERSCRIPT TWO}), digits of
    another script do, or signs that change the order of letters.
    """
    text = text.translate(_PLAIN)
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


def parse_number(text: str) -> Fraction | None:
    """The exact value of `text` if the whole of it is a number, a fraction or a mixed number, else None."""
    text = text.translate(_PLAIN).strip()
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
