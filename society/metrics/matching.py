"""Counting of replies that cannot be matched with a true answer. If most cannot, the accuracy is meaningless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from society.core.hidden_chars import reveal
from society.core.plain import shorten
from society.core.types import Item, Turn
from society.runs.records import DebateRecord
from society.scenario.expand import Society
from society.tasks.base import Task

LEAST = 12
"""Minimum number of replies before a warning during a run."""
MOST_SHOWN = 120
"""Maximum length of the example, in characters."""


@dataclass
class Matching:
    """A counter of replies without an answer, or with an answer that does not have the form of the true one."""

    replies: int = 0
    unmatched: int = 0
    example: str = ""

    def add(self, turn: Turn, task: Task, item: Item) -> None:
        """Count a reply. Turns that failed or have no text, and questions without a true answer, are ignored."""
        if not turn.is_shown or not item.gold:
            return
        self.replies += 1
        if turn.answer is None or not task.has_form(turn.answer, item):
            self.unmatched += 1
            self.example = self.example or reveal(shorten(turn.text, MOST_SHOWN))

    @property
    def most(self) -> bool:
        """Return whether most replies cannot be matched."""
        return 2 * self.unmatched > self.replies

    def describe(self) -> str:
        """Return the count, an example and the remedy."""
        return (
            f"{self.unmatched:,} of {self.replies:,} replies cannot be matched with a true answer, such as "
            f'"{self.example}". Say in the prompt how to end ({{{{ instruction }}}}), or set `task.answer.extract`.'
        )


def match_records(society: Society, records: Iterable[DebateRecord]) -> Matching:
    """Return the count of the voters' answers in the first phase of these debates that cannot be matched."""
    found = Matching()
    for record in records:
        item = Item(record.result.item, record.result.question, record.result.gold or "")
        for turn in first_phase(society, record.turns):
            found.add(turn, society.scenario.task, item)
    return found


def first_phase(society: Society, turns: Sequence[Turn]) -> list[Turn]:
    """Return the voters' turns of the first phase, as later ones may be ballots."""
    return [turn for turn in turns if turn.id.phase == society.phases[0].name and turn.id.agent in society.voters]


def by_id(items: Iterable[Item]) -> Mapping[str, Item]:
    """Return the items by their ids."""
    return {item.id: item for item in items}
