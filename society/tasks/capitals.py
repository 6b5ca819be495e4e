"""Capitals of countries: short factual questions that a small model answers in part.

The table contains the members of the United Nations, except seven without a single undisputed capital.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import ClassVar, Literal

from society.answers.format import AnswerFormat
from society.core.types import Item
from society.tasks.base import Task
from society.tasks.capital_patterns import OTHER_REGIONS
from society.tasks.capital_reader import CapitalReader, place_key

Continent = Literal["Africa", "Asia", "Europe", "North America", "Oceania", "South America"]


class Capitals(Task):
    """Capitals of countries, for all countries of the table or some of them."""

    kind: Literal["capitals"] = "capitals"
    continent: Continent | None = None
    """Restrict the questions to countries of this continent."""
    well_known: bool = False
    """Restrict the questions to well-known countries."""

    standard: ClassVar[AnswerFormat] = AnswerFormat(extract=("candidates",), equal="exact")

    def questions(self, seed: int) -> Iterable[Item]:
        """Yield one question per country, in alphabetical order within each continent."""
        for row in _table():
            fits = self.continent in (None, row["continent"])
            if fits and (row["well_known"] == "yes" or not self.well_known):
                yield _item(row)

    def parse(self, text: str, item: Item) -> str | None:
        """Return the place that the reply names as the capital, or None.

        If the scenario sets extractors of its own, they parse the reply.
        """
        if self.format.extract != self.standard.extract:
            return super().parse(text, item)
        return _reader().read(text, item.question.removeprefix("What is the capital of ").removesuffix("?"))

    def candidates(self, item: Item) -> Mapping[str, str]:
        """Return every capital of the table in all its spellings, for any question."""
        return _spellings()


def _item(row: Mapping[str, str]) -> Item:
    return Item(
        id="capital-of-" + row["country"].removeprefix("the ").lower().replace(" ", "-"),
        question=f"What is the capital of {row['country']}?",
        gold=row["capital"],
        aliases=_aliases(row),
    )


def _aliases(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(alias.strip() for alias in row["aliases"].split(";") if alias.strip())


@cache
def _table() -> tuple[dict[str, str], ...]:
    text = files("society.tasks").joinpath("capitals.tsv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines(), delimiter="\t"))


@cache
def _spellings() -> Mapping[str, str]:
    return {spelling: row["capital"] for row in _table() for spelling in (row["capital"], *_aliases(row))}


@cache
def _reader() -> CapitalReader:
    return CapitalReader(_spellings(), frozenset(place_key(row["country"]) for row in _table()) | OTHER_REGIONS)
