"""Drift: changes of the voters' opinions from round to round, and from the first to the last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from society.components.metrics.base import Metric, MetricFacts, Number, Question, Sums, Totals, percent, ratio
from society.core.plain import count
from society.core.types import Turn

WHOLE = -1
"""Number of the step from the first to the last round."""


class Drift(Metric):
    """Changes of opinions in each round, and from the first round to the last."""

    kind: Literal["drift"] = "drift"
    question: ClassVar[str] = "Do they change their minds?"
    note: ClassVar[str] = (
        "Voters with a readable answer before and after a round: the share whose answer changed. Numbers also have the "
        "mean shift (after minus before, so that opposite shifts cancel) and the mean move (its size). A voter that "
        "does not speak in a round keeps its answer. Answers that became unreadable, or readable, are counted apart. A "
        "change is no proof of persuasion: sampling alone changes answers, too."
    )

    @classmethod
    def suits(cls, facts: MetricFacts) -> bool:
        return not facts.scored

    def count(self, question: Question) -> Totals:
        totals: Sums = defaultdict(float)
        for debate in question.debates:
            standing = debate.standing
            steps = [(i, standing[i - 1], standing[i]) for i in range(1, len(standing))]
            whole = [(WHOLE, standing[0], standing[-1])] if len(standing) > 1 else []
            for step, before, after in [*steps, *whole]:
                for voter, turn in before.items():
                    _count_change(totals, step, question, turn, after[voter])
        return totals

    def numbers(self, totals: Totals, stages: Sequence[str]) -> Iterable[Number]:
        steps = [(WHOLE, ""), *((i, stages[i]) for i in range(1, len(stages)))]
        for step, stage in steps:
            n = round(totals.get(("both", step), 0))
            share = ratio(totals, ("changed", step), ("both", step))
            yield Number("changed", share, n, stage, unit="share", headline=step == WHOLE)
        for name in ("shift", "move"):
            for step, stage in steps:
                if n := round(totals.get(("numbers", step), 0)):
                    yield Number(f"mean {name}", ratio(totals, (name, step), ("numbers", step)), n, stage)
        for name in ("became unreadable", "became readable"):
            for step, stage in steps:
                if number := totals.get((name, step), 0):
                    yield Number(name, number, round(totals["all", step]), stage)

    def describe(self, numbers: Sequence[Number]) -> tuple[str, str]:
        [changed, *_] = numbers
        if not changed.n:
            return "Not known", "No voter has a readable answer before and after a round."
        told = f"{percent(changed)} of {count(changed.n, 'voter')} end with another answer than in the first round"
        shift = next((number for number in numbers if number.name == "mean shift"), None)
        if shift is not None and shift.value is not None:
            told += f"; the mean opinion moved by {shift.value:+.2f}"
        return f"{percent(changed)} did", f"{told}."


def _count_change(totals: Sums, step: int, question: Question, before: Turn, after: Turn) -> None:
    """Count the change of one voter's answer in a step."""
    was, now = question.label(before), question.label(after)
    totals["all", step] += 1
    if was is None or now is None:
        totals["became unreadable", step] += was is not None
        totals["became readable", step] += now is not None
        return
    totals["both", step] += 1
    totals["changed", step] += was != now
    old, new = question.value(before), question.value(after)
    if question.numeric and old is not None and new is not None:
        totals["numbers", step] += 1
        totals["shift", step] += new - old
        totals["move", step] += abs(new - old)
