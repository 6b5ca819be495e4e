r"""Numbers with a decimal comma, such as 1,5 and 1.234,56, written with a decimal point.

Most numbers show their decimal sign: 1,5 and 0,125 have a decimal comma, 2.5 and 1,234.5 a decimal point. Where three
digits follow the only sign, as in 3,125 and 1.234, it may separate decimals or thousands.
"""

from __future__ import annotations

import re
from typing import Literal

from society.answers.lazy_pattern import compile_later

Decimal = Literal["point", "comma"]

_NUMBER = compile_later(
    r"(?<![\w.,(\[])(?P<whole>[0-9]+(?:\.[0-9]{3})*)(?P<sign>[.,])(?P<rest>[0-9]+)(?![0-9]|[.,][0-9])"
)


def find_sign(text: str) -> Decimal | Literal["either"] | None:
    """Return the decimal sign that the first number of a text shows, `either` if its sign may separate thousands.

    None: the text has no number with one sign.
    """
    match = _NUMBER.search(text)
    return None if match is None else _sign_of(match)


def _sign_of(number: re.Match[str]) -> Decimal | Literal["either"] | None:
    whole, sign, rest = number.groups()
    if "." in whole:
        return "comma" if sign == "," else None
    if len(rest) == 3 and len(whole) <= 3 and not whole.startswith("0"):
        return "either"
    return "comma" if sign == "," else "point"


def find_numeral(text: str, number: str) -> str:
    """Return how a text writes a number that was found in it, such as 3,125 for 3125; else the number itself."""
    numerals = (match[0] for match in reversed([*_NUMBER.finditer(text)]))
    same = (one for one in numerals if with_points(one, "point").replace(",", "") == number.lstrip("-"))
    return next(same, number)


def write_number(value: float, decimal: Decimal | None) -> str:
    """Return a number with this decimal sign, so that it is read as the same number: 1.234 or 1,234."""
    text = f"{value:g}" if value.is_integer() and abs(value) < 1e6 else str(value)
    return text.replace(".", ",") if decimal == "comma" else text


def with_points(text: str, decimal: Decimal) -> str:
    """Return a text whose numbers have decimal points. `decimal` is the sign of numbers that leave it open."""

    def write(number: re.Match[str]) -> str:
        whole, sign, rest = number.groups()
        found = _sign_of(number)
        if found == "comma" or (found == "either" and decimal == "comma" and sign == ","):
            return whole.replace(".", "") + "." + rest
        return whole + rest if found == "either" and decimal == "comma" else number[0]

    return _NUMBER.sub(write, text)
