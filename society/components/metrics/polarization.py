"""Polarization: how far the voters are split into opposite camps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import pvariance
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from society.components.facts import Reasons
from society.components.metrics.base import (
    Metric,
    MetricFacts,
    Number,
    Question,
    Sums,
    Totals,
    percent,
    pick,
    ratio,
    require_pairs,
)
from society.core.errors import FieldError
from society.core.plain import count
from society.core.types import Turn

OUTSIDE = "outside the scale"


class Polarization(Metric):
    """Polarization of the voters after each round: 0 where all agree, 1 for two camps of equal size at the extremes."""

    kind: Literal["polarization"] = "polarization"
    question: ClassVar[str] = "Are they split into camps?"
    note: ClassVar[str] = (
        "0: all agree; 1: two camps of equal size at both ends of the scale. Of numbers: the variance divided by the "
        "largest one that the scale allows, 4 * variance / (high - low)^2. Numbers outside `scale` count as its "
        "nearest end, and their share is shown. Of other answers: the index of Reynal-Querol (2002), "
        "4 * sum p^2 (1 - p) over the shares p of answers. Means over debates with two readable answers. A scale that "
        "is read off the answers makes runs hard to compare: set `scale`."
    )
    scale: tuple[float, float] | None = None
    """Lowest and highest possible number. By default those that anybody answers to the question in any round. It has
    no effect on answers that are not compared as numbers."""

    @model_validator(mode="after")
    def _check_scale(self) -> Self:
        """Raise `ValueError` for a scale without a range."""
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise FieldError("the first number of `scale` should be lower than the second one", "scale")
        return self

    @classmethod
    def suits(cls, facts: MetricFacts) -> bool:
        return not facts.scored and facts.voters > 1

    def idle(self, numeric: bool, voters: int) -> Reasons:
        if self.scale is None or numeric:
            return require_pairs(voters)
        return {"scale": "has no effect: answers are not compared as numbers; remove it, or set `equal: numeric`"}

    def count(self, question: Question) -> Totals:
        totals: Sums = defaultdict(float)
        low, high = self._range(question)
        for debate in question.debates:
            for i, standing in enumerate(debate.standing):
                if question.numeric and self.scale is not None:
                    _count_outside(totals, i, question, standing.values(), self.scale)
                turns = standing.values()
                numeric = question.numeric
                found = _split_numbers(question, turns, low, high) if numeric else _split_answers(question, turns)
                if found is not None:
                    totals["debates", i] += 1
                    totals["split", i] += found
        return totals

    def _range(self, question: Question) -> tuple[float, float]:
        if self.scale is not None:
            return self.scale
        given = question.values.values()
        return min(given, default=0.0), max(given, default=0.0)

    def numbers(self, totals: Totals, stages: Sequence[str]) -> Iterable[Number]:
        for i, stage in enumerate(stages):
            value, n = ratio(totals, ("split", i), ("debates", i)), round(totals.get(("debates", i), 0))
            yield Number("polarization", value, n, stage, headline=i == len(stages) - 1)
        if any(key[0] == "outside" and number for key, number in totals.items()):
            for i, stage in enumerate(stages):
                share, n = ratio(totals, ("outside", i), ("numbers", i)), round(totals.get(("numbers", i), 0))
                yield Number(OUTSIDE, share, n, stage, unit="share", headline=i == len(stages) - 1)

    def describe(self, numbers: Sequence[Number]) -> tuple[str, str]:
        known = pick(numbers, "polarization")
        if not known:
            return "Not known", "No debate has two readable answers."
        first, last = known[0].value or 0.0, known[-1].value or 0.0
        now = f"{last:.3g} on a scale from 0 (all agree) to 1 (two camps of equal size, as far apart as they can be)"
        now += f"; {first:.3g} after the first round" if len(known) > 1 else ""
        outside = pick(numbers, OUTSIDE)
        if outside:
            now += f"; {percent(outside[-1])} of {count(outside[-1].n, 'number')} are outside the scale"
            now += " at the end, and count as its nearest end"
        return f"{last:.3g} of 1", f"{now}."


def _count_outside(
    totals: Sums, stage: int, question: Question, turns: Iterable[Turn], scale: tuple[float, float]
) -> None:
    values = question.list_values(turns)
    totals["numbers", stage] += len(values)
    totals["outside", stage] += sum(not scale[0] <= value <= scale[1] for value in values)


def _split_numbers(question: Question, turns: Iterable[Turn], low: float, high: float) -> float | None:
    """Return the variance of the numbers over the largest possible one; None for fewer than two numbers.

    Numbers outside the scale count as its nearest end.
    """
    values = [min(max(value, low), high) for value in question.list_values(turns)]
    if len(values) < 2:
        return None
    return 4 * pvariance(values) / (high - low) ** 2 if high > low else 0.0


def _split_answers(question: Question, turns: Iterable[Turn]) -> float | None:
    """Return the index of Reynal-Querol of the answers; None for fewer than two."""
    sizes = Counter(question.list_labels(turns))
    n = sizes.total()
    if n < 2:
        return None
    return 4 * sum((size / n) ** 2 * (1 - size / n) for size in sizes.values())
