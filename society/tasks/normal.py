"""The normal form of questions, equal for texts that a reader takes for the same question."""

from __future__ import annotations

import unicodedata

_SHAPES = {
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
    "'": "\u2018\u2019\u201a\u201b\u2032",
    '"': "\u201c\u201d\u201e\u201f\u2033",
    "/": "\u2044\u2215",
    ":": "\u2236",
    "\u00b7": "\u22c5\u2219",
}
"""Replacements of similar dashes, quotation marks and signs that no Unicode normal form unifies."""
_LIKE_OTHERS = str.maketrans({shape: char for char, shapes in _SHAPES.items() for shape in shapes})
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Invisible characters outside the category of format characters: fillers and grapheme joiners."""


def normal_question(text: str) -> str:
    """Return the normal form of a question, for comparison only.

    The normal form ignores letter case, Unicode normal forms, invisible characters, shapes of dashes and quotation
    marks, the script of digits, and white space: "2+2" equals "2 + 2". It errs towards equality, so that no evaluation
    question is trained on.
    """
    folded = _fold(_fold(_visible(text)))  # folding letter case can undo a normal form
    return "".join(map(_digit, _visible(folded)))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).translate(_LIKE_OTHERS).casefold())


def _visible(text: str) -> str:
    return "".join(char for char in text if not _is_unseen(char))


def _is_unseen(char: str) -> bool:
    """Return whether a character is invisible: white space, a format or control character, or a variation selector."""
    selector = "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
    return char.isspace() or selector or char in _UNSEEN or unicodedata.category(char) in ("Cf", "Cc")


def _digit(char: str) -> str:
    return str(unicodedata.decimal(char)) if char.isdecimal() else char
