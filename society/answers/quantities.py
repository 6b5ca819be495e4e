r"""Numbers with words and units around them: `18 eggs`, `x = 18`, `9\text{ cm}^2`, `$18 per day`, `10:30 am`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from society.answers.lazy_pattern import compile_later
from society.answers.numbers import CURRENCY, NUMERAL, Numeral, close, read_numeral, spell_plainly, unwrap
from society.answers.units import Unit, read_unit

MAX_LENGTH = 200
EXACT = 2**53
"""Number below which a float holds every whole number."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, as far as it is known."""

    numeral: Numeral
    unit: Unit


_WORD_LABEL = r"[^=<>0-9]*[:\N{FULLWIDTH COLON}]|[^=<>0-9:,;]*\b(?:is|are|equals|of|be)\b"
_LABEL = compile_later(rf"(?:(?:[^=<>]*[^=<>!:\\])?=|{_WORD_LABEL})(?P<rest>[^=<>:]*)", re.I)
_LABEL_WITHOUT_EQUATION = compile_later(rf"(?:{_WORD_LABEL})(?P<rest>[^=<>:]*)", re.I)
_NEGATION = compile_later(r"\b(?:not|isn't|never|no|least|most|than|between|or|half|third|quarter)\b", re.I)
_ABOUT = compile_later(
    r"(?:\\approx|\\sim|[≈~]|(?:about|around|approximately|approx\.?|roughly|nearly|exactly|only|just)\b)\s*", re.I
)
_MARKED = compile_later(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|mbox|rm|bf|operatorname)\s*\{([^{}]*)\}")
_CODES = r"US\s?\$|[A-Z]{2}\$|USD|EUR|GBP|INR|JPY|Rs\.?|[" + re.escape(CURRENCY) + "]"
_QUANTITY = compile_later(
    rf"(?P<sign>[-+]|(?:minus|negative)\s)?\s?(?P<before>{_CODES})?\s?(?P<minus>-)?\s?(?P<number>{NUMERAL})"
    r"(?P<ordinal>(?:st|nd|rd|th)\b)?(?P<after>.*)",
    re.DOTALL,
)


def read_number(text: str) -> float | None:
    """Return the value of the number in `text`, without its unit, or None. A number too large for a float is None."""
    quantity = read_quantity(text)
    try:
        return None if quantity is None else float(quantity.numeral.value)
    except OverflowError:
        return None


def write_number(value: float) -> str:
    """Return a number as an answer: a whole number with all its digits, another one with 12 significant digits."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < EXACT else f"{value:.12g}"


@lru_cache(maxsize=4096)
def read_quantity(text: str, variables: bool = False) -> Quantity | None:
    """Return the number in `text`, with or without a unit or other words, or None.

    With `variables`, letters beside the number are factors unless they are marked as text or surely a unit.
    """
    if len(text) > MAX_LENGTH:
        return None
    plain = re.sub(r"(?<=\S)\s*(?:\\approx(?![a-zA-Z])|≈)", "=", unwrap(spell_plainly(text)))
    if variables and re.search(r"\\(?!text|math|mbox|frac|circ|approx|overline|bar|dot|rm|boxed|[%$])[a-zA-Z]", plain):
        return None
    return _read(_without_label(plain, _LABEL_WITHOUT_EQUATION if variables else _LABEL), variables)


def _without_label(text: str, pattern: re.Pattern[str]) -> str:
    """Return the text after "x =", "Answer:" or "the answer is", or all of `text` without such a label."""
    text = re.sub(r"[*_`]{1,3}(?=\S)(?=[^*_`]*[*_`]{1,3})", "", text) if text[:1] in "*_`" else text
    label = pattern.fullmatch(text)
    if label and not _NEGATION.search(text[: label.start("rest")]):
        text = unwrap(label["rest"].strip().strip("*").strip())
    return _ABOUT.sub("", text, count=1) if _ABOUT.match(text) else text


def _read(text: str, variables: bool) -> Quantity | None:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or (match["sign"] and match["minus"]):
        return None
    numeral = read_numeral(match["number"])
    before = read_unit(_code(match["before"] or ""))
    after = _read_after(match["after"], variables)
    unit = before.joined(after) if before and after else None
    if numeral is None or unit is None:
        return None
    negative = (match["sign"] or "+").strip() in ("-", "minus", "negative") or match["minus"]
    value = numeral.value * unit.scale
    return Quantity(Numeral(-value if negative else value, numeral.exact), unit)


def _code(code: str) -> str:
    """Return the currency sign of a country's dollar or a currency code."""
    return "$" if code.endswith("$") else code


def _read_after(text: str, variables: bool) -> Unit | None:
    r"""Return the text after a number as a unit. `\text{...}` contains words."""
    text = re.sub(r"\^?\s*\{?\s*\\circ\s*\}?", "°", text.rstrip().rstrip("."))
    marked = _MARKED.search(text) is not None
    words = re.sub(r"[()$]|\\\s", " ", _MARKED.sub(r" \1 ", text)) if text.count("(") == text.count(")") else text
    words = words.replace("\\%", "%")
    if text.rstrip().endswith("$") and not words.strip():
        return read_unit("$")
    if variables and not marked and not _is_surely_unit(words):
        return None
    return read_unit(words, bare_letters=marked or not variables or text[:1].isspace())


_ATTACHED = frozenset({"cm", "mm", "km", "kg", "ft", "mph", "am", "pm", "ml", "hz"})


def _is_surely_unit(words: str) -> bool:
    """Return whether letters after a number cannot be variables: `5 cm` and `18 eggs`, but neither `5xy` nor `3 ab`."""
    letters = [word for word in re.findall(r"[^\W\d_]+", re.sub(r"°\s?[CF]\b", "", words)) if word != "per"]
    if not letters:
        return True
    first = letters[0]
    if not words[:1].isspace() and words[:1] not in "°%/":
        return first.lower() in _ATTACHED
    if len(first) >= 3 and re.search("[aeiou]", first) and not set(first) <= set("abcdxyz"):
        return True
    unit = read_unit(first)
    return unit is not None and bool(unit.dimensions or unit.scale > 1)


_PERCENT = frozenset({("percent", 1)})


def same_quantity(a: Quantity, b: Quantity, tolerance: float) -> bool:
    """Return whether two quantities are equal. Without a known unit, only the numbers are compared.

    A percentage equals its number and its fraction: 50 % equals 50 and 0.5.
    """
    first, second = a.unit, b.unit
    exact = a.numeral.exact and b.numeral.exact
    x, y = a.numeral.value, b.numeral.value
    if first.dimensions and second.dimensions:
        if first.dimensions != second.dimensions:
            return _is_same_price(first, second) and _equal(x, y, exact, tolerance)
        if first.factor != second.factor:
            x, y = x * first.factor, y * second.factor
    elif _PERCENT in (first.dimensions, second.dimensions):
        share, other = (x, y) if first.dimensions else (y, x)
        return _equal(share, other, exact, tolerance) or _equal(share / 100, other, exact, tolerance)
    return _equal(x, y, exact, tolerance)


_MONEY = frozenset({("dollar", 1), ("euro", 1), ("sterling", 1), ("rupee", 1), ("yen", 1)})


def _is_same_price(a: Unit, b: Unit) -> bool:
    """Return whether both have the same currency and one of them omits the unit of the price ("per day")."""
    money = a.dimensions & b.dimensions & _MONEY
    rest = (a.dimensions - money, b.dimensions - money)
    return bool(money) and frozenset() in rest and all(power < 0 for part in rest for _, power in part)


def _equal(x: Fraction, y: Fraction, exact: bool, tolerance: float) -> bool:
    return x == y if exact else close(x, y, tolerance)
