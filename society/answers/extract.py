"""Extraction of the final answer from a model's text.

    tag          the last <answer>...</answer>
    boxed        the last balanced \\boxed{...}; of nested ones the innermost
    hash         what follows the last ####, to the end of its line
    last_number  the last number, whole: 7{,}250 is 7250, "49 cm^2" is 49; fractions stay fractions
    choice       the letter A to J that the reply chooses
    candidates   the possible answer of the task that the reply asserts
    statement    the part of the last sentence that does not repeat the question
    line         the last line that is not empty
    code         the last code block between ``` that has a definition, else the last one
    text         the whole text
    {regex: P}   the first group (or all) of the last match of P

Extractors are tried in the given order, and the first result is the answer. Adjacent marks in the list (tag, boxed,
hash) are one step: the last of them in the text decides. So `[tag, choice]` uses the tag that the prompt asked for,
even if prose follows it, and prose without a tag. `choice` considers tags, boxes, cues, letters alone on a line and
options in words, and uses the last of them.

Thoughts of a reasoning model are removed first. Text that the reply quotes, denies or supposes is not an answer (see
`society.answers.stance`), nor is a Markdown block quote ("> The answer is B.") above the reply's own answer. If only "I
don't know" follows a block quote, the reply has no answer. A stated confidence on the same line ("#### 31, I am 80%
sure") is not part of the answer.

The time is linear in the length of the text, except for a regex, which has a time limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile
from typing import Annotated, Literal, get_args

from pydantic import Field

from society.answers.answer_markers import Marked, find_last_mark, find_marked
from society.answers.choice import find_choice
from society.answers.code_blocks import find_code
from society.answers.confidence import without_confidence
from society.answers.decimals import Decimal, with_points
from society.answers.mentions import Candidates, find_candidate
from society.answers.number_finder import find_last_number
from society.answers.stance import after_quotes
from society.answers.statements import find_statement, only_refuses
from society.core.component import Component
from society.core.templating.patterns import LONGEST_PATTERN, Pattern, search_last
from society.core.thoughts import split_thought

MAX_TEXT = 100_000
"""Maximum length of the text that is parsed, in characters from its end."""


class Regex(Component):
    """An extractor by regular expression."""

    regex: Annotated[Pattern, Field(min_length=1, max_length=LONGEST_PATTERN)]
    """Regular expression. Its first group is the answer, or the whole match if it has no group."""


Named = Literal["tag", "boxed", "hash", "last_number", "choice", "candidates", "statement", "line", "text", "code"]
Extractor = Named | Regex
_MARKS = frozenset(get_args(Marked))
_FINDS_ANYTHING = ("statement", "line", "text")
"""Extractors that always have a result."""


def extract(
    text: str,
    extractors: Sequence[Extractor],
    candidates: Candidates | None = None,
    question: str = "",
    decimal: Decimal | None = None,
) -> str | None:
    """Return the first result of `extractors`, stripped, or None.

    In a run, `text` has no thought any more; elsewhere one between the usual tags is ignored. `candidates` are the
    possible answers of the task. `statement` removes the words of `question`. With `decimal`, the numbers of the result
    have decimal points. Raises `SlowPatternError` if a regular expression takes too long.
    """
    text = split_thought(text)[1][-MAX_TEXT:]
    steps = [*_steps(extractors)]
    own = after_quotes(text)  # answers after a block quote take precedence
    if own != text and only_refuses(own):
        text = own
    choosy = [*takewhile(lambda step: step[0] not in _FINDS_ANYTHING, steps)] if own != text else []
    for part, step in [*((own, step) for step in choosy), *((text, step) for step in steps)]:
        if decimal and step[0] == "last_number":
            # finds 1,5 by itself, with its sign
            found = find_last_number(with_points(part, decimal) if decimal == "comma" else part)
        else:
            found = _find(part, step, extractors, candidates or {}, question)
            found = with_points(found, decimal) if decimal and found else found
        if found and found.strip():
            return found.strip()
    return None


def extract_gold(
    solution: str, extractors: Sequence[Extractor], question: str = "", decimal: Decimal | None = None
) -> str | None:
    """Return the answer of a data set's own solution to `question`, stripped, or None.

    A solution quotes no other agent, so its last mark is its answer. With `decimal`, the solution has this decimal
    sign, and the answer keeps it.
    """
    for step in _steps(extractors):
        marks = [mark for mark in get_args(Marked) if mark in step]
        found = find_last_mark(solution, marks) if marks else extract(solution, step, None, question)
        if decimal == "comma" and step[0] == "last_number":
            found = (extract(solution, step, decimal=decimal) or "").replace(".", ",")
        if found and found.strip():
            return found.strip()
    return None


def _steps(extractors: Sequence[Extractor]) -> Iterator[tuple[Extractor, ...]]:
    """Yield the extractors one by one, with adjacent marks together."""
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
        case "code":
            return find_code(text)
        case "line":
            return find_line(text)
        case "text":
            return text


def find_line(text: str) -> str | None:
    """Return the last line that is not empty, without a stated confidence.

    Lines with only a confidence are skipped, unless there is no other line.
    """
    lines = [line for line in reversed(text.splitlines()) if line.strip()]
    answers = (without_confidence(line) for line in lines)
    return next((answer for answer in answers if answer.strip()), lines[0] if lines else None)


def find_regex(text: str, pattern: str) -> str | None:
    """Return the first group of the last match, or the whole match without a group.

    Raises `SlowPatternError` if the search takes too long.
    """
    last = search_last(pattern, text)
    if last is None:
        return None
    found = last[1] if last.re.groups else last[0]
    return None if found is None else str(found)
