r"""Parsing of explicitly marked answers: `<answer>` tags, `\boxed{...}`, `####`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from society.answers.stance import Stance, is_about_somebody, stance

Marked = Literal["tag", "boxed", "hash"]
MOST_MARKS = 300
"""Maximum number of marks that are considered, from the end of the text."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A marked answer with its position."""

    start: int
    end: int
    answer: str


def find_marked(text: str, forms: Sequence[Marked]) -> str | None:
    """Return the contents of the last mark of these forms that the reply asserts.

    Empty marks, quotations of other agents and retracted marks do not count. A mark in a sentence about a person
    ("Frank answered \\boxed{56} questions") counts if there is no other.
    """
    second_best = None
    for mark in _marks(text, forms)[: -MOST_MARKS - 1 : -1]:
        how = stance(text, mark.start, mark.end)
        if how is Stance.OWN:
            return mark.answer
        if second_best is None and (how is Stance.SUPERSEDED or is_about_somebody(text, mark.start, mark.end)):
            second_best = mark.answer
    return second_best


def find_last_mark(text: str, forms: Sequence[Marked]) -> str | None:
    """Return the contents of the last mark of these forms, in any sentence."""
    marks = _marks(text, forms)
    return marks[-1].answer if marks else None


def _marks(text: str, forms: Sequence[Marked]) -> list[Mark]:
    """Return the non-empty marks in the order of the text."""
    marks = sorted((mark for form in forms for mark in _MARKS[form](text)), key=lambda mark: mark.start)
    return [mark for mark in marks if mark.answer.strip()]


_TAG = re.compile(r"<(?P<end>/?)answer>", re.IGNORECASE)


def _find_tags(text: str) -> Iterator[Mark]:
    """Yield the contents of each `<answer>` element."""
    opened: re.Match[str] | None = None
    for tag in _TAG.finditer(text):
        if not tag["end"]:
            opened = tag
        elif opened is not None:
            yield Mark(opened.start(), tag.end(), text[opened.end() : tag.start()])
            opened = None


_BOX_TOKENS = re.compile(r"\\(?:boxed|fbox)\s*\{|\\boxed\s+([^\s{}$\\*]+)|\\.|[{}]", re.DOTALL)


def _find_boxes(text: str) -> Iterator[Mark]:
    r"""Yield the contents of each balanced `\boxed{...}`, and of `\boxed 5`; of nested boxes the innermost."""
    # Starts of the box and of its contents, for each open brace; None for a brace without a box.
    opened: list[tuple[int, int] | None] = []
    inner = -1  # start of the last closed box: boxes around it are ignored
    for token in _BOX_TOKENS.finditer(text):
        if token[1]:
            yield Mark(token.start(), token.end(), token[1])
            inner = token.start()
        elif token[0] == "{":
            opened.append(None)
        elif token[0].endswith("{") and len(token[0]) > 2:
            opened.append((token.start(), token.end()))
        elif token[0] == "}" and opened:
            box = opened.pop()
            if box is not None and box[0] > inner:
                yield Mark(box[0], token.end(), text[box[1] : token.start()])
                inner = box[0]


_HASH = re.compile(r"####[ \t]*([^\s#][^\n]*)")
_EMPHASIS = re.compile(r"[ \t]*(\*\*\*|\*\*|\*|__|_|`)(?P<inside>[^*_`\n]+)\1[ \t.]*")


def _find_hashes(text: str) -> Iterator[Mark]:
    """Yield the rest of the line after each `####`, without emphasis around it."""
    for match in _HASH.finditer(text):
        whole = _EMPHASIS.fullmatch(match[1])
        yield Mark(match.start(), match.end(), whole["inside"] if whole else match[1])


_MARKS = {"tag": _find_tags, "boxed": _find_boxes, "hash": _find_hashes}
