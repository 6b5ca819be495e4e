"""Parsing of the possible answer of a task that a reply gives."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from society.answers.plain import plain
from society.answers.stance import Stance, stance

Candidates = Mapping[str, str]
"""Possible answers of a task: each spelling with its canonical form."""
MOST_MENTIONS = 300
"""Maximum number of mentions that are considered, from the end of the text."""
FEW = 10
"""Maximum number of candidates for which a reply that mentions all and declares none chooses none."""

_ORDINARY = (
    r"A|An|The|Is|Are|Was|Be|Of|In|On|At|And|Or|But|It|Its|That|This|To|From|For|City|Capital|Called|Named|"
    r"Answer|Yes|No|Not|"
    r"So|Thus|Hence|Therefore|Maybe|Perhaps|Probably|Definitely|I|We|My|Our|Says?|Said|Option|Choice|Final|"
    r"Correct|Then|"
    r"By|With|As|If|When|Than|Country|Near|Like|Also|Actually|Surely|Today|Visit|Either|Both|Beautiful|Modern|"
    r"Ancient|Famous"
)
"""Words before a name that are not part of it, even in title case."""
_BEFORE = re.compile(r"(?P<word>[A-Z][\w'.]{0,30})[ -]$")
_AFTER = re.compile(r"-\w|[ ](?P<word>[A-Z][\w']{1,30})")
_SENTENCE = re.compile(r"(?:^|[.!?:;\n\"'(\[*_>]\s{0,3})$")
_DECLARED = re.compile(
    r"(?:\b(?:is|are|was|be|it's|answer|named|called|as)\s{1,3}|[:=]\s{0,3})(?:(?:the|a|city|of|capital|indeed|"
    r"actually|still|in|"
    r"therefore|thus|probably|definitely)\s{1,3}){0,4}[\"'(\[*_`]{0,4}$",
    re.IGNORECASE,
)
_JOINED = re.compile(
    r"[\"')\]*_]{0,3}\s{0,2}(?:,|,?\s?(?P<either>\bor\b)|(?P<slash>/))\s{0,2}(?:(?:maybe|perhaps|possibly|"
    r"rather|even|in)\s)?[\"'(\[*_]{0,3}"
)


_AND = re.compile(r"[\"')*_]{0,3}\s(?:and|&)\s[\"'(*_]{0,3}", re.IGNORECASE)
_AFTER_DETERMINER = re.compile(
    r"\s+(?:one|body|idea|clue|doubt|longer|matter|such|answer|opinion|information)\b", re.IGNORECASE
)
"""Words after a "no" that is not an answer, as in "no one knows"."""


@dataclass(frozen=True)
class Spellings:
    """A pattern of all spellings, longest first, with the answer of each."""

    pattern: re.Pattern[str]
    answers: Mapping[str, str]
    exact: Mapping[str, str]
    """Options that differ only in case, as written."""

    def match(self, text: str, place: int = 0) -> re.Match[str] | None:
        """Match a spelling that begins at `place`, after quotes and brackets."""
        return self.pattern.match(text, place)

    def answer(self, match: re.Match[str]) -> str:
        """Return the answer of the matched spelling."""
        if (written := " ".join(match["spelling"].split())) in self.exact:
            return self.exact[written]
        return self.answers[_key(match["spelling"])]


def spelling_pattern(candidates: Candidates) -> Spellings | None:
    """Return the pattern of options in plain text, or None without candidates."""
    return _spelling_pattern(tuple(candidates.items())) if candidates else None


@lru_cache(maxsize=64)
def _spelling_pattern(candidates: tuple[tuple[str, str], ...]) -> Spellings | None:
    answers: dict[str, str] = {}
    exact: dict[str, str] = {}
    for spelling, answer in candidates:
        if key := _key(plain(spelling)):
            answers.setdefault(key, answer)
            exact.setdefault(" ".join(plain(spelling).split()).strip(" ."), answer)
    if not answers:
        return None
    spelled = "|".join(_flexible(key) for key in sorted(answers, key=len, reverse=True))
    return Spellings(re.compile(rf"[\s\"'(\[]{{0,6}}(?P<spelling>{spelled})(?!\w)", re.IGNORECASE), answers, exact)


def _key(spelling: str) -> str:
    return " ".join(spelling.split()).strip(" .").casefold()


def _flexible(key: str) -> str:
    return r"\s+".join(re.escape(word) for word in key.split())


def find_candidate(text: str, candidates: Candidates) -> str | None:
    """Return the answer of the last candidate that the reply asserts, or None.

    Candidates are all possible answers of a task, so nothing here knows which is right. A declared candidate ("the
    capital is Paris") goes before one that is only mentioned; quoted, denied and alternative ones ("Paris or Lyon") do
    not count. Of two that start alike, the longer one counts, and a part of a longer name does not: "New Guinea" is not
    Guinea. Accents do not matter. Capitals do, unless the text has none: "Nice" is a city, "nice" is not.
    """
    if not candidates:
        return None
    folded = fold_accents(text)
    mentions = _mentions(folded, tuple(candidates.items()))
    alternatives = _alternatives(folded, mentions)
    if len(set(candidates.values())) == 2:
        alternatives |= _both(folded, mentions)
    best: tuple[Stance, bool] = (Stance.NOT_ITS_OWN, False)
    chosen = None
    for place in range(len(mentions) - 1, max(-1, len(mentions) - 1 - MOST_MENTIONS), -1):
        start, end, answer = mentions[place]
        how = stance(folded, start, end)
        if how is Stance.NOT_ITS_OWN or place in alternatives:
            continue
        rank = (how, bool(_DECLARED.search(folded[max(0, start - 80) : start])))
        if rank > best:
            best, chosen = rank, answer
    if not best[1] and _lists_all([answer for _, _, answer in mentions], set(candidates.values())):
        return None
    return chosen


def _mentions(folded: str, candidates: tuple[tuple[str, str], ...]) -> list[tuple[int, int, str]]:
    """Return start, end and answer of every candidate in the text that is not part of a longer name."""
    pattern, answers = _candidate_pattern(candidates)
    no_capitals = folded == folded.lower()
    found = []
    for match in pattern.finditer(folded):
        answer, capital = answers.get(match[0]) or answers[match[0].lower()]
        if is_determiner(folded, match[0], match.end()):
            continue
        named = no_capitals or not capital or match[0][0].isupper()
        if named and not (capital and not no_capitals and is_part_of_name(folded, match.start(), match.end())):
            found.append((match.start(), match.end(), answer))
    return found


def is_part_of_name(text: str, start: int, end: int) -> bool:
    """Return whether a capitalized word beside `text[start:end]` belongs to the name."""
    after = _AFTER.match(text, end)
    if after and (after["word"] is None or not re.fullmatch(_ORDINARY, after["word"])):
        return not text[start:end].isupper() or after["word"] is None or after["word"].isupper()
    before = _BEFORE.search(text[max(0, start - 34) : start])
    if before is None or re.fullmatch(_ORDINARY, before["word"], re.IGNORECASE):
        return False
    place = start - len(before[0])
    return (
        before[0].endswith("-")
        or not _SENTENCE.search(text[max(0, place - 6) : place])
        or bool(_COMPOUND.fullmatch(before["word"]))
    )


_COMPOUND = re.compile(
    r"New|North|South|East|West|Northern|Southern|Eastern|Western|Upper|Lower|Greater|Equatorial|Papua|Saint|"
    r"St\.?|Port|Fort|"
    r"San|Santa|Santo|Little|Old"
)
"""Words that begin a name, even at the start of a sentence."""


def _alternatives(text: str, mentions: list[tuple[int, int, str]]) -> set[int]:
    """Return the places of mentions that are joined by "or" with another answer: "Faro, Lisbon or Porto"."""
    found: set[int] = set()
    run, is_choice = [0], False
    for place in range(1, len(mentions) + 1):
        joined = _joint(text, mentions, place) if place < len(mentions) else None
        if joined is None:
            found.update(run if is_choice and len({mentions[i][2] for i in run}) > 1 else ())
            run, is_choice = [], False
        else:
            is_choice = is_choice or bool(joined["either"] or joined["slash"])
        run.append(place)
    return found


def is_determiner(text: str, spelling: str, end: int) -> bool:
    """Return whether a "no" that ends at `end` belongs to the next word, as in "no one knows"."""
    return spelling.lower() == "no" and _AFTER_DETERMINER.match(text, end) is not None


def _both(text: str, mentions: list[tuple[int, int, str]]) -> set[int]:
    """Return the places of mentions that give both of two answers: "yes and no"."""
    found: set[int] = set()
    for place in range(1, len(mentions)):
        (_, end, first), (start, _, second) = mentions[place - 1], mentions[place]
        if first != second and _AND.fullmatch(text[end:start]):
            found |= {place - 1, place}
    return found


def _joint(text: str, mentions: list[tuple[int, int, str]], place: int) -> re.Match[str] | None:
    between = text[mentions[place - 1][1] : mentions[place][0]]
    return _JOINED.fullmatch(between) if len(between) < 30 else None


def _lists_all(mentioned: list[str], answers: set[str]) -> bool:
    return 3 <= len(answers) <= FEW and set(mentioned) == answers


@lru_cache(maxsize=64)
def _candidate_pattern(
    candidates: tuple[tuple[str, str], ...],
) -> tuple[re.Pattern[str], dict[str, tuple[str, bool]]]:
    """Return a pattern of all spellings, longest first, and for each its answer and whether it needs a capital."""
    answers: dict[str, tuple[str, bool]] = {}
    for spelling, answer in candidates:
        folded = fold_accents(spelling)
        answers.setdefault(folded.lower(), (answer, folded[:1].isupper()))
    spellings = sorted(answers, key=len, reverse=True)
    exact = {
        fold_accents(spelling): (answer, fold_accents(spelling)[:1].isupper())
        for spelling, answer in reversed(candidates)
    }
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, spellings))})(?!\w)", re.IGNORECASE), answers | exact


def fold_accents(text: str) -> str:
    """Return `text` without accents, in compatibility form, with straight quotes, single spaces and single newlines."""
    straight = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("\N{MODIFIER LETTER TURNED COMMA}", "'")
    decomposed = "".join(
        char if unicodedata.category(char) == "Sm" else unicodedata.normalize("NFKD", char) for char in straight
    )
    plain_text = "".join(char for char in decomposed if not unicodedata.combining(char))
    return re.sub(r"\s+", _one_space, plain_text)


def _one_space(space: re.Match[str]) -> str:
    return "\n" if "\n" in space[0] else " "
