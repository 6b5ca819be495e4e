"""When two answers are the same: exact, numeric, choice. Each is symmetric, and true of identical strings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Literal

from society.answers.mathematics import same_math
from society.answers.numbers import BENT, close, parse_number

Equality = Literal["exact", "numeric", "choice", "math"]

MAX_LENGTH = 10_000
"""Characters. Longer answers are compared as they stand, without any normalisation."""

_SURROUNDING = " \t\n.,;:!?*_`\"'()[]{}<>~"
_QUOTES = str.maketrans(
    {
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "“": '"',
        "”": '"',
        "\N{MODIFIER LETTER TURNED COMMA}": "'",
    }
)
_ARTICLE = re.compile(r"(?:the|an?)\s+(?=\S)")
_LETTER = re.compile(r"\W*(?:\\text\{)?\W*([A-Ja-j])\W*")


def normalise(text: str) -> str:
    """`text` without what does not matter: case, Unicode form, spaces, article, markup around it."""
    plain = _compose(_compose(text.translate(_QUOTES)).casefold())
    plain = "".join(char for char in plain if unicodedata.category(char) != "Cf" or BENT.match(char))  # zero-width
    plain = " ".join(plain.split())
    stripped = plain.lstrip("# ").strip(_SURROUNDING)
    return _ARTICLE.sub("", stripped, count=1) if _ARTICLE.match(stripped) else stripped or plain


def _compose(text: str) -> str:
    """Compatibility form, but powers and indices stay what they are: 10\N{SUPERSCRIPT TWO} is not 102."""
    return "".join(
        part if raised else unicodedata.normalize("NFKC", part)
        for raised, part in ((raised, "".join(letters)) for raised, letters in groupby(text, _is_raised))
    )


def _is_raised(char: str) -> bool:
    return not char.isascii() and unicodedata.decomposition(char).startswith(("<super>", "<sub>"))


def same_exact(a: str, b: str) -> bool:
    """The same words, whatever their case, Unicode form, spacing, article, or the punctuation around them."""
    if a == b:
        return True
    return max(len(a), len(b)) <= MAX_LENGTH and normalise(a) == normalise(b)


def same_numeric(a: str, b: str, tolerance: float) -> bool:
    """The same number: whole numbers exactly, others if |a - b| <= tolerance * max(|a|, |b|)."""
    if a == b:
        return True
    left, right = parse_number(a), parse_number(b)
    if left is None or right is None:
        return left is right and same_exact(a, b)
    return close(left, right, tolerance)


def same_choice(a: str, b: str) -> bool:
    """The same letter, whatever its case and brackets."""
    left, right = _LETTER.fullmatch(a[:40]), _LETTER.fullmatch(b[:40])
    if left and right and not BENT.search(a + b):
        return left[1].upper() == right[1].upper()
    return same_exact(a, b)


EQUALITIES: Mapping[Equality, Callable[[str, str, float], bool]] = {
    "exact": lambda a, b, _: same_exact(a, b),
    "numeric": same_numeric,
    "choice": lambda a, b, _: same_choice(a, b),
    "math": lambda a, b, tolerance: same_math(a, b, tolerance),
}
"""Each equality by its name in a scenario: (a, b, tolerance) -> bool."""
