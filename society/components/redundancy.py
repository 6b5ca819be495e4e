"""Similarity of two texts by their words: numbers, signs, negations and word order count.

similarity          cosine similarity of two texts, in [0, 1]
differ_in_meaning   whether a number, sign, negation or the word order differs
differ_in_facts     whether a number, sign or negation differs
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import chain, pairwise

MINUS = dict.fromkeys(
    map(ord, "\N{MINUS SIGN}\N{EN DASH}\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FULLWIDTH HYPHEN-MINUS}"), "-"
)
APOSTROPHES = dict.fromkeys(map(ord, "\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"), "'")
_TOKEN = re.compile(
    r"(?:(?<![\w.])\.)?\d+(?:[.,'\u00a0\u202f]\d+)*!*"  # a number with its separators: 1.5, .5, 1,000, 5!
    r"|\w+(?:['-](?=[^\W\d])\w+)*"  # a word: don't, well-known
    r"|[^\w\s]"  # one sign
)
_BULLET = re.compile(r"^[^\S\n]*[-*+•]\s+(?=[^\s\d])", re.MULTILINE)
_LIGHT = frozenset(".,;:!?\"'`*_#«»“”„…—")
"""Signs that punctuate or format a text without changing its meaning."""
_NEGATION = re.compile(
    r"no|not|none|never|neither|nor|nobody|nothing|nowhere|cannot|without|incorrect|false|wrong|untrue|impossible|.*n't"
)


def similarity(one: str, other: str) -> float:
    """Return the cosine similarity of two texts' counts of words and of pairs of neighbouring words, in [0, 1].

    It is 1 only for texts with the same words, numbers and signs in the same order, and 0 for texts that share none.
    """
    return Words(one).similarity(Words(other))


class Words:
    """The words of a text, counted once for many comparisons."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._counts = _count(self._tokens)
        self._square = _square(self._counts)

    def similarity(self, other: Words) -> float:
        """Return the similarity of the two texts; see `similarity`."""
        if self._tokens == other._tokens:
            return 1.0
        norm = math.sqrt(self._square * other._square)
        product = sum(count * other._counts[part] for part, count in self._counts.items())
        return min(product / norm, math.nextafter(1.0, 0.0)) if norm else 0.0


def differ_in_meaning(one: str, other: str) -> bool:
    """Return whether two texts have other numbers, signs or negations, or words that both have in another order."""
    a, b = tokens(one), tokens(other)
    return _decisive(a) != _decisive(b) or _common(a, b) != _common(b, a)


def differ_in_facts(one: str, other: str) -> bool:
    """Return whether two texts have other numbers, signs or negations, or the same ones in another order."""
    return _decisive(tokens(one)) != _decisive(tokens(other))


def _decisive(words: list[str]) -> list[str]:
    return [token for token in words if _is_decisive(token)]


def tokens(text: str) -> list[str]:
    """Return the words, numbers and signs of a text in order; without case, list bullets and light punctuation."""
    plain = unicodedata.normalize("NFC", text).translate(MINUS | APOSTROPHES).casefold()
    found = _TOKEN.findall(_BULLET.sub("", plain))
    return [token for token in found if token not in _LIGHT]


def _is_decisive(token: str) -> bool:
    if _NEGATION.fullmatch(token):
        return True
    return any(char.isdigit() for char in token) or not any(char.isalnum() for char in token)


def _common(these: list[str], those: list[str]) -> list[str]:
    """Return the words that occur once in each text, in the order of `these`."""
    once, others = Counter(these), Counter(those)
    return [token for token in these if once[token] == others[token] == 1]


def _count(words: list[str]) -> Counter[object]:
    parts: Iterable[object] = chain(words, pairwise(words))
    return Counter(parts)


def _square(counts: Counter[object]) -> int:
    return sum(count * count for count in counts.values())
