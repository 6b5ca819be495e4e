"""Parsing of a rating from 1 to 10 in a reply, such as the importance of a memory."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from society.answers.plain import BOX, END, plain

HIGHEST = 10
"""Highest rating. The lowest one is 1."""
MAX_TEXT = 10_000
"""Maximum length of the text that is parsed, in characters from its end."""
UNRATED = "No number from 1 to 10"
"""Begin of the remark on a reply that should rate a memory and has no such number."""

SHARE = "\ue002"
"""Character of a private area before a number "of 10", which may also count things: "2 of 10 people"."""

_NOTE = r"(?:\s{0,2}\([^()\n]{0,80}\))?"
_SCALE = re.compile(
    rf"\b1{_NOTE}\s{{0,2}}(?:-|\u2013|\u2014|\bto\b|\band\b|\bthrough\b)\s{{0,2}}10\b(?!\s?/){_NOTE}"
    r"|\b(?:1|10)\s{0,2}(?:=|\bbeing\b|\bmeaning\b|\bmeans\b)"
    r"|\b(?:scale|out)\s{1,2}of\s{1,2}10\b",
    re.IGNORECASE,
)
"""The scale, which a reply often repeats: "from 1 (everyday) to 10 (decisive)", "10 = decisive"."""
_NUMBER = r"(?<![\w.,/:-])(?P<number>\d{1,4}(?:[.,]\d{1,4})?)(?![\w%]|[.,:/-]\w|\s?[/%])"
_ALL = r"(?P<all>(?:\s{0,2}/\s{0,2}|\s{1,2}(?:out\s{1,2})?of\s{1,2})10(?![\w]|[.,/]\d))"
_SHARE = re.compile(rf"(?<![\w.,/:-])(?P<number>\d{{1,4}}(?:[.,]\d{{1,4}})?){_ALL}", re.IGNORECASE)
_LABEL = r"\b(?:rating|importance|score|grade|answer)\b"
_LABELLED = rf"{_LABEL}{_NOTE}[^\d\n:=]{{0,30}}[:=]\s{{0,3}}"
_READERS = (
    re.compile(rf"{_LABELLED}{BOX}{_NUMBER}", re.IGNORECASE),
    re.compile(rf"{BOX}[^{END}\d\n]{{0,20}}{_NUMBER}"),
    re.compile(rf"{_LABELLED}{SHARE}?{_NUMBER}", re.IGNORECASE),
    re.compile(rf"(?:{_LABEL}|\b(?:rate[sd]?|give[ns]?|assign(?:ed)?)\b)[^\d\n.;]{{0,40}}{_NUMBER}", re.IGNORECASE),
    re.compile(rf"{SHARE}{_NUMBER}"),
    re.compile(rf"^\W{{0,8}}{_NUMBER}\W{{0,8}}$", re.MULTILINE),
    re.compile(rf"\A\W{{0,8}}{_NUMBER}\s{{0,2}}[.,:;)\u2013\u2014-]\s{{1,3}}(?!\d)"),
    re.compile(_NUMBER),
)
"""Places of a rating, surest first: "Rating: 8/10", a box or "8/10", "Rating: 8", "I rate this 8", "8 of 10", a line of
its own, the begin, anywhere."""
_DENIED = re.compile(r"\b(?:not|n't|never)\s{1,2}(?:an?\s{1,2})?$", re.IGNORECASE)


def read_rating(text: str) -> int | None:
    """Return the rating from 1 to 10 that a reply gives, or None if it has no such number.

    "8/10" and "8 out of 10" are ratings, and so is a number with a label ("Rating: 8"). "8 of 10" counts where neither
    a label nor "8/10" gives one. Otherwise the last number from 1 to 10 counts. The scale itself, hyphenated numbers
    ("10-year-old"), dates and fractions are none. Decimals are rounded, halves up.
    """
    text = plain(text[-MAX_TEXT:])
    text = _SCALE.sub(" ", _SHARE.sub(_mark, text))
    for reader in _READERS:
        found = [*_find(reader, text)]
        if found:
            return found[-1]
    return None


def _mark(share: re.Match[str]) -> str:
    """Return the number of "8/10" in a box, and that of "8 of 10" behind `SHARE`."""
    return f"{BOX}{share['number']}{END}" if "/" in share["all"] else f"{SHARE}{share['number']}"


def _find(reader: re.Pattern[str], text: str) -> Iterator[int]:
    for match in reader.finditer(text):
        start = match.start("number")
        value = float(match["number"].replace(",", "."))
        if 1 <= value <= HIGHEST and not _DENIED.search(text[max(start - 12, 0) : start].rstrip(BOX + SHARE)):
            yield math.floor(value + 0.5)
