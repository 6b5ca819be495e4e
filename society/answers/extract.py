"""Finds the final answer in a model's text.

    tag          the last <answer>...</answer>
    boxed        the last balanced \\boxed{...}; of nested ones the innermost
    hash         what follows the last ####, to the end of its line
    last_number  the last number; 1,234.5 and $3 and 50% lose their decoration; fractions stay fractions
    choice       the letter A to J that is declared the answer, stands in brackets or stands alone
    candidates   the last mentioned of the task's possible answers
    line         the last line that is not empty
    text         the whole text
    {regex: P}   the first group (or all) of the last match of P

Extractors are tried in the given order and the first that finds something decides. All take time linear in
the text, except a regex, which has a time limit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from society.component import Component
from society.errors import SlowPatternError

MAX_TEXT = 100_000
"""Characters. Only this much of the end of a longer text is looked at."""
MAX_REGEX = 1_000
REGEX_SECONDS = 0.5

Candidates = Mapping[str, str]
"""Each way to write a possible answer of a task, and the answer it stands for."""


def _check_regex(pattern: str) -> str:
    from society.text import compile_pattern

    compile_pattern(pattern)
    return pattern


class Regex(Component):
    """An extractor that a scenario writes itself."""

    regex: Annotated[str, Field(min_length=1, max_length=MAX_REGEX), AfterValidator(_check_regex)]
    """A regular expression. Its first group, or all it matches if it has none, is the answer."""


Named = Literal["tag", "boxed", "hash", "last_number", "choice", "candidates", "line", "text"]
Extractor = Named | Regex


def extract(text: str, extractors: Sequence[Extractor], candidates: Candidates | None = None) -> str | None:
    """What the first of `extractors` that finds something finds, stripped; None if none does.

    Raises `SlowPatternError` for a text in which a regular expression takes too long.
    """
    text = text[-MAX_TEXT:]
    for extractor in extractors:
        if extractor == "candidates":
            found = find_candidate(text, candidates or {})
        elif isinstance(extractor, Regex):
            found = find_regex(text, extractor.regex)
        else:
            found = _FINDERS[extractor](text)
        if found and found.strip():
            return found.strip()
    return None


def find_tag(text: str) -> str | None:
    """What stands between the last `<answer>` that is closed and its `</answer>`."""
    end = text.lower().rfind("</answer>")
    start = text.lower().rfind("<answer>", 0, max(end, 0))
    return text[start + len("<answer>") : end] if 0 <= start < end else None


_BOX_TOKENS = re.compile(r"\\(?:boxed|fbox)\s*\{|\\boxed\s+([^\s{}$\\]+)|\\.|[{}]", re.DOTALL)


def find_boxed(text: str) -> str | None:
    r"""The contents of the last balanced `\boxed{...}` (the one that opens last), or of `\boxed 5`."""
    opened: list[int | None] = []  # where the contents of each open brace start; None for a brace without box
    best: tuple[int, str] | None = None
    for token in _BOX_TOKENS.finditer(text):
        if token[1]:
            best = (token.start(1), token[1])
        elif token[0] == "{":
            opened.append(None)
        elif token[0].endswith("{") and len(token[0]) > 2:
            opened.append(token.end())
        elif token[0] == "}" and opened:
            start = opened.pop()
            if start is not None and (best is None or start > best[0]):
                best = (start, text[start : token.start()])
    return best[1] if best else None


def find_hash(text: str) -> str | None:
    """What follows the last `####` that has something behind it, to the end of the line."""
    found = re.findall(r"####[ \t]*([^\s#][^\n]*)", text)
    return found[-1] if found else None


_NO_WORD = r"(?![\w'\N{RIGHT SINGLE QUOTATION MARK}])"
_AFTER_LETTER = r"because|since|as\b|and\b|or\b|but\b|which|given|due|for\b|by\b"
_NOT_PROSE = _NO_WORD + rf"(?!\s+(?!{_AFTER_LETTER})[a-z])"  # "the answer is A dog" declares no letter
_OPEN = r"[\s*_`:(\[{$\"]*(?:\\(?:text|boxed|mathrm|textbf)\{\(?)?"
_CHOICES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        # "the answer is B", "Answer: **B**", "correct option is (B)"
        r"(?i:answer|option|choice)\s*(?:\b(?:is|would be|must be)\b|:|=)+" + _OPEN + "([A-J])" + _NOT_PROSE,
        r"\\boxed\s*\{[\s({]*(?:\\(?:text|mathrm|textbf)\{\(?)?([A-J])(?![\w'])",
        r"\(([A-J])\)",  # "(B)"
        r"^[\s*_`>#\-]*([A-J])[\s*_`]*[.):]?[\s*_`]*$",  # "B" alone on its line
        r"^[\s*_`]*([A-J])[.):](?=\s)",  # "B. Paris"
        r"(?i:\b(?:option|choice)) ([A-J])" + _NO_WORD,
    )
)


def find_choice(text: str) -> str | None:
    """The chosen letter, by the most explicit sign: a declaration, a box, brackets, a line of its own.

    A letter inside a sentence never counts by itself: it may be the article "A" or the pronoun "I".
    """
    for pattern in _CHOICES:
        found = pattern.findall(text)
        if found:
            return str(found[-1])
    return None


def find_line(text: str) -> str | None:
    """The last line that is not empty."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), None)


def find_regex(text: str, pattern: str) -> str | None:
    """The first group (all, if there is none) of the last match. Raises `SlowPatternError` when it takes too long."""
    import regex

    last = None
    try:
        for match in regex.finditer(pattern, text, timeout=REGEX_SECONDS):
            last = match
    except TimeoutError:
        raise SlowPatternError(pattern, REGEX_SECONDS) from None
    if last is None:
        return None
    found = last[1] if last.re.groups else last[0]
    return None if found is None else str(found)


def find_candidate(text: str, candidates: Candidates) -> str | None:
    """The answer that the last mentioned candidate stands for; None if no candidate is mentioned.

    Candidates are all possible answers of a task, so nothing here knows which is right. Where several are
    mentioned, the last one is the answer, as with numbers; of two that start alike, the longer one. Accents
    do not matter. Capitals do, unless the text has none: "Nice" is a city, "nice" is not.
    """
    if not candidates:
        return None
    folded = fold_accents(text)
    pattern, answers = _candidate_pattern(tuple(candidates.items()))
    found = None
    no_capitals = folded == folded.lower()
    for match in pattern.finditer(folded):
        answer, capital = answers[match[0].lower()]
        if no_capitals or not capital or match[0][0].isupper():
            found = answer
    return found


@lru_cache(maxsize=64)
def _candidate_pattern(
    candidates: tuple[tuple[str, str], ...],
) -> tuple[re.Pattern[str], dict[str, tuple[str, bool]]]:
    """A pattern of all spellings, longest first, and for each its answer and whether it needs a capital."""
    answers: dict[str, tuple[str, bool]] = {}
    for spelling, answer in candidates:
        folded = fold_accents(spelling)
        answers.setdefault(folded.lower(), (answer, folded[:1].isupper()))
    spellings = sorted(answers, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, spellings))})(?!\w)", re.IGNORECASE), answers


def fold_accents(text: str) -> str:
    """`text` without accents, in compatibility form, with straight quotes and single spaces."""
    decomposed = unicodedata.normalize(
        "NFKD",
        text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("\N{MODIFIER LETTER TURNED COMMA}", "'"),
    )
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return re.sub(r"\s+", " ", plain)


def _last_number(text: str) -> str | None:
    from society.answers.number_finder import find_last_number

    return find_last_number(text)


def _text(text: str) -> str | None:
    return text


_FINDERS: Mapping[str, Callable[[str], str | None]] = {
    "tag": find_tag,
    "boxed": find_boxed,
    "hash": find_hash,
    "last_number": _last_number,
    "choice": find_choice,
    "line": find_line,
    "text": _text,
}
