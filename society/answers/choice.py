"""Parsing of the letter of a choice, A to J, by the last sign that the reply asserts.

There are three kinds of signs. If a reply has signs of a stronger kind, the weaker ones are ignored:

1. Declared: "the answer is B", "Answer: B", "I choose B", "B is correct", a box, a letter alone on its line.
2. Headed: a line that starts with a letter, such as "B. Paris" or "**B)** Paris".
3. Mentioned: "(B)" or "option B" inside a sentence.

Options that are listed in order ("A) 3 B) 4 C) 5") are not signs. Nor is a letter inside a sentence, which may be the
article "A" or the pronoun "I".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from society.answers.cues import CHOOSES, CONCLUDES, CUE
from society.answers.lazy_pattern import compile_later
from society.answers.mentions import Spellings, is_determiner, spelling_pattern
from society.answers.plain import BOX, END, plain
from society.answers.stance import Stance, stance

Entry = TypeVar("Entry", "Sign", re.Match[str])

OPTION_LETTERS = "ABCDEFGHIJ"
"""Letters of the options of a multiple-choice question, in order."""
MOST_SIGNS = 300
"""Maximum number of signs of one kind that are considered, from the end of the text."""

CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Characters of scripts without spaces between words. Beside them, a Latin letter is a word of its own."""
_WORD = rf"[^\W{CJK}]"
_AFTERWARDS = compile_later(
    r"because|since|as|and|or|but|which|given|due|for|by|is|was|are|were|in|with|from|on|to|if|when|where|that|not|here|"
    r"based|after|so|therefore|while|of|among|according|at|this|these|its?|then|too|again|both|would|will|can|meaning|"
    r"having|being|i\.e|e\.g|ist|est|es"
)
"""Words that may follow a letter in a sentence. Any other word makes "A" an article."""


class Kind(IntEnum):
    """Kinds of signs, from least to most explicit."""

    MENTIONED = 1
    HEADED = 2
    DECLARED = 3


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of a choice in the plain text."""

    kind: Kind
    start: int  # where the sentence that shows it begins to speak of it
    end: int
    letter: str


_LETTER = rf"(?<!{_WORD})(?P<letter>[A-Ja-j])(?!{_WORD}|['\u2019]\w|[-\u2013]\w|[+#°]|/\s?[A-Za-z]|\.\w)"
_DECORATED = (
    rf"[\s\"'(\[{{<{BOX}]{{0,6}}"
    rf"(?:(?:the\s+)?(?:option|choice|letter|answer|alternative)\s{{0,3}}[\"'(\[{{]{{0,3}})?{_LETTER}"
)
_AT = compile_later(_DECORATED, re.IGNORECASE)
_CUE = compile_later(CUE, re.IGNORECASE)
_CHOOSES = compile_later(CHOOSES, re.IGNORECASE)
_CONCLUDES = compile_later(CONCLUDES, re.IGNORECASE)
_ENDS = compile_later(rf"[\s)\]}}\"'.!{END}。]{{0,6}}(?:$|\n|[.!。]\s)")
_RIGHT = compile_later(
    rf"(?:(?P<marked>[(\[]|\b(?:option|choice|answer|"
    rf"letter)\s{{1,3}}[(\[]?))?{_LETTER}[)\]]?(?P<text>[.):,]?\s[^.\n;!?]{{1,60}}?)?"
    r"\s{1,3}(?:is|would\s+be|must\s+be|should\s+be|seems(?:\s+to\s+be)?|looks|appears(?:\s+to\s+be)?|has\s+to\s+be)\s+"
    r"(?:(?:the|my|our|indeed|clearly|therefore|thus|also|still|definitely|only|most|more|likely|final|single|"
    r"one)\s+){0,4}"
    r"(?:correct|right|best|better|preferable|answer|true|accurate|appropriate|choice|favou?rite|winner)\b",
    re.IGNORECASE,
)
_BOXED = compile_later(rf"{BOX}(?P<inside>[^{BOX}{END}\n]{{0,400}})(?:{END}|$)", re.MULTILINE)
_INSIDE = compile_later(
    rf"\W{{0,6}}(?:(?:the|final|correct|answer|option|choice|letter|is)\b\W{{0,4}}){{0,4}}{_LETTER}(?:\W*$|"
    rf"\s*[.):]\s*\S.*$|\s+-\s.*$)",
    re.IGNORECASE | re.DOTALL,
)
_ALONE = compile_later(
    rf"^[ \t\"'(\[{{<>#•|\-\u2013]{{0,16}}(?:(?:so|thus|therefore|hence|final|my|the|option|choice|letter|"
    rf"answer)\b[\s:,]{{1,3}}){{0,3}}"
    rf"[\"'(\[{{]{{0,3}}{_LETTER}[\"' \t\r)\]}}>.:!,|。]{{0,12}}$",
    re.MULTILINE | re.IGNORECASE,
)
_HEADED = compile_later(
    rf"^[ \t\"'>#•\-]{{0,16}}(?:(?:option|choice)\s)?(?:[(\[]{_LETTER}[)\]]:?|"
    rf"{_LETTER.replace('letter', 'bare')}"
    r"(?:\s?[.):\]]|\s[-\u2013\u2014]|(?<=[B-H]),|,(?=\s(?:because|since|as)\b)))(?=\s|$)",
    re.MULTILINE,
)
_MENTIONED = compile_later(
    rf"(?<!{_WORD})[(\[]\s?{_LETTER}\s?[)\]]|\b(?:[Oo]ption|[Cc]hoice|[Aa]lternative|OPTION|"
    rf"CHOICE)s?\s[(\[\"']?{_LETTER.replace('letter', 'bare')}"
    rf"|(?:选项|選項|选|選)\s?{_LETTER.replace('letter', 'other')}"
)
_LISTED = compile_later(rf"(?<!{_WORD})[(\[]?(?P<letter>[A-J])[.):\]](?=\s)")
_BEFORE_OR = compile_later(r"[A-J][)\]\"']?(?:,?\s(?:or|and)\s|,\s|/)(?:option\s|choice\s)?$")
_ANOTHER = compile_later(
    r"[\s)\]}\"']{0,4}(?:,|/|&|\bor\b|\band\b|,\s?or\b|,\s?and\b)\s{0,3}(?:maybe\s|perhaps\s|possibly\s|also\s|"
    r"option\s|choice\s)?"
    r"[(\[\"']{0,2}(?P<other>[A-Ja-j])(?!\w|['\u2019])(?P<after>\s+[a-z]+)?",
    re.IGNORECASE,
)


def find_choice(text: str, candidates: Mapping[str, str] | None = None) -> str | None:
    """Return the letter that the reply chooses, in upper case, or None.

    `candidates` maps the text of each option to its letter: an option may be declared or boxed in words, and letters
    beyond the last option are no choices.
    """
    text = plain(text)
    letters = _allowed(candidates)
    signs = [sign for sign in choice_signs(text, candidates) if sign.letter in letters]
    superseded = None
    for kind in (Kind.DECLARED, Kind.HEADED, Kind.MENTIONED):
        for sign in [s for s in signs if s.kind is kind][: -MOST_SIGNS - 1 : -1]:
            how = stance(text, sign.start, sign.end)
            if how is Stance.OWN:
                return sign.letter
            if how is Stance.SUPERSEDED:
                superseded = superseded or sign.letter
    return superseded


def _allowed(candidates: Mapping[str, str] | None) -> str:
    known = [value for value in (candidates or {}).values() if value in OPTION_LETTERS]
    return OPTION_LETTERS[: OPTION_LETTERS.index(max(known)) + 1] if known else OPTION_LETTERS


def choice_signs(text: str, candidates: Mapping[str, str] | None = None) -> list[Sign]:
    """Return all signs of a choice in plain text, in order, without listed options."""
    found = sorted((*_declared(text, candidates or {}), *_written(text)), key=lambda sign: (sign.end, sign.start))
    return [*_drop_lists(found, text)]


def _declared(text: str, candidates: Mapping[str, str]) -> Iterator[Sign]:
    spelled = spelling_pattern(candidates)
    for pattern in (_CUE, _CHOOSES, _CONCLUDES):
        for cue in pattern.finditer(text):
            found = _AT.match(text, cue.end())
            option = spelled.match(text, cue.end()) if spelled else None
            if spelled and option and (not found or option.end() > found.end()):
                if _names_another(text, option, spelled):
                    continue
                yield Sign(Kind.DECLARED, option.start("spelling"), option.end(), spelled.answer(option))
            elif found and found["letter"] == "a" and _is_cut_off(text, cue, found):
                continue
            elif found and (pattern is not _CONCLUDES or _ENDS.match(text, found.end())):
                yield from _letter_sign(text, found, Kind.DECLARED)
    for box in _BOXED.finditer(text):
        found = _INSIDE.match(box["inside"])
        option = spelled.match(box["inside"].strip(" .\"'")) if spelled else None
        if (
            spelled
            and option
            and (not found or (len(option["spelling"]) > 1 and option.start("spelling") <= found.start("letter")))
        ):
            yield Sign(Kind.DECLARED, box.start(), box.end(), spelled.answer(option))
        elif found:
            yield Sign(Kind.DECLARED, box.start(), box.end(), found["letter"].upper())
    for match in _ALONE.finditer(text):
        yield from _letter_sign(text, match, Kind.DECLARED)
    yield from _called_right(text)


def _names_another(text: str, option: re.Match[str], spelled: Spellings) -> bool:
    """Return whether another option follows, as in "yes and no", or the option is part of another phrase: "no one"."""
    if is_determiner(text, option["spelling"], option.end("spelling")):
        return True
    joined = _JOINED_OPTION.match(text, option.end())
    other = spelled.match(text, joined.end()) if joined else None
    return other is not None and spelled.answer(other) != spelled.answer(option)


def _called_right(text: str) -> Iterator[Sign]:
    """Yield each letter that the text calls correct, such as B in "A is wrong, B is right"."""
    place = 0
    while match := _RIGHT.search(text, place):
        if _is_marked(match):
            yield Sign(Kind.DECLARED, match.start(), match.end(), match["letter"].upper())
        place = match.end("letter")  # in "B. Between C and D, D is right" the last letter is called right


_JOINED_OPTION = compile_later(r"[\"')]{0,3}\s(?:and|or|&)\s|/", re.IGNORECASE)
_NAMES_CHOICE = compile_later(r"\W*(?:answer|option|choice|letter|ans)|.*[:=]\s*$", re.IGNORECASE | re.DOTALL)


def _is_cut_off(text: str, cue: re.Match[str], found: re.Match[str]) -> bool:
    """Return whether an "a" at the end may be the article of a truncated sentence: "the solution is a"."""
    return not text[found.end() :].strip() and not _NAMES_CHOICE.match(cue[0])


def _written(text: str) -> Iterator[Sign]:
    for match in _HEADED.finditer(text):
        letter = match["letter"] or match["bare"]
        if letter != "i":
            yield Sign(Kind.HEADED, match.start(), match.end(), letter.upper())
    for match in _MENTIONED.finditer(text):
        letter = match["letter"] or match["bare"] or match["other"]
        if (
            letter != "i"
            and not _BEFORE_OR.search(text[max(0, match.start() - 12) : match.start()])
            and reads_as_letter(text, match.end(), letter)
        ):
            yield Sign(Kind.MENTIONED, match.start(), match.end(), letter.upper())


def _letter_sign(text: str, match: re.Match[str], kind: Kind) -> Iterator[Sign]:
    letter, end = match["letter"], match.end("letter")
    if reads_as_letter(text, end, letter):
        yield Sign(kind, match.start("letter"), end, letter.upper())


def _is_marked(match: re.Match[str]) -> bool:
    """Return whether "A ... is correct" speaks of a letter, not of a noun with its article."""
    if match["text"] is None:
        return match["letter"].isupper() or match["marked"] is not None
    return match["marked"] is not None or match["text"][0] in ".):"


def reads_as_letter(text: str, end: int, letter: str) -> bool:
    """Return whether a letter that ends at `end` is one option: it begins no prose and is joined to no other."""
    following = text[end : end + 60]
    if joined := _ANOTHER.match(following):
        other, after = joined["other"], joined["after"]
        if other.upper() != letter.upper() and (after is None or (other.isupper() and other not in "AI")):
            return bool(re.match(r"[\s)\]]*(?:,\s?)?and\b", following)) and _is_about_others(
                following[joined.end() :], after
            )
    word = re.match(r"[)\]\"'}]?\s+([^\W\d_][\w.]*)", following)
    if word is None or following[:1] in ")].:":
        return True
    if not word[1][0].islower() and letter.isupper():
        return True
    return _AFTERWARDS.fullmatch(word[1].rstrip(".")) is not None


def _is_about_others(rest: str, after: str | None) -> bool:
    """Return whether "and C are wrong" begins a statement about other options."""
    return (
        re.match(
            r"\s*(?:and\s+\w\s+)?(?:is|are|was|were|can|do|does)?\s*(?:\w+\s+){0,2}?(?:wrong|incorrect|not|false)",
            (after or "") + rest,
        )
        is not None
    )


def _drop_lists(signs: Sequence[Sign], text: str) -> Iterator[Sign]:
    """Remove options that are listed in ascending order, as they are not chosen."""
    heads = [(head.start(), _line_end(text, head.end())) for head in _HEADED.finditer(text)]
    entries = [entry for start, end in heads for entry in _LISTED.finditer(text, start, end)]
    headed = {match.end() for run in _ascending_runs(entries) for match in run}
    shown = set(headed)
    for kind, least in ((Kind.MENTIONED, 3), (Kind.DECLARED, 3)):
        for run in _ascending_runs([sign for sign in signs if sign.kind is kind and _stands_alone(sign, text)]):
            if len(run) >= least and run[0].letter == "A":
                shown.update(sign.end for sign in run)
    for sign in signs:
        if sign.end not in shown or (sign.kind is Kind.DECLARED and not _stands_alone(sign, text)):
            yield sign


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end


def _stands_alone(sign: Sign, text: str) -> bool:
    """Return whether nothing but the letter is in a declared sign: a box or a cue cannot be an entry of a list."""
    if sign.kind is not Kind.DECLARED:
        return True
    line = text[text.rfind("\n", 0, sign.start) + 1 : sign.start]
    return sign.end - sign.start <= 1 and not line.strip(" \t\"'([{<>#•-*")


def _ascending_runs(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Yield every longest run of at least two neighbours whose letters ascend."""
    run: list[Entry] = []
    for entry in entries:
        if run and _letter_of(entry) > _letter_of(run[-1]):
            run.append(entry)
            continue
        if len(run) > 1:
            yield run
        run = [entry]
    if len(run) > 1:
        yield run


def _letter_of(entry: Sign | re.Match[str]) -> str:
    return entry.letter if isinstance(entry, Sign) else entry["letter"].upper()
