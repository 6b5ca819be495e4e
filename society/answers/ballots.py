"""Parsing of votes and rankings: candidates by letter.

A ballot is, from the most explicit form to the least:

1. a ranking: "C > A > B", or one entry a line, numbered or not;
2. a list: "A, C", "Votes: A and C", a letter alone on its line;
3. a declaration: "I vote for B", "B is best. A close second is C.";
4. a mention: "I'd say C".

The last ballot of the most explicit form counts. Quoted or denied ballots do not count, nor does a list of all
candidates in their order ("A. Rome / B. Oslo / C. Bern").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from society.answers.choice import Kind, choice_signs, reads_as_letter
from society.answers.lazy_pattern import compile_later
from society.answers.plain import BOX, END, plain
from society.answers.stance import Stance, stance

MAX_TEXT = 10_000
"""Maximum length of the text that is parsed, in characters from its end."""

_LETTER = r"(?<![^\W_])(?P<letter>[A-Za-z])(?![^\W_]|['\u2019]\w)"
_ITEM = rf"[\s\"'(\[{{]{{0,4}}(?:(?:option|candidate|answer|choice|letter)\s{{1,3}})?[\"'(\[]?{_LETTER}[\"')\]}}]?"
_OVER = compile_later(r"\s*(?:=>|>+|≻|⟩|→|->|\u203a|&gt;|=|≈)\s*")
_PREFERS = compile_later(r"[>≻⟩→\u203a]|&gt;")
_ITEM_AT = compile_later(_ITEM, re.IGNORECASE)
_INTRODUCTION = compile_later(
    r"[^\n:=]{0,80}[:=]|\W{0,8}(?:I\s{1,3})?(?:(?:would|will|do)\s{1,3})?(?:vote\s{1,3}for|"
    r"approve(?:\s{1,3}of)?|choose|pick|select|prefer|"
    r"support|like|back)\b",
    re.IGNORECASE,
)
_SEPARATORS = compile_later(r"[\s,;/&|()\[\]{}\"'.!:>#+-]+")
_JOINS = frozenset(("", "and", "then", "option", "options", "candidate", "candidates", "answer", "answers"))
_ENTRY = compile_later(
    rf"^\s*(?:(?P<place>\d{{1,2}})\s?(?:[.):]|st|nd|rd|th)|#(?P<hash>\d{{1,2}})|(?P<bullet>[-•+])|(?:rank|place|"
    rf"choice)\s?(?P<rank>\d{{1,2}})|"
    r"(?P<word>first|second|third|fourth|fifth|sixth|best|worst|last|next|runner-up|then|finally))\s?"
    rf"(?:place|choice|best|rank|preference)?\s?[:.)\u2014\u2013=-]?{_ITEM}(?P<rest>.*)$",
    re.IGNORECASE,
)
_INLINE_ENTRY = compile_later(
    r"(?<!\w)(?:(?P<place>\d{1,2})\s?(?:[.):]|(?:st|nd|rd|th)\b\s?(?:choice|place|preference|rank)?\s?[:,=]?)|"
    rf"\b(?:first|second|third|fourth|fifth)\b\s?(?:choice|place|preference)?\s?[:,]?){_ITEM}",
    re.IGNORECASE,
)
_PLACED = compile_later(rf"{_LETTER}[)\]\"']?\s?(?:[:=]|is|comes)\s?(?P<place>\d{{1,2}})(?:st|nd|rd|th)\b")
_ORDINAL = compile_later(
    rf"{_LETTER}\s(?:(?:as|in|is)\s)?(?:the\s|my\s)?(?P<place>first|second|third|fourth|fifth|sixth|last)\b",
    re.IGNORECASE,
)
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "last")
_REJECTED = compile_later(
    r"\b(?:reject|disapprove(?:\s+of)?|oppose|against)\b\s?:?\s?[(\[]?[A-Z]\b[)\]]?(?:\s?(?:,|&|and|or)\s?[(\[]?[A-Z]\b[)\]]?)*",
    re.IGNORECASE,
)
_ASCENDS = compile_later(rf"{_LETTER}\s?(?:<|&lt;)\s?[A-Za-z]\b(?!\s?>)")
_INSTEAD = compile_later(r"[,;.]\s(?:but|however|now|after)\b", re.IGNORECASE)
_BARE = compile_later(rf"^\W{{0,6}}{_LETTER}\W{{0,6}}$")
_TITLED = compile_later(rf"^[\s\"']{{0,4}}[(\[]?{_LETTER}[.):\]]+\s+\S.*$")
_MENTION = compile_later(rf"{_LETTER}")
_RUNNER_UP = compile_later(
    rf"\b(?:second|third|fourth|fifth|next|runner-up|followed\s+by|then|after\s+(?:that|it)|last|lastly|"
    rf"finally)\b[^.\n]{{0,40}}?{_LETTER}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Paper:
    """A ballot in the text: its candidates in order, its place, and the rank of its form."""

    rank: int
    place: int
    chosen: tuple[int, ...]


def read_letters(text: str, count: int) -> list[int]:
    """Return the indices of the candidates that the text votes for or ranks, in order, each once.

    `count` is the number of candidates, lettered from A. Other letters are ignored.
    """
    text = plain(text[-MAX_TEXT:]).replace(BOX, " ").replace(END, " ")
    text = _REJECTED.sub(lambda match: " " * len(match[0]), text)
    papers = [paper for paper in _papers(text, count) if paper.chosen]
    if not papers:
        return []
    best = max(paper.rank for paper in papers)
    return list(max((p for p in papers if p.rank == best), key=lambda paper: paper.place).chosen)


def _papers(text: str, count: int) -> Iterator[_Paper]:
    lines = text.splitlines()
    places = _line_places(text)
    for place, line in zip(places, lines, strict=True):
        if stance(text, place, place + len(line)) is Stance.NOT_ITS_OWN:
            continue
        for rank, chosen in (
            (4, _read_chain(line, count)),
            (4, _read_placed(line, count) or _read_inline(line, count)),
            (3, _read_list(line, count)),
        ):
            yield _Paper(rank, place, chosen)
    yield from _blocks(lines, places, count)
    declared = _read_declared(text, count)
    yield _Paper(2, 0, declared)
    entries = [bool(_TITLED.match(line)) for line in lines]
    for place, line, is_entry in zip(places, lines, entries, strict=True):
        if not is_entry or sum(entries) == 1:
            yield _Paper(1, place, _read_mentions(text, place, line, count))


def _line_places(text: str) -> list[int]:
    places, place = [], 0
    for line in text.splitlines(keepends=True):
        places.append(place)
        place += len(line)
    return places


def _unique(letters: Sequence[str], count: int) -> tuple[int, ...]:
    indices = (ord(letter.upper()) - ord("A") for letter in letters)
    return tuple(dict.fromkeys(index for index in indices if 0 <= index < count))


def _read_chain(line: str, count: int) -> tuple[int, ...]:
    """Parse "My ranking: C > A. Rome > B": the last letter before the first sign, the first letter after each other."""
    pieces = [piece for piece in _INSTEAD.split(line) if _PREFERS.search(piece.lstrip(" >"))]
    line = pieces[-1] if len(pieces) > 1 else line  # "A > B at first, but now B > A"
    # "A < B < C" is the ranking C > B > A.
    if ">" not in line and _ASCENDS.search(line):
        line = " > ".join(reversed(re.split("<|&lt;", line.rpartition(":")[2])))
    if not _PREFERS.search(line.lstrip(" >")):
        return ()
    parts = [part for part in _OVER.split(line.lstrip(" >")) if part.strip()]
    if len(parts) < 2:
        return ()
    # The first part may begin with other words, so its last letter counts, unless it is the title of an option.
    first = [match["letter"] for match in _MENTION.finditer(parts[0]) if _is_candidate(match["letter"], count)]
    titled = _TITLED.match(parts[0].rpartition(":")[2]) or _TITLED.match(parts[0])
    letters = first[-1:]
    if letters and titled:
        letters = [titled["letter"]]
    for part in parts[1:]:
        if found := _ITEM_AT.match(part):
            letters.append(found["letter"])
    chosen = _unique(letters, count)
    return chosen if len(chosen) > 1 else ()


def _is_candidate(letter: str, count: int) -> bool:
    return 0 <= ord(letter.upper()) - ord("A") < count


def _read_inline(line: str, count: int) -> tuple[int, ...]:
    """Parse "1. C 2. A 3. B", "first C, second A" or "C first, A second"."""
    found = [(int(match["place"] or 0), match["letter"]) for match in _INLINE_ENTRY.finditer(line)]
    if len(found) < 2:
        found = [(_ORDINALS.index(match["place"].casefold()), match["letter"]) for match in _ORDINAL.finditer(line)]
    if len(found) < 2:
        return ()
    chosen = _unique([letter for _, letter in sorted(found, key=lambda entry: entry[0])], count)
    return chosen if len(chosen) > 1 else ()


def _read_placed(line: str, count: int) -> tuple[int, ...]:
    """Parse "A: 3rd, B: 1st, C: 2nd"."""
    found = [(int(match["place"]), match["letter"]) for match in _PLACED.finditer(line)]
    return _unique([letter for _, letter in sorted(found)], count) if len(found) > 1 else ()


def _read_list(line: str, count: int) -> tuple[int, ...]:
    """Parse a line of letters, such as "A, C" or "Votes: A and C"."""
    start = _INTRODUCTION.match(line)
    words = _SEPARATORS.split(line[start.end() :] if start else line)
    letters = [word for word in words if word.casefold() not in _JOINS]
    if not all(len(letter) == 1 and letter.isalpha() and letter.isascii() for letter in letters):
        return ()
    return _unique(letters, count) if all(_is_candidate(letter, count) for letter in letters) else ()


def _blocks(lines: Sequence[str], places: Sequence[int], count: int) -> Iterator[_Paper]:
    """Yield rankings with one entry per line: numbered, bare letters, or letters with the candidate's text."""
    run: list[tuple[str, int, str]] = []  # form, number and letter of each line of the block so far
    for place, line in zip([*places, 0], [*lines, None], strict=True):
        entry = _entry(line, count) if line is not None else None
        if entry is not None and (not run or run[-1][0] == entry[0]):
            run.append(entry)
            end = place
            continue
        if line is not None and not line.strip():
            continue
        if chosen := _ranking(run, count):
            yield _Paper(4, end, chosen)
        run = [entry] if entry is not None else []
        end = place


def _entry(line: str, count: int) -> tuple[str, int, str] | None:
    """Return form, number and letter of a line of a ranking."""
    if bare := _BARE.match(line):
        return ("bare", 0, bare["letter"]) if _is_candidate(bare["letter"], count) else None
    if match := _ENTRY.match(line):
        letter = match["letter"]
        if _is_candidate(letter, count) and _is_label(letter, match["rest"]):
            return "numbered", int(match["place"] or match["hash"] or match["rank"] or 0), letter
    if (titled := _TITLED.match(line)) and titled["letter"].isupper() and _is_candidate(titled["letter"], count):
        return "titled", 0, titled["letter"]
    return None


def _is_label(letter: str, rest: str) -> bool:
    """Return whether a letter at the start of an entry is a candidate, not the first word of a sentence."""
    return reads_as_letter(letter + rest, 1, letter) and (letter.isupper() or not rest.strip() or rest[:1] in ").:,")


def _ranking(run: Sequence[tuple[str, int, str]], count: int) -> tuple[int, ...]:
    if len(run) < 2:
        return ()
    form = run[0][0]
    letters = [letter for _, _, letter in sorted(run, key=lambda entry: entry[1])]
    chosen = _unique(letters, count)
    if form == "titled" and chosen == tuple(range(len(chosen))) and len(chosen) == count:
        return ()  # a copy of the list of candidates
    return chosen if len(chosen) > 1 else ()


def _read_declared(text: str, count: int) -> tuple[int, ...]:
    """Return the last declared favorite and the runners-up after it."""
    signs = [sign for sign in choice_signs(text) if sign.kind is Kind.DECLARED and _is_candidate(sign.letter, count)]
    own = [sign for sign in signs if stance(text, sign.start, sign.end) is Stance.OWN]
    runners = [
        match for match in _RUNNER_UP.finditer(text) if reads_as_letter(text, match.end("letter"), match["letter"])
    ]
    favourites = [sign for sign in own if not any(match.start() <= sign.start <= match.end() for match in runners)]
    if not favourites:
        return ()
    favourite = favourites[-1]
    return _unique([favourite.letter, *(m["letter"] for m in runners if m.start() > favourite.start)], count)


def _read_mentions(text: str, place: int, line: str, count: int) -> tuple[int, ...]:
    """Return the letters of a line that are not words and are not denied."""
    chosen = []
    for match in _MENTION.finditer(line):
        letter, marked = match["letter"], line[max(0, match.start() - 1) : match.start()] in ("(", "[")
        if not _is_candidate(letter, count) or not (letter.isupper() or marked):
            continue
        inside = letter == "A" and re.search(r"[a-z] \Z", line[: match.start()])  # no article has a capital there
        if letter in "AI" and not (marked or inside or _is_apart(line, match)):
            continue
        if stance(text, place + match.start(), place + match.end()) is not Stance.NOT_ITS_OWN:
            chosen.append(letter)
    return _unique(chosen, count)


def _is_apart(line: str, match: re.Match[str]) -> bool:
    """Return whether an A or I cannot be a word: it ends the line or clause, or another letter follows."""
    return (
        re.match(r"\s*(?:$|[.,;:)>&/]|\band\s+[A-Z]\b|\bor\s+[A-Z]\b|beats\b|wins\b|over\b)", line[match.end() :])
        is not None
    )
