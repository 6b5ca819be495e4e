"""Deletion of a question's text from a run: its turns, result, prompts, training rows, and entry in the scenario.

The run counts what it lost, and cannot be resumed: its task would ask the question again. Whatever still quotes a
deleted text is listed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.training import CHECKPOINTS
from society.core.errors import InputError
from society.core.plain import list_some
from society.core.types import Item, Turn
from society.runs.editing import edit_run
from society.runs.files import (
    FORGOTTEN,
    LARGEST_QUESTIONS,
    MEASUREMENTS,
    count_forgotten,
    keep_questions,
    own_tree,
    read_object,
    read_questions,
)
from society.runs.folder import EARLIER
from society.runs.places import PAGE, STORE
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.tasks.base import Task

SHORTEST = 20
"""Minimum number of characters of a text whose quotations are searched: shorter ones occur by chance."""
DELETED = "(deleted)"
"""Text in place of a question that the scenario lists."""


@dataclass(frozen=True)
class Forgotten:
    """The number of deleted turns, and what remains of their texts.

    `quoting` has items whose debates quote them, `adapters` those that learned from them, and `places` the facts and
    files of the run that contain them.
    """

    turns: int
    quoting: tuple[str, ...]
    adapters: tuple[str, ...]
    places: tuple[str, ...]


class NoSuchItemError(InputError):
    """A run has no item of this id."""


def forget_item(folder: Path, item: str) -> Forgotten:
    """Delete the text of an item from a run. Raises `NoSuchItemError`, `InputError` and `RunFolderError`."""
    if (folder / EARLIER).exists():
        raise InputError(
            f"{folder / EARLIER} has stores from before a change of the scenario, which may hold the item too.",
            "Delete this folder first.",
        )
    own_tree(folder.parent / folder.name, ".")
    questions = read_questions(folder) or []
    with edit_run(folder) as store:
        turns, results = list(store.turns("item = ?", (item,))), list(store.results("item = ?", (item,)))
        if not turns and all(asked.id != item for asked in questions):
            raise NoSuchItemError(
                f"The run in {folder} has no item {item!r:.80}.",
                f"Its items are {list_some([asked.id for asked in questions])}.",
            )
        sources = store.examples("source_item = ?", (item,))
        asked = [text for found in questions if found.id == item for text in (found.question, found.stem)]
        asked += [result.question for result in results]
        replies = _select(text for turn in turns for text in _list_replies(turn))
        shown = _select(call.result for turn in turns for call in turn.calls)
        for name in (PAGE, MEASUREMENTS):
            (folder / name).unlink(missing_ok=True)
        for path in folder.rglob(CHECKPOINTS):
            shutil.rmtree(path)
        keep_questions(folder, [found for found in questions if found.id != item])
        meta = store.meta()
        store.forget(item, _redact(meta, item, Run(folder).scenario) | {FORGOTTEN: str(count_forgotten(meta) + 1)})
        # What agents say on other items word for word, such as "I do not know.", is no quotation.
        own = [*_select(asked), *(text for text in replies if not store.is_reply(text))]
        quoting = list(dict.fromkeys([*store.recalling(item), *store.quoting(own, calls=True), *store.quoting(shown)]))
        places = [*_search_facts(store.meta(), own), *_search_files(folder, own)]
    learned = {(row.iteration, row.learner, row.agent) for row in sources}
    adapters = tuple(f"{learner}, {agent}, iteration {iteration + 1}" for iteration, learner, agent in sorted(learned))
    return Forgotten(len(turns), tuple(quoting), adapters, tuple(places))


def _list_replies(turn: Turn) -> Iterator[str]:
    """Yield what an agent wrote in a turn: its replies and thoughts, and what it gave to tools."""
    yield from (turn.text, turn.thought)
    for call in turn.calls:
        yield call.given
        if call.reply is not None:
            yield from (call.reply.text, call.reply.thought)


def _select(texts: Iterable[str]) -> list[str]:
    return sorted({text for text in texts if len(text) >= SHORTEST})


def _redact(meta: Mapping[str, str], item: str, scenario: Scenario) -> dict[str, str]:
    """Return the facts with the run's scenario, without the text of an item if the scenario lists its questions."""
    facts = {name: read_object(meta, name) for name in ("scenario", "definition") if name in meta}
    tasks: list[tuple[tuple[str, ...], Task]] = [(("task",), scenario.task)]
    if scenario.train is not None and scenario.train.task is not None:
        tasks.append((("train", "task"), scenario.train.task))
    for above, task in tasks:
        place = task.locate(Item(item, ""))
        if len(place) < 2:  # the questions are not in the scenario
            continue
        for found in facts.values():
            listed: Any = found
            for step in (*above, place[0]):
                listed = listed[step]
            listed[place[1]] = {"question": DELETED, "id": item}
    return {name: json.dumps(found) for name, found in facts.items()}


def _search_facts(meta: Mapping[str, str], texts: Sequence[str]) -> Iterator[str]:
    """Yield the names of facts about the run that contain one of these texts."""
    for name, value in meta.items():
        try:
            strings = list(_list_strings(json.loads(value)))
        except ValueError:
            strings = [value]
        if any(text in string for text in texts for string in strings):
            yield f"the fact {name!r} of {STORE}"


def _list_strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _list_strings(inner)


def _search_files(folder: Path, texts: Sequence[str]) -> Iterator[str]:
    """Yield the files of the run besides its store that contain one of these texts."""
    forms = {form.encode() for text in texts for form in (text, json.dumps(text)[1:-1])}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(STORE) and path.stat().st_size <= LARGEST_QUESTIONS:
            data = path.read_bytes()
            if any(form in data for form in forms):
                yield path.relative_to(folder).as_posix()
