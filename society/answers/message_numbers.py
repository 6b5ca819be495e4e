"""Parsing of the numbered messages that a ranker names."""

from __future__ import annotations

import re

from society.answers.plain import BOX, END, plain
from society.answers.stance import Stance, stance

MAX_TEXT = 10_000
"""Maximum length of the text that is parsed, in characters from its end."""

_NUMBER = r"\d{1,6}(?!\d|[.,]\d|\s?[/%])"
_NEXT = rf"\s{{0,2}}(?:,\s?and\b|,|&|\band\b|\bthen\b|>|;)\s{{0,2}}#?{_NUMBER}"
_NAMED = re.compile(
    r"(?:\b(?:messages?|answers?|responses?|reply|replies|agents?|solutions?|numbers?|nos?\.|candidates?|options?|"
    rf"participants?|solvers?)\s{{0,2}}(?:numbers?\s|nos?\.\s?)?[(\[#]{{0,2}}|#){_NUMBER}[)\]]?(?:{_NEXT}){{0,30}}",
    re.IGNORECASE,
)
_DIGITS = re.compile(rf"(?<![\w.,/]){_NUMBER}(?!\w)")
_ENTRY = re.compile(
    rf"^\s{{0,8}}(?P<place>\d{{1,3}})\s?[.):]\s{{1,3}}[(\[#]?(?P<number>{_NUMBER})[)\].,:]?(?=\s|$)", re.MULTILINE
)
_BARE_LINE = re.compile(r"(?:[\s(\[#\d)\],;>&/|.-]|\band\b|\bthen\b)+")
_HEAD = re.compile(r"^\s{0,8}[(\[#]?(?P<number>\d{1,6})(?:[.):\]]|\s[-\u2013\u2014])\s", re.MULTILINE)


def read_numbers(text: str, count: int) -> list[int]:
    """Return the indices, from 0, of the numbered messages that the text names, best first, each once.

    `count` is the number of messages, which have numbers from 1. "1. Message 3" names message 3: the number of a list
    entry is not a message, unless the entries repeat messages ("2. Paris", "4. Rome"). Denied numbers, scores such as
    8/10 and numbers above `count` are ignored.
    """
    text = plain(text[-MAX_TEXT:]).replace(BOX, " ").replace(END, " ")
    for read in (_read_entries, _read_bare_lines, _read_named, _read_heads, _read_last_line):
        numbers = read(text)
        if numbers is not None:
            return list(dict.fromkeys(number - 1 for number in numbers if 1 <= number <= count))
    return []


def _read_entries(text: str) -> list[int] | None:
    """Parse a numbered list of numbers: "1. 3", "2. 1"."""
    entries = [(int(match["place"]), int(match["number"])) for match in _ENTRY.finditer(text)]
    if [place for place, _ in entries] != list(range(1, len(entries) + 1)):
        return None
    return [number for _, number in entries] or None


def _read_bare_lines(text: str) -> list[int] | None:
    """Parse the last line with only numbers, such as "3, 1". Several lines of one number each are one ranking."""
    lines = [line.rpartition(":")[2] for line in text.splitlines()]
    found = [_DIGITS.findall(line) for line in lines if line.strip() and _BARE_LINE.fullmatch(line)]
    found = [numbers for numbers in found if numbers]
    if not found:
        return None
    if all(len(numbers) == 1 for numbers in found):
        return [int(numbers[0]) for numbers in found]
    return [int(number) for number in found[-1]]


def _read_named(text: str) -> list[int] | None:
    """Parse "Message 3", "answers 2 and 4", "#1"."""
    chosen = []
    for match in _NAMED.finditer(text):
        if stance(text, match.start(), match.end()) is not Stance.NOT_ITS_OWN:
            chosen += [int(number) for number in _DIGITS.findall(match[0].replace("#", " "))]
    return chosen or None


def _read_heads(text: str) -> list[int] | None:
    """Parse entries that repeat messages with their numbers. The numbers of a list from 1 are those of its entries."""
    heads = [int(match["number"]) for match in _HEAD.finditer(text)]
    if len(heads) > 1 and heads == list(range(1, len(heads) + 1)):
        return []
    return heads or None


def _read_last_line(text: str) -> list[int] | None:
    """Parse the last line with numbers, without denied ones."""
    place, found = 0, None
    for line in text.splitlines(keepends=True):
        numbers = _claimed(text, place, line)
        found = numbers or found
        place += len(line)
    return found


def _claimed(text: str, place: int, line: str) -> list[int]:
    matches = list(_DIGITS.finditer(line))
    stances = [stance(text, place + match.start(), place + match.end()) for match in matches]
    return [int(match[0]) for match, how in zip(matches, stances, strict=True) if how is not Stance.NOT_ITS_OWN]
