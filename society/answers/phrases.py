"""Comparison of short answers in words. Number words equal numbers, and a phrase may contain an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from society.answers.decimals import with_points
from society.answers.equal import same_exact
from society.answers.mentions import fold_accents, is_part_of_name
from society.answers.plain import plain

MAX_PHRASE = 2_000
"""Maximum length of a phrase that may contain an answer, in characters."""

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {word: value for value, word in enumerate(_ONES.split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), 2)
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?|[%$€£]|[+\-/=<>^]")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?")
_ARTICLES = frozenset(("the", "a", "an"))
_WHOLE_ONLY = frozenset(("yes", "no", "true", "false", "maybe", "none", "never", "always", "both", "neither"))
_DENIES = re.compile(
    r"\b(?:not|never|neither|nor|isn't|wasn't|aren't|cannot|rather than|instead of|unlike|except)\b", re.IGNORECASE
)
_ALTERNATIVES = re.compile(r"\bor\b|\beither\b|\bversus\b|\bvs\b", re.IGNORECASE)


def same_words(a: str, b: str) -> bool:
    """Return whether two short answers have the same words, without regard to case, accents and articles.

    Number words are numbers: "eight" is 8, "twenty-one" is 21, "two thousand" is 2,000.
    """
    if same_exact(a, b):
        return True
    if max(len(a), len(b)) > MAX_PHRASE:
        return False
    left, right = read_words(a), read_words(b)
    return left == right and bool(left)


def read_words(text: str) -> tuple[str, ...]:
    """Return the normal form of the words of a short answer, without articles."""
    tokens = [token.casefold() for token in _TOKEN.findall(fold_accents(text))]
    return tuple(_join_numbers([token for token in tokens if token not in _ARTICLES]))


def _join_numbers(tokens: Sequence[str]) -> Iterator[str]:
    """Yield the tokens with each run of number words replaced by its value in digits."""
    place = 0
    while place < len(tokens):
        end, value = _number_at(tokens, place)
        if end > place:
            yield str(value)
            place = end
        else:
            token = tokens[place]
            yield _plain_number(token).removesuffix(".0") if token[0].isdigit() else token
            place += 1


def _plain_number(token: str) -> str:
    """Return a number without separators of thousands, and with a decimal point: 1,234 is 1234, but 1,5 is not 15."""
    number = token.rstrip(",")
    return number.replace(",", "") if _GROUPED.fullmatch(number) else with_points(number, "point")


def _number_at(tokens: Sequence[str], place: int) -> tuple[int, int]:
    """Return where the number words that begin at `place` end, and their value."""
    total = current = 0
    end, last = place, None
    for index in range(place, len(tokens)):
        word = tokens[index]
        if word in _VALUES and (last is None or last == "scale" or (last == "tens" and _VALUES[word] < 10)):
            current += _VALUES[word]
            last = "tens" if _VALUES[word] >= 20 else "ones"
        elif word == "hundred" and current and last != "scale":
            current, last = current * 100, "scale"
        elif word in _SCALES and current:
            total, current, last = total + current * _SCALES[word], 0, "scale"
        elif word in ("and", "-") and last is not None and index + 1 < len(tokens) and tokens[index + 1] in _VALUES:
            if word == "and" and last != "scale":
                break
            continue
        else:
            break
        end = index + 1
    return end, total + current


def contains_answer(phrase: str, answer: str) -> bool:
    """Return whether a phrase contains an answer with its words unchanged.

    Not where the phrase denies it, offers another one beside it ("Jupiter or Saturn", "Mars, Venus and Jupiter"), names
    something else with it ("New York" is not York), or has other numbers. Of answers such as "yes" only the first word
    counts; a single letter must be all.
    """
    if max(len(phrase), len(answer)) > MAX_PHRASE:
        return False
    words, wanted = read_words(plain(phrase)), read_words(plain(answer))
    if not wanted or (len(wanted) == 1 and len(wanted[0]) == 1 and not wanted[0].isdigit()):
        return False
    if wanted[0] in _WHOLE_ONLY and len(wanted) == 1:
        return words[:1] == wanted
    places = [i for i in range(len(words) - len(wanted) + 1) if words[i : i + len(wanted)] == wanted]
    if not places or _DENIES.search(phrase) or (_ALTERNATIVES.search(phrase) and not _ALTERNATIVES.search(answer)):
        return False
    return (
        not _has_other_numbers(words, wanted) and not _is_listed(phrase, answer) and not _is_inside_name(phrase, answer)
    )


def _has_other_numbers(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return whether a numeric answer is beside other numbers, so that it may be one of several."""
    numbers = {word for word in words if word[0].isdigit()}
    return any(word[0].isdigit() for word in wanted) and not numbers <= set(wanted)


def _is_listed(phrase: str, answer: str) -> bool:
    """Return whether the phrase is an enumeration with the answer as one item."""
    entries = [read_words(entry) for entry in re.split(r",|;|\band\b|&|\n|/", plain(phrase))]
    entries = [entry for entry in entries if entry]
    return len(entries) > 1 and read_words(answer) in entries and all(len(entry) <= 3 for entry in entries)


def _is_inside_name(phrase: str, answer: str) -> bool:
    """Return whether every mention of the answer is part of a longer name."""
    folded, name = fold_accents(plain(phrase)), fold_accents(answer).strip()
    if not name[:1].isupper():
        return False
    found = [*re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", folded)]
    return bool(found) and all(is_part_of_name(folded, match.start(), match.end()) for match in found)
