"""Likely mistakes in the true answers and the options of data, for the warnings of `society check` and of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from society.answers.answer_markers import Marked
from society.answers.decimals import with_points
from society.answers.equal import read_choice
from society.answers.extract import Regex
from society.answers.quantities import read_quantity
from society.components.facts import Remark
from society.core.types import Item
from society.tasks.options import describe

if TYPE_CHECKING:
    from society.tasks.base import Task
    from society.tasks.row_source import RowSource

_MARKS = {"tag": "<answer>{}</answer>", "boxed": "\\boxed{{{}}}", "hash": "#### {}"}
"""Replies of an answer alone, by extractor."""
MANY = 10
"""Number of questions from which it is likely a mistake that all have the same right option."""
MISSING = frozenset(("na", "n/a", "nan", "none", "null", "nil", "?", "-", "#n/a", "<na>"))
"""Texts by which tables often mark a missing value, in lower case."""


def remark_unscored(task: Task, field: str, items: Sequence[Item]) -> Iterator[str]:
    """Yield the number of questions that are not scored. `field` should hold the true answers."""
    unscored = [item for item in items if not task.scores(item)]
    if len(unscored) == len(items):
        yield Remark(
            f"no question has a true answer in the field {field!r}, so nothing counts as right or wrong; "
            "name the field in `gold`, or set `gold: null`",
            ("gold",),
        )
    elif unscored:
        remark = f"{len(unscored):,} of {len(items):,} questions have no true answer, and are not scored"
        yield Remark(remark, task.locate(unscored[0]))


def remark_golds(task: Task, items: Sequence[Item], remedy: str) -> Iterator[str]:
    """Yield what is wrong with true answers: missing ones, and those that no reply can give by the rules of the task.

    `remedy` says how a task finds an answer in the text of a true answer.
    """
    known = [item for item in items if item.gold]

    def place(some: Sequence[Item], field: str) -> tuple[str | int, ...]:
        """Return the place of the rule if it reads no true answer, or else of the first of `some`."""
        return ("answer", field) if len(some) == len(known) else task.locate(some[0])

    missing = [item for item in known if item.gold.strip().casefold() in MISSING]
    if missing:
        names = ", ".join(sorted({repr(item.gold) for item in missing}))
        yield Remark(
            f"{_count(missing, known)} are {names}, and count as answers, the first in {missing[0].id}; "
            "leave these cells empty if the true answer is unknown",
            task.locate(missing[0]),
        )
    others = [item for item in known if item.gold.strip().casefold() not in MISSING]
    if words := [item for item in others if task.format.equal == "numeric" and not _is_number(task, item.gold)]:
        extracts = "set `gold_extract`, or another `answer.equal`" if remedy else "set another `answer.equal`"
        yield Remark(
            f"{_count(words, known)} are no numbers, such as {words[0].gold!r:.40} in {words[0].id}, but are "
            f"compared as numbers; {extracts}",
            place(words, "equal"),
        )
    elif texts := [item for item in others if task.format.equal == "choice" and read_choice(item.gold) is None]:
        yield Remark(
            f"{_count(texts, known)} are no letters of options, such as {texts[0].gold!r:.40} in {texts[0].id}, "
            "but are compared as choices; list the options in `choices`, or set another `answer.equal`",
            place(texts, "equal"),
        )
    elif unread := [item for item in others if not task.answer.deferred and not _is_found(task, item)]:
        reads = f"{remedy}, and `answer: {{extract: [line]}}` reads whole lines" if remedy else "set another `extract`"
        yield Remark(
            f"a reply that repeats the true answer word by word is wrong for {len(unread):,} of {len(known):,} "
            f"questions, such as {unread[0].gold!r:.60} in {unread[0].id}, as `answer.extract` finds another answer; "
            f"{reads}",
            place(unread, "extract"),
        )


def _is_number(task: Task, gold: str) -> bool:
    return read_quantity(with_points(gold, task.format.decimal)) is not None


def _is_found(task: Task, item: Item) -> bool:
    """Return whether a reply of the true answer alone is right, in marks if nothing else is read.

    What a regular expression finds is not known. It may need words around the answer. A reader that raises an error is
    named when it reads a reply.
    """
    extract = task.format.extract
    if any(isinstance(extractor, Regex) for extractor in extract):
        return True
    marked = all(extractor in get_args(Marked) for extractor in extract)
    try:
        found = task.parse(_MARKS[str(extract[0])].format(item.gold) if marked else item.gold, item)
        return found is not None and (found == item.gold or task.correct(found, item))
    except Exception:
        return True


def _count(some: Sequence[Item], known: Sequence[Item]) -> str:
    return f"{len(some):,} of {len(known):,} true answers"


def remark_options(source: RowSource, items: Sequence[Item]) -> Iterator[str]:
    """Yield what is wrong with options and with the true answers among them."""
    layout, known = source.layout, [item for item in items if item.gold]
    if source.lenient and layout.needs_form and (pair := source.finder.guessed):
        ways = f"{describe(pair[0])} or {describe(pair[1])}"
        remark = f"the true answers may be {ways}, and the first is used; set `gold_as` to {pair[0]} or {pair[1]}"
        yield Remark(remark, ("gold",))
    letters = {item.gold for item in known}
    if not layout.shuffles and len(known) >= MANY and len(letters) == 1:
        remark = f"the right option of all {len(known):,} questions is {letters.pop()}; set `shuffle_choices: true`"
        yield Remark(remark, ("choices",))
    for what, has in (("the same option twice", _repeats_option), ("an empty option", _has_empty_option)):
        if found := [item for item in items if has(item)]:
            count = f"{len(found):,} of {len(items):,} questions"
            yield f"{count} show {what}, the first in {found[0].id}; correct the options, or remove the rows"


def _repeats_option(item: Item) -> bool:
    return len({option.strip() for option in item.choices}) < len(item.choices)


def _has_empty_option(item: Item) -> bool:
    return not all(option.strip() for option in item.choices)
