r"""Search for the last number in a text, complete with thousands, decimals, sign and power.

"48 000", "1'000", "7{,}250" and "1.234,5" are one number each; in "49 cm^2", "x^2" and "a_1" the last digit is none;
10^6 is its value, not 6. Where the last number has no value that could be read ("10:30", "3\sqrt{2}"), there is none:
an earlier number would be another answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

from society.answers.lazy_pattern import compile_later
from society.answers.numbers import BENT, PLAIN
from society.answers.stance import is_denied, is_quoted

MOST_NUMBERS = 300
"""Maximum number of numbers that are considered, from the end of the text."""
MOST_DIGITS = 200
"""Maximum number of digits of a power that is computed."""

_SPACE = "[ \u00a0\u2009\u202f]|\\\\[,;: ]|~"
_SEPARATED = (
    r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?(?![0-9])(?!,[0-9])"  # 1,234,567.8
    r"|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]+)?(?![0-9,])"  # 12,34,567
    r"|[0-9]{1,3}(?:(?:\{,\}\s?|,\\!|\\!,?|_)[0-9]{3})+(?:\.[0-9]+)?(?![0-9])"  # 1{,}234
    r"|[0-9]{1,3}(?:['\u2019][0-9]{3})+(?:[.,][0-9]+)?(?![0-9])"  # 1'234'567
    rf"|[0-9]{{1,3}}(?:(?:{_SPACE})[0-9]{{3}})+(?:[.,][0-9]+)?(?![0-9])(?!(?:{_SPACE})[0-9])"  # 1 234 567,8
    r"|[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+(?![0-9,.])"  # 1.234,5
    r"|[0-9]{1,3}(?:\.[0-9]{3}){2,}(?![0-9])(?!\.[0-9])"  # 1.234.567
)
_DIGITS = rf"(?:{_SEPARATED}|[0-9]+(?:\.[0-9]+|\{{?[.]\}}?[0-9]+)?|\.[0-9]+)"
_COMMA = (  # 3,5: no entry of a list, of a pair or of a set
    r"(?<![0-9],)(?<![0-9]\{,\})[0-9]+(?:,|"
    r"\{,\})[0-9]+(?![0-9])(?!\{?,\}?[0-9])(?!\.[0-9])(?!(?<=[(\[{][0-9],[0-9])[)\]}])"
)
_EXPONENT = r"(?:\s?\^\s?|\*\*)(?:\{\s?\(?|\()?(?P<NAME>[-+]?[0-9]{1,9}(?:\.[0-9]+)?)\s?\)?\}?"
_TIMES = r"(?:\N{MULTIPLICATION SIGN}|\N{MIDDLE DOT}|\N{DOT OPERATOR}|\N{BULLET OPERATOR}|x|X|\*|\\times|\\cdot)"
_NUMBER = compile_later(
    r"(?P<mixed>(?<![\w.)])[-+]?[0-9]+[^\S\n]{1,3}[0-9]+/[0-9]+(?![0-9/]))"
    r"|(?P<latex>(?P<whole>[0-9]*)\s?\\[dtc]?frac\s?(?:\{\s?(?P<above>-?[0-9][0-9,]*(?:\.[0-9]+)?)\s?\}|"
    r"(?P<above1>[0-9]))\s?"
    r"(?:\{\s?(?P<below>-?[0-9][0-9,]*(?:\.[0-9]+)?)\s?\}|(?P<below1>[0-9])))"
    rf"|(?P<digits>{_COMMA}|{_DIGITS})"
    rf"(?:(?P<e>[eE][-+]?[0-9]+(?![0-9.]))"
    rf"|(?P<times>[^\S\n]{{0,3}}{_TIMES}[^\S\n]{{0,3}}10){_EXPONENT.replace('NAME', 'ten')}|"
    rf"{_EXPONENT.replace('NAME', 'power')}"
    rf"|(?P<over>\s?/\s?(?P<under>{_DIGITS})))?"
)
_SIGN = compile_later(
    r"(?P<sign>[-+])\s?(?P<inner>\\?[$€£\u20b9\u00a5])?\s?$|(?P<outer>\\?[$€£\u20b9\u00a5])\s?(?P<minus>-)?\s?$"
)
_MINUS_BEFORE = compile_later(
    r"(?:^|[=:(\[{,;<>\u2264\u2265\u2248~*/|]|\b(?:is|are|was|be|equals|to|of|by|get|gets|got|gives|gave|obtain|"
    r"obtained|becomes|therefore|so|"
    r"thus|hence|exactly|about|approximately|than|at|from|box|boxed))\s*[*_$\"'(]*$",
    re.IGNORECASE,
)
_INDEX = compile_later(r"(?:\^|_|\*\*)\s?(?:\{\s?\(?|\()?\s?[-+]?\s?$")
_LABEL = compile_later(
    r"\b(?:agent|solver|student|expert|debater|participant|solution|message|round|step|question|problem|figure|"
    r"table|option|case)s?[\s-]{1,2}#?$",
    re.IGNORECASE,
)
"""Words before a number that is a name, not an amount, as in "Agent 2"."""
_BULLET = compile_later(r"^[ \t]*[-*+•]\s", re.MULTILINE)
_ALONE = compile_later(r"[^\nA-Za-z]*$", re.MULTILINE)
_SCALE = compile_later(r"[^\S\n]{0,3}(?P<word>hundred|thousand|million|billion|trillion)\b", re.IGNORECASE)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_ROOT = compile_later(r"\\sqrt\s?(?:\[[^\]]{0,9}\]\s?)?\{?\s?[-+]?$|√\s?\(?$")
_CUT_AFTER = compile_later(r"\s?\\sqrt|√|:[0-9]|\.?\\(?:overline|bar|dot|dddot)\b|_\{?[0-9]|\.[0-9]")
_CUT_BEFORE = compile_later(r"[0-9]:\Z|[0-9]\.\Z|\\(?:overline|bar|dot)\{?\Z")
_SURE_BEFORE = compile_later(
    r"\b(?:confidence|certainty)"
    r"(?:[ \t](?:level|score|rating|estimate|in[ \t](?:this|my|the)[ \t](?:final[ \t])?answer)\b)?"
    r"(?:[^\w\n]{0,3}\([^()\n]{1,20}\))?[^\w\n]{0,8}(?:(?:is|of|at|as)\b[^\w\n]{0,4})?"
    r"(?:(?:about|around|roughly|approximately|only)[ \t])?(?:[0-9.]{1,5}[ \t]?(?:/|(?:out[ \t])?of)[ \t]?)?\Z",
    re.IGNORECASE,
)
_SURE_AFTER = compile_later(
    r"[ \t]?(?:\\?%|percent\b|per[ \t]cent\b)[ \t]?(?:sure|certain|confident|confidence|certainty)\b"
    r"(?![ \t](?:interval|level|limit|band))",
    re.IGNORECASE,
)
"""Words around a number that is a confidence."""
_WRONG_AFTER = compile_later(
    r"[)\]*_$\"']{0,4}\s(?:is|was|seems)\s(?:\w{1,12}\s)?(?:wrong|incorrect|mistaken|false)\b", re.IGNORECASE
)
_VULGAR = compile_later(r"(?:(?<=[0-9])(?P<gap>[^\S\n]?))?(?P<sign>[\u00bc-\u00be\u2150-\u215e])")
"""A fraction in one character, such as ½, and the space before it in a mixed number."""
_RAISED = ("\N{SUPERSCRIPT MINUS}", "\N{SUPERSCRIPT PLUS SIGN}", "\N{SUPERSCRIPT LEFT PARENTHESIS}")


def find_last_number(text: str) -> str | None:
    """Return the last number in `text`, in a form that `parse_number` accepts, or None.

    Separators, currency and percent signs are left out. Numbers that are denied ("not 20", "20 is wrong") or quoted
    from another agent do not count, nor do stated confidences ("confidence: 80%", "I am 95% sure").

    None also where a reader may see another number: a power or fraction sign follows it, digits of another script do,
    or characters that change the order of letters.
    """
    text = _VULGAR.sub(_spell_out, text).translate(PLAIN)
    numbers = [*_numbers(text)]
    for number in numbers[: -MOST_NUMBERS - 1 : -1]:
        if is_denied(text, number.start()) or is_quoted(text, number.start(), number.end(), names=False):
            continue
        if _is_confidence(text, number) or _WRONG_AFTER.match(text, number.end()):
            continue
        return None if _is_doubtful(text, number) else _written(text, number)
    return None


def _is_confidence(text: str, number: re.Match[str]) -> bool:
    """Return whether the number is a confidence."""
    before = text[max(0, number.start() - 100) : number.start()]
    return _SURE_BEFORE.search(before) is not None or _SURE_AFTER.match(text, number.end()) is not None


def _spell_out(match: re.Match[str]) -> str:
    """Return "1/2" for ½, after a whole number " 1/2"."""
    spelled = unicodedata.normalize("NFKD", match["sign"])
    return spelled if match["gap"] is None else " " + spelled


def _numbers(text: str) -> Iterator[re.Match[str]]:
    """Yield every number that is not the end of a word, an exponent, or an index."""
    for match in _NUMBER.finditer(text):
        before = text[max(0, match.start() - 16) : match.start()]
        if before and (before[-1].isalnum() or before[-1] == "_") and not _is_cjk(before[-1]):
            continue
        if (_INDEX.search(before) and not _is_product(before)) or _LABEL.search(before):
            continue
        yield match


def _is_cjk(char: str) -> bool:
    return "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af"


def _is_product(before: str) -> bool:
    """Return whether `**` before a number is emphasis, not a power."""
    return before.rstrip("-+ ({").endswith("**") and not re.search(r"[\w)\]}]\*\*\s?[{(]{0,2}[-+]?$", before)


def _is_doubtful(text: str, number: re.Match[str]) -> bool:
    after = text[number.end() :]
    before = text[max(0, number.start() - 24) : number.start()]
    if unicodedata.category(after[:1] or " ") == "No" or after.startswith(_RAISED):
        return True
    if _CUT_AFTER.match(after) or _CUT_BEFORE.search(before) or _ROOT.search(before):
        return True
    if any(unicodedata.category(char) == "Nd" for char in after if not char.isascii()):
        return True
    return BENT.search(text[max(0, number.start() - 1) :]) is not None


def _written(text: str, number: re.Match[str]) -> str | None:
    """Return the number with its sign, without decoration."""
    minus = "-" if _is_negative(text, number.start()) else ""
    if number["mixed"]:
        return number["mixed"].replace("+", "")
    if number["latex"]:
        above, below = number["above"] or number["above1"], number["below"] or number["below1"]
        fraction = f"{above.replace(',', '')}/{below.replace(',', '')}"
        return minus + (f"{number['whole']} {fraction}" if number["whole"] else fraction)
    digits = plain_digits(number["digits"])
    if number["power"]:
        return _power(minus, digits, number["power"])
    if number["ten"]:
        times = "".join(number["times"].split())
        return minus + digits + re.sub(r"\\times|\\cdot|[·⋅∙]", "\N{MULTIPLICATION SIGN}", times) + "^" + number["ten"]
    if number["under"]:
        return f"{minus}{digits}/{plain_digits(number['under'])}"
    if scale := _SCALE.match(text, number.end()):
        return minus + str(Fraction(digits) * 10 ** _SCALES[scale["word"].lower()])
    return minus + digits + (number["e"] or "")


def _is_negative(text: str, start: int) -> bool:
    """Return whether a minus sign belongs to a number, not to a dash, a bullet or a subtraction."""
    before = text[max(0, start - 40) : start]
    match = _SIGN.search(before)
    if match is None or "-" not in (match["sign"], match["minus"]):
        return False
    place = match.start("sign") if match["sign"] else match.start("minus")
    earlier, close = before[:place], not before[place + 1 :][:1].isspace()
    if match["minus"]:
        return True
    if close:
        return not re.search(r"[\w)\]}%]\Z|[0-9)][^\S\n]\Z", earlier)
    if not earlier.rpartition("\n")[2].strip():
        return len(_BULLET.findall(text)) < 2 and _ALONE.match(text, start) is not None
    return _MINUS_BEFORE.search(earlier) is not None


def plain_digits(digits: str) -> str:
    """Return a numeral without thousands separators, with a decimal point."""
    digits = re.sub(
        rf"\{{,\}}\s?|{_SPACE}|\\!|['\u2019_]", lambda match: "," if match[0].startswith("{") else "", digits
    )
    whole, _, rest = digits.rpartition(",")
    if "," in digits and _is_decimal_comma(whole, rest):
        return whole.replace(".", "").replace(",", "") + "." + rest
    digits = digits.replace(",", "")
    return digits.replace(".", "") if digits.count(".") > 1 else digits


def _is_decimal_comma(whole: str, rest: str) -> bool:
    """Return whether the last comma of a numeral separates decimals: in 3,5 and 1.234,5, but not in 3,141."""
    if "," in whole or "." in rest:
        return False
    return "." in whole or len(rest) != 3 or len(whole) > 3 or whole in ("", "0")


def _power(minus: str, base: str, exponent: str) -> str | None:
    """Return the value of a power of a number, or None if it is too large."""
    value, times = Fraction(base), Fraction(exponent)
    if times.denominator != 1 or abs(times) * max(1, len(base)) > MOST_DIGITS or (not value and times < 0):
        return None
    return minus + str(value ** int(times))
