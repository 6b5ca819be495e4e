"""Exact values of numbers in ordinary and LaTeX notation.

Currency signs, `%` and thousands separators are ignored: 50% is 50. The notations are decimal points, unambiguous
decimal commas, powers, fractions, mixed numbers, repeating decimals and those of LaTeX. No text is evaluated.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from society.answers.lazy_pattern import compile_later

MAX_LENGTH = 200
"""Maximum length of a numeral, in characters. Longer ones are compared as text."""
MAX_EXPONENT = 400
MAX_BASE_DIGITS = 12
"""Maximum number of digits of a number that is raised to a power."""

CURRENCY = "$€£¥₹₩₽₺₫₱฿₪"
_SAME_DIGITS = {
    ord(start) + i: str(i % 10) for start, count in (("\uff10", 10), ("\U0001d7ce", 50)) for i in range(count)
}
"""Translation of full-width and mathematical digits to ASCII."""
_UNSEEN = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF))
PLAIN = (
    str.maketrans(
        {
            "\N{MINUS SIGN}": "-",
            "\N{EN DASH}": "-",
            "\N{NON-BREAKING HYPHEN}": "-",
            "\N{FULLWIDTH HYPHEN-MINUS}": "-",
            "\N{FRACTION SLASH}": "/",
            "\N{DIVISION SLASH}": "/",
            "\N{FULLWIDTH FULL STOP}": ".",
            "\N{FULLWIDTH COMMA}": ",",
            "\N{FULLWIDTH PERCENT SIGN}": "%",
        }
    )
    | _SAME_DIGITS
    | _UNSEEN
)
BENT = compile_later("[\u202a-\u202e\u2066-\u2069]")
"""Matches characters that change the displayed order of text."""

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_LATEX = (
    (compile_later(r"\\(?:left|right|displaystyle|textstyle|bigl?|bigr)(?![a-zA-Z])|\\!\s*"), ""),
    (compile_later(r"\{\s*([,.])\s*\}"), r"\1"),
    (compile_later(r"\\[,;: ]|\\thinspace(?![a-zA-Z])|(?<!\\)~|[\u00a0\u2007-\u200a\u202f\u205f]"), " "),
    (compile_later(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (compile_later(r"\\(?:cdot|times)(?![a-zA-Z])|[\N{MULTIPLICATION SIGN}·∙⋅]"), "*"),
    (compile_later(r"\*\*(?=[\s{(+-]*[0-9])(?<=[0-9)\s]\*\*)"), "^"),
    (compile_later(rf"\\([%{re.escape(CURRENCY)}])"), r"\1"),
    (compile_later(r"[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+"), lambda raised: "^{" + raised[0].translate(_RAISED) + "}"),
)
_INTEGER = r"[0-9]+"
_DECIMAL = (
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?"  # 7,250.5
    r"|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?![0-9])(?:\.[0-9]+)?"  # 12,34,567
    r"|[0-9]{1,3}(?: [0-9]{3})+(?![0-9])(?:[.,][0-9]+)?"  # 48 000
    r"|[0-9]{1,3}(?:['\N{RIGHT SINGLE QUOTATION MARK}][0-9]{3})+(?![0-9])(?:\.[0-9]+)?"  # 1'000
    r"|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+|[0-9]{1,3}(?:\.[0-9]{3}){2,}(?![0-9])"  # 1.234,5 and 1.234.567
    r"|0,[0-9]+"
    r"|[0-9]*\.[0-9]*(?:\\(?:overline|bar)\s*\{[0-9]+\}|\\dot\s*\{?[0-9]\}?)"  # 0.\overline{3}
    r"|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
)
_EXPONENT = r"\^\s?(?:\{\s?([-+]?\s?[0-9]+)\s?\}|\(\s?([-+]?\s?[0-9]+)\s?\)|([-+]?[0-9]+))"
_SCIENTIFIC = compile_later(rf"({_DECIMAL})(?:[eE]([-+]?[0-9]+)|\s?[*x]\s?10\s?{_EXPONENT})")
_POWER = compile_later(rf"({_DECIMAL})\s?{_EXPONENT}")
_BRACKETED_POWER = compile_later(rf"[({{]\s?([-+]?)\s?({_DECIMAL})\s?[)}}]\s?{_EXPONENT}")
_FRACTION = compile_later(
    rf"\\frac\s*(?:\{{\s?([-+]?\s?{_DECIMAL})\s?\}}|([0-9]))\s*(?:\{{\s?([-+]?\s?{_DECIMAL})\s?\}}|([0-9]))"
)
_SLASHED = compile_later(rf"({_DECIMAL})\s?/\s?([-+]?{_DECIMAL})")
_MIXED = compile_later(rf"({_INTEGER})(?:\s+({_INTEGER})\s?/\s?({_INTEGER})|\s*(\\frac.+))")
_REPEATING = compile_later(r"([0-9]*)\.([0-9]*)\\(?:overline|bar|dot)\s*\{?([0-9]+)\}?")
NUMERAL = (
    rf"(?:[0-9]+\s+[0-9]+\s?/\s?[0-9]+|(?:[0-9]+\s*)?{_FRACTION.pattern}|{_BRACKETED_POWER.pattern}"
    rf"|{_SCIENTIFIC.pattern}|{_POWER.pattern}|{_SLASHED.pattern}|{_DECIMAL})"
)
"""Pattern of a number without its sign, after `spell_plainly`. It contains groups."""
_SIGNED = compile_later(rf"([-+]?)\s?[{re.escape(CURRENCY)}]?\s?([-+]?)\s?(.*)", re.DOTALL)
_TRAILING = compile_later(rf"(?<=[0-9)}}.])\s*[%{re.escape(CURRENCY)}]?\s*\.?\s*\Z")


@dataclass(frozen=True, slots=True)
class Numeral:
    """The value of a number. `exact`: the number has no decimal point and no exponent."""

    value: Fraction
    exact: bool


def parse_number(text: str) -> Fraction | None:
    """Return the exact value of `text` if all of it is a number, a fraction or a mixed number, else None."""
    numeral = read_numeral(text)
    return numeral.value if numeral else None


def read_numeral(text: str) -> Numeral | None:
    """Return `text` as a number, or None if it contains anything else."""
    if len(text) > MAX_LENGTH:
        return None
    text = _TRAILING.sub("", unwrap(spell_plainly(text)))
    signs = _SIGNED.fullmatch(text)
    if signs is None or (signs[1] and signs[2]):
        return None
    value = _unsigned(signs[3].strip())
    if value is None:
        return None
    rounded = re.search(r"[.eE]|0,[0-9]", text) and not _REPEATING.fullmatch(signs[3])
    return Numeral(-value if "-" in (signs[1], signs[2]) else value, exact=not rounded)


def spell_plainly(text: str) -> str:
    """Return `text` with LaTeX's and Unicode's spellings of digits, signs, spaces and fractions replaced."""
    text = text.translate(PLAIN)
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    if not text.isascii():
        text = re.sub(r"[\u00bc-\u00be\u2150-\u215e]", _spell_fraction, text)
    return text.strip()


def _spell_fraction(sign: re.Match[str]) -> str:
    return " " + unicodedata.normalize("NFKC", sign[0]).replace("\N{FRACTION SLASH}", "/")


_WRAPPED = compile_later(
    r"\$\$?(?P<dollars>[^$]+)\$?\$|\\\((?P<inline>.+)\\\)|\\\[(?P<display>.+)\\\]|\*\*(?P<bold>[^*]+)\*\*"
    r"|__(?P<underlined>[^_]+)__|\*(?P<italic>[^*]+)\*|`+(?P<code>[^`]+)`+|\"(?P<quoted>[^\"]+)\""
    r"|\\(?:boxed|fbox|text|mathrm|mathbf|textbf|mathit|mathsf|textit|textrm|mbox|bf|rm)\s*\{(?P<command>[^{}]*)\}"
    r"|\{(?P<braces>[^{},]*)\}|\((?P<round>[^(),]*)\)",
    re.DOTALL,
)


_AFTER_WRAPPING = compile_later(r"(?<=[*_`\"$)\]}])[.,;:]+$")


def unwrap(text: str) -> str:
    """Return `text` without outer delimiters, markup and brackets."""
    text = _AFTER_WRAPPING.sub("", text.strip())
    while wrapped := _WRAPPED.fullmatch(text):
        text = _AFTER_WRAPPING.sub("", str(wrapped[wrapped.lastgroup or 0]).strip())
    return text


def close(a: Fraction, b: Fraction, tolerance: float) -> bool:
    """Compare whole numbers exactly, others by |a - b| <= tolerance * max(|a|, |b|). Symmetric."""
    if a.denominator == b.denominator == 1:
        return a == b
    return abs(a - b) <= max(abs(a), abs(b)) * Fraction(str(tolerance))


def _unsigned(text: str) -> Fraction | None:
    """Return the value of a number without a sign, or None."""
    if re.fullmatch(_DECIMAL, text):
        return _decimal(text)
    if match := _SCIENTIFIC.fullmatch(text):
        return _times_ten(_decimal(match[1]), match[2] or match[3] or match[4] or match[5])
    if match := _POWER.fullmatch(text):
        return _raise(_decimal(match[1]), match[2] or match[3] or match[4])
    if match := _BRACKETED_POWER.fullmatch(text):
        base = _decimal(match[2])
        return _raise(-base if base and match[1] == "-" else base, match[3] or match[4] or match[5])
    if match := _SLASHED.fullmatch(text):
        return _divide(match[1], match[2])
    if match := _FRACTION.fullmatch(text):
        return _divide(match[1] or match[2], match[3] or match[4])
    return _mixed(text)


def _mixed(text: str) -> Fraction | None:
    match = _MIXED.fullmatch(text)
    if match is None:
        return None
    if match[4]:
        part = _FRACTION.fullmatch(match[4])
        below = _divide(part[1] or part[2], part[3] or part[4]) if part else None
    else:
        below = _divide(match[2], match[3])
    return Fraction(int(match[1])) + below if below is not None and below >= 0 else None


def _decimal(text: str) -> Fraction | None:
    """Return the value of digits with separators: no sign, no power."""
    if repeating := _REPEATING.fullmatch(text):
        whole, start, period = repeating.groups()
        digits: Fraction = Fraction(int(period), 10 ** len(period) - 1) / 10 ** len(start)
        return Fraction(f"{whole or '0'}.{start or '0'}") + digits
    text = re.sub(r"[\s'\N{RIGHT SINGLE QUOTATION MARK}]", "", text)
    if re.fullmatch(r"0,[0-9]+|[0-9.]+\.[0-9]{3},[0-9]+|[0-9]+,[0-9]{1,2}", text) or text.count(".") > 1:
        text = text.replace(".", "").replace(",", ".")
    return Fraction(text.replace(",", ""))


def _divide(above: str, below: str) -> Fraction | None:
    top, bottom = _signed(above), _signed(below)
    return top / bottom if top is not None and bottom else None


def _signed(text: str) -> Fraction | None:
    bare = text.lstrip("+- ")
    value = _decimal(bare)
    return -value if value is not None and "-" in text[: len(text) - len(bare)] else value


def _times_ten(value: Fraction | None, exponent: str) -> Fraction | None:
    power = int(exponent.replace(" ", ""))
    return value * Fraction(10) ** power if value is not None and abs(power) <= MAX_EXPONENT else None


def _raise(base: Fraction | None, exponent: str) -> Fraction | None:
    power = int(exponent.replace(" ", ""))
    if base is None or abs(power) > MAX_EXPONENT or (not base and power <= 0):
        return None
    size = max(abs(base.numerator), base.denominator)
    return Fraction(base**power) if size < 10**MAX_BASE_DIGITS else None
