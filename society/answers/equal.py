"""Equality of answers: exact, words, numeric, choice and math. Each is symmetric, and true for identical strings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Literal

from society.answers.lazy_pattern import compile_later
from society.answers.mathematics import same_math
from society.answers.numbers import BENT
from society.answers.quantities import read_quantity, same_quantity

Equality = Literal["exact", "words", "numeric", "choice", "math"]

MAX_LENGTH = 10_000
"""Maximum length of an answer that is normalized, in characters. Longer answers are compared unchanged."""

SIGNS = str.maketrans(
    {
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{MODIFIER LETTER TURNED COMMA}": "'",
        "\N{MINUS SIGN}": "-",
        "\N{HYPHEN}": "-",
        "\N{NON-BREAKING HYPHEN}": "-",
        "\N{EN DASH}": "-",
    }
)
_ARTICLE = compile_later(r"(?:the|an?)\s+(?=[^\W\d_]{2})(?!(?:and|or|is|in)\b)")
_PAIRS = (
    ("***", "***"),
    ("**", "**"),
    ("__", "__"),
    ("``", "``"),
    ("`", "`"),
    ("*", "*"),
    ("_", "_"),
    ('"', '"'),
    ("'", "'"),
)
_MARKUP = tuple(
    compile_later(rf"{re.escape(start)}(?=\S)((?:(?!{re.escape(end)}).)+){re.escape(end)}", re.DOTALL)
    for start, end in _PAIRS
)
"""Markdown and quotation marks around a whole text. They must not occur inside it."""
_BRACKETED_WORDS = compile_later(r"\(\s*([^\W_]+(?:[ '-][^\W_]+)*\.?)\s*\)")
_END_SIGNS, _SENTENCE_ENDS = ",;:", ".!?"
_TWO_LETTERS = compile_later(r"[^\W\d_]{2}")
_BEFORE_FULL_STOP = compile_later(r"[\w)\]}\"'%°]")
_HEADING = compile_later(r"#{1,6}\s+|[:;]\s+")


@lru_cache(maxsize=1024)  # grouping compares each answer with all others
def normalise(text: str) -> str:
    """Return the normal form of `text`: without differences of case, Unicode form, spaces, article and outer markup.

    Brackets, signs, decimal points and exclamation marks remain if they have a meaning: `.5`, `<5`, `5!`, `[0,1)`.
    """
    plain = _compose(_compose(text.translate(SIGNS)).casefold()).translate(SIGNS)
    plain = "".join(char for char in plain if unicodedata.category(char) != "Cf" or BENT.match(char))  # zero-width
    plain = " ".join(plain.split())
    bare = _strip(plain)
    return _ARTICLE.sub("", bare, count=1) if _ARTICLE.match(bare) else bare or plain


def _strip(text: str) -> str:
    """Return `text` without outer heading signs, markup, quotation marks and full stop."""
    before = None
    while text != before:  # each pair of markup signs can be removed once, so this ends after a few passes
        before = text
        start, end = _trim_signs(text)
        text = text[start:end]
        for pattern in (*_MARKUP, _BRACKETED_WORDS):
            if match := pattern.fullmatch(text):
                text = match[1].strip() or text
    return text


def _trim_signs(text: str) -> tuple[int, int]:
    """Return where `text` starts and ends without its heading signs and final punctuation, in linear time."""
    start, end = 0, len(text)
    ends = True
    while True:
        heading = _HEADING.match(text, start, end)
        start = heading.end() if heading else start
        shorter = _before_stop(text, start, end) if ends else end
        ends = start < shorter < end  # what is no final punctuation now is none after another heading
        end = shorter if ends else end
        if not heading and not ends:
            return start, end


def _before_stop(text: str, start: int, end: int) -> int:
    """Return the end of `text[start:end]` without one final sign or full stop and the spaces before it."""
    stop = end
    if text[start:end] and text[end - 1] in _END_SIGNS:
        stop = end - 1
    else:
        while stop > start and text[stop - 1] in _SENTENCE_ENDS:
            stop -= 1
        if not _ends_sentence(text[max(start, stop - 2) : stop], text[stop : stop + 2] if stop < end else ""):
            return end
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return stop


def _ends_sentence(before: str, signs: str) -> bool:
    """Return whether final signs are punctuation: any sign after two letters, or one full stop after a value."""
    if signs and _TWO_LETTERS.fullmatch(before):
        return True
    return signs == "." and _BEFORE_FULL_STOP.fullmatch(before[-1:]) is not None


def _compose(text: str) -> str:
    """Return the compatibility form, with powers, indices and fractions preserved: 10\N{SUPERSCRIPT TWO} is not 102."""
    return "".join(
        part if raised else unicodedata.normalize("NFKC", part)
        for raised, part in ((raised, "".join(letters)) for raised, letters in groupby(text, _is_raised))
    )


def _is_raised(char: str) -> bool:
    return not char.isascii() and unicodedata.decomposition(char).startswith(("<super>", "<sub>", "<fraction>"))


def same_exact(a: str, b: str) -> bool:
    """Return whether two texts are equal except for case, Unicode form, spacing, article and full stop."""
    if a == b:
        return True
    return max(len(a), len(b)) <= MAX_LENGTH and normalise(a) == normalise(b)


def same_numeric(a: str, b: str, tolerance: float) -> bool:
    """Return whether two numbers are equal, without regard to words around them.

    Integers and fractions are compared exactly, other numbers by |a - b| <= tolerance * max(|a|, |b|).
    """
    if a == b:
        return True
    if BENT.search(a + b):
        return False
    left, right = read_quantity(a), read_quantity(b)
    if left is None or right is None:
        return left is right and same_exact(a, b)
    return same_quantity(left, right, tolerance)


_COMMANDS = r"\\(?:text[a-z]*|math[a-z]+|boxed|fbox|mbox|rm|bf|it|sf|tt)"
_LABELS = (
    r"(?:the\s+)?(?:final\s+|correct\s+|best\s+)?(?:answer|ans\.?|option|choice|letter)\s*(?:is|:)?\s*:?|答案|选项|选"
)
_WRAPPED_LETTER = compile_later(
    _COMMANDS + r"\s*\{(.*)\}|" + _COMMANDS + r"\s*([A-Za-z])"
    r"|\$\$?(.+?)\$?\$|\\\((.+)\\\)|\\\[(.+)\\\]|\*\*\*?(.+?)\*?\*\*|__(.+)__|\*(.+)\*|_(.+)_|`+(.+?)`+"
    r"|\"(.+)\"|'(.+)'|[「『【](.+)[」』】]|\((.+)\)|\[(.+)\]|\{(.+)\}|<(.+)>|(.+?)\s*[.):,;。、]|\((.+)|(.+)\\\\"
    rf"|(?:{_LABELS})\s*:?\s*(\W*\w\W*|\\\w+\s*\{{.*\}})",
    re.DOTALL | re.IGNORECASE,
)
_LETTER = compile_later(
    r"\\(?:text|mathrm|mathbf|mathsf|mathit|textbf|textit|textrm|textsf|boxed|fbox|mbox|mathcal|mathtt|rm|bf)\s*\{(.*)\}"
    r"|\$\$?(.+?)\$?\$|\\\((.+)\\\)|\\\[(.+)\\\]|\*\*(.+)\*\*|__(.+)__|\*(.+)\*|_(.+)_|`(.+)`|\"(.+)\"|'(.+)'"
    r"|\((.+)\)|\[(.+)\]|\{(.+)\}|<(.+)>|(.+?)\s*[.):,;]|\((.+)|(.+)\\\\"
    r"|(?:(?:the\s+)?(?:final\s+|correct\s+|best\s+)?(?:answer|option|choice)\s*(?:is|:)?\s*:?)\s*(\W*\w\W*|\\\w+\{.*\})",
    re.DOTALL | re.IGNORECASE,
)
_LETTER = compile_later(r"[A-Za-z]")
_LABELLED = compile_later(r"[\s*_(\[]*([A-Z])(?:[*_]*[.):\]][*_]*|\s*[-\N{EN DASH}:])\s+\S.*", re.DOTALL)
_LATEX_LABELLED = compile_later(r"\\(?:text|math)[a-z]*\s*\{\s*\(?([A-Z])[).:]+\s*\}.+", re.DOTALL)
MAX_CHOICE = 200
"""Maximum length of an answer that may be a letter, in characters."""


def read_choice(text: str) -> str | None:
    r"""Return the letter that `text` chooses, such as `B`, `(b)`, `\mathbf{B}` or `B. Paris`; None for other text."""
    if len(text) > MAX_CHOICE or BENT.search(text):
        return None
    text = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    text = text.translate(SIGNS).strip()
    labelled = _LABELLED.fullmatch(text) or _LATEX_LABELLED.fullmatch(text)
    while not _LETTER.fullmatch(text):
        wrapped = _WRAPPED_LETTER.fullmatch(text)
        if wrapped is None:
            return labelled[1] if labelled else None
        text = next(group for group in wrapped.groups() if group is not None).strip()
    return text.upper()


def same_choice(a: str, b: str) -> bool:
    """Return whether the chosen letters are equal, without regard to case, markup and brackets."""
    if a == b:
        return True
    left, right = read_choice(a), read_choice(b)
    return left == right if left and right else same_exact(a, b)


def _same_words(a: str, b: str, _: float) -> bool:
    from society.answers.phrases import same_words

    return same_words(a, b)


EQUALITIES: Mapping[Equality, Callable[[str, str, float], bool]] = {
    "exact": lambda a, b, _: same_exact(a, b),
    "words": _same_words,
    "numeric": same_numeric,
    "choice": lambda a, b, _: same_choice(a, b),
    "math": lambda a, b, tolerance: same_math(a, b, tolerance),
}
"""Equality functions (a, b, tolerance) -> bool, by their names in a scenario."""
