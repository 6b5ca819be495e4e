"""Finds the final answer in a model's text.

    tag          the last <answer>...</answer>
    boxed        the last balanced \\boxed{...}; of nested ones the innermost
    hash         what follows the last ####, to the end of its line
    last_number  the last number, whole: 7{,}250 is 7250, "49 cm^2" is 49; fractions stay fractions
    choice       the letter A to J that the reply chooses
    candidates   the possible answer of the task that the reply gives
    statement    what the last sentence says about the question, without the words of the question
    line         the last line that is not empty
    text         the whole text
    {regex: P}   the first group (or all) of the last match of P

Extractors are tried in the given order and the first that finds something decides. Marks that stand side by side in the
list (tag, boxed, hash) are one step: of all of them the last in the text decides, whatever its form. So `[tag, choice]`
reads the tag that the prompt asked for, even if prose follows it, and prose where there is no tag. `choice` reads tags,
boxes, cues, letters alone on a line and options in words, and takes the last of them, whatever its form.

Thoughts of a reasoning model are left out first. What the reply quotes from others, denies or supposes is no answer
(see `society.answers.stance`), nor is a Markdown block quote ("> The answer is B.") above the reply's own
answer; if nothing but "I don't know" stands below it, the reply has no answer. A confidence that is stated on the same
line ("#### 31, I am 80% sure") is no part of the answer.

All take time linear in the text, except a regex, which has a time limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from society.answers.choice import find_choice
from society.answers.confidence import without_confidence
from society.answers.marks import Marked, find_last_mark, find_marked
from society.answers.mentions import Candidates, find_candidate
from society.answers.number_finder import find_last_number
from society.answers.stance import after_quotes
from society.answers.statements import find_statement, only_refuses
from society.answers.thoughts import strip_thoughts
from society.core.component import Component
from society.core.errors import SlowPatternError

MAX_TEXT = 100_000
"""Characters. Only this much of the end of a longer text is looked at."""
MAX_REGEX = 1_000
REGEX_SECONDS = 0.5


def _check_regex(pattern: str) -> str:
    from society.core.templating.patterns import compile_pattern

    compile_pattern(pattern)
    return pattern


class Regex(Component):
    """An extractor by regular expression."""

    regex: Annotated[str, Field(min_length=1, max_length=MAX_REGEX), AfterValidator(_check_regex)]
    """Regular expression. Its first group is the answer, or the whole match if it has no group."""


Named = Literal["tag", "boxed", "hash", "last_number", "choice", "candidates", "statement", "line", "text"]
Extractor = Named | Regex
_MARKS = frozenset(get_args(Marked))
_FINDS_ANYTHING = ("statement", "line", "text")
"""Extractors that find something in every text."""


def extract(
    text: str, extractors: Sequence[Extractor], candidates: Candidates | None = None, question: str = ""
) -> str | None:
    """Return what the first of `extractors` that finds something finds, stripped; None if none does.

    `candidates` are the possible answers of the task; `question` helps `statement` to leave out what was asked.

    Raises `SlowPatternError` for a text in which a regular expression takes too long.
    """
    text = strip_thoughts(text)[-MAX_TEXT:]
    steps = [*_steps(extractors)]
    own = after_quotes(text)  # answers below a block quote go first
    if own != text and only_refuses(own):
        text = own
    choosy = [*takewhile(lambda step: step[0] not in _FINDS_ANYTHING, steps)] if own != text else []
    for part, step in [*((own, step) for step in choosy), *((text, step) for step in steps)]:
        found = _find(part, step, extractors, candidates or {}, question)
        if found and found.strip():
            return found.strip()
    return None


def extract_gold(solution: str, extractors: Sequence[Extractor]) -> str | None:
    """Return the answer of a data set's own solution, stripped; None if there is none.

    A solution quotes no other agent: its last mark is its answer, whoever the sentence around it is about.
    """
    for step in _steps(extractors):
        marks = [mark for mark in get_args(Marked) if mark in step]
        found = find_last_mark(solution, marks) if marks else extract(solution, step)
        if found and found.strip():
            return found.strip()
    return None


def _steps(extractors: Sequence[Extractor]) -> Iterator[tuple[Extractor, ...]]:
    """Yield the extractors one by one, and marks that stand side by side together."""
    for marks, group in groupby(extractors, key=lambda extractor: extractor in _MARKS):
        if marks:
            yield tuple(group)
        else:
            yield from ((extractor,) for extractor in group)


def _find(
    text: str, step: Sequence[Extractor], extractors: Sequence[Extractor], candidates: Candidates, question: str
) -> str | None:
    match step[0]:
        case "tag" | "boxed" | "hash":
            marked = find_marked(text, [mark for mark in get_args(Marked) if mark in step])
            return marked and (without_confidence(marked) or marked)
        case Regex(regex=pattern):
            return find_regex(text, pattern)
        case "candidates":
            return find_candidate(text, candidates)
        case "choice":
            return find_choice(text, candidates if "candidates" in extractors else None)
        case "statement":
            return find_statement(text, question)
        case "last_number":
            return find_last_number(text)
        case "line":
            return find_line(text)
        case "text":
            return text


def find_line(text: str) -> str | None:
    """Return the last line that is not empty, without a stated confidence.

    Lines that state nothing but a confidence are passed over unless there is no other.
    """
    lines = [line for line in reversed(text.splitlines()) if line.strip()]
    answers = (without_confidence(line) for line in lines)
    return next((answer for answer in answers if answer.strip()), lines[0] if lines else None)


def find_regex(text: str, pattern: str) -> str | None:
    """Return the first group (all, if there is none) of the last match.

    Raises `SlowPatternError` when it takes too long.
    """
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
