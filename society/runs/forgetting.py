"""Deletion of a question's text from a run: its turns, result, prompts and training rows.

The run counts what it lost, and cannot be resumed: its task would ask the question again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from society.core.errors import InputError
from society.runs.editing import edit_run
from society.runs.files import FORGOTTEN, MEASUREMENTS, count_forgotten, keep_questions, read_questions
from society.runs.folder import EARLIER
from society.runs.places import PAGE

SHORTEST = 20
"""Minimum number of characters of a text whose quotations are searched: shorter ones occur by chance."""


@dataclass(frozen=True)
class Forgotten:
    """The number of deleted turns, items that still quote the deleted texts, and adapters that learned from them."""

    turns: int
    quoting: tuple[str, ...]
    adapters: tuple[str, ...]


def forget_item(folder: Path, item: str) -> Forgotten:
    """Delete the text of an item from a run. Raises `InputError` if the run has no such item, `RunFolderError`."""
    if (folder / EARLIER).exists():
        raise InputError(
            f"{folder / EARLIER} has stores from before a change of the scenario, which may hold the item too.",
            "Delete this folder first.",
        )
    questions = read_questions(folder) or []
    with edit_run(folder) as store:
        turns = list(store.turns("item = ?", (item,)))
        if not turns and all(asked.id != item for asked in questions):
            raise InputError(f"The run in {folder} has no item {item!r:.80}.", "`society show RUN` lists its debates.")
        sources = store.examples("source_item = ?", (item,))
        texts = {text for turn in turns for text in (turn.text, turn.thought, *(call.result for call in turn.calls))}
        texts |= {asked.question for asked in questions if asked.id == item}
        store.forget(item)
        quoting = store.quoting(sorted(text for text in texts if len(text) >= SHORTEST))
        quoting = list(dict.fromkeys([*store.recalling(item), *quoting]))
        store.set_meta({FORGOTTEN: str(count_forgotten(store.meta()) + 1)})
        keep_questions(folder, [asked for asked in questions if asked.id != item])
        for name in (PAGE, MEASUREMENTS):
            (folder / name).unlink(missing_ok=True)
    learned = {(row.iteration, row.learner, row.agent) for row in sources}
    adapters = tuple(f"{learner}, {agent}, iteration {iteration + 1}" for iteration, learner, agent in sorted(learned))
    return Forgotten(len(turns), tuple(quoting), adapters)
