"""The distribution of answers by question and round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt
from typing import ClassVar, Literal

from society.components.metrics.base import Metric, MetricFacts, Number, Question, Sums, Totals
from society.core.plain import count, shorten

UNREAD = "unreadable"
MOST_ANSWERS, MOST_QUESTIONS = 4, 3
"""Maximum number of answers to a question, and of questions, in the sentence."""


class Opinions(Metric):
    """Shares of the voters' answers to each question after each round; of numbers also mean and standard deviation."""

    kind: Literal["opinions"] = "opinions"
    question: ClassVar[str] = "What do they think?"
    note: ClassVar[str] = (
        "Shares of the voters by their latest answer after each round, by question. Equal answers count as one. "
        "Unreadable answers are a group of their own. Mean and standard deviation (of the voters, divided by their "
        "number) are of the answers that are numbers. Voters of one debate influence each other, so these shares have "
        "no interval."
    )
    intervals: ClassVar[bool] = False

    @classmethod
    def suits(cls, facts: MetricFacts) -> bool:
        return not facts.scored

    def count(self, question: Question) -> Totals:
        totals: Sums = defaultdict(float)
        for debate in question.debates:
            for i, standing in enumerate(debate.standing):
                for turn in standing.values():
                    place = (question.item, i)
                    totals["all", *place] += 1
                    totals["answer", *place, question.label(turn) or UNREAD] += 1
                    value = question.value(turn) if question.numeric else None
                    if value is not None:
                        totals["numbers", *place] += 1
                        totals["sum", *place] += value
                        totals["squares", *place] += value * value
        return totals

    def numbers(self, totals: Totals, stages: Sequence[str]) -> Iterable[Number]:
        items = dict.fromkeys(str(key[1]) for key in totals if key[0] == "all")
        for item in items:
            answers = [key for key in totals if key[0] == "answer" and key[1] == item]
            for label in sorted({str(key[3]) for key in answers}, key=lambda text: (text == UNREAD, _order(text))):
                for i, stage in enumerate(stages):
                    n = totals.get(("all", item, i), 0)
                    if n:
                        share = totals.get(("answer", item, i, label), 0) / n
                        yield Number(label, share, int(n), stage, item, "share")
            yield from _moments(totals, item, stages)

    def describe(self, numbers: Sequence[Number]) -> tuple[str, str]:
        items = list(dict.fromkeys(number.group for number in numbers))
        told = [_tell(item, numbers) for item in items[:MOST_QUESTIONS]]
        rest = len(items) - MOST_QUESTIONS
        more = f" {count(rest, 'more question')}." if rest > 0 else ""
        if len(items) == 1:
            return told[0][0], f"{told[0][1]}."
        listed = " ".join(_join(item, sentence) for item, (_, sentence) in zip(items, told, strict=False))
        return f"{len(items)} questions", listed + more


def _join(item: str, sentence: str) -> str:
    """Return a sentence after the question that it is about."""
    if item.endswith(("?", ".", "!", "…")):
        return f"{item} {sentence[:1].upper()}{sentence[1:]}."
    return f"{item}: {sentence}."


def _moments(totals: Totals, item: str, stages: Sequence[str]) -> Iterable[Number]:
    """Yield mean and standard deviation of the numbers after each stage."""
    for name in ("mean", "standard deviation"):
        for i, stage in enumerate(stages):
            n = totals.get(("numbers", item, i), 0)
            if n:
                mean = totals["sum", item, i] / n
                spread = sqrt(max(0.0, totals["squares", item, i] / n - mean**2))
                yield Number(name, mean if name == "mean" else spread, int(n), stage, item)


def _order(label: str) -> tuple[float, str]:
    try:
        return float(label), label
    except ValueError:
        return float("inf"), label


def _tell(item: str, numbers: Sequence[Number]) -> tuple[str, str]:
    """Return the most frequent answer at the end, and the opinions at the end and before."""
    own = [number for number in numbers if number.group == item]
    last = own[-1].stage if own else ""
    final = [number for number in own if number.unit == "share" and number.stage == last and number.value]
    final.sort(key=lambda number: -(number.value or 0))
    shown = [f"{shorten(number.name, 40)} ({100 * (number.value or 0):.0f}%)" for number in final[:MOST_ANSWERS]]
    rest = len(final) - len(shown)
    listed = ", ".join([*shown, count(rest, "other answer")] if rest > 0 else shown)
    means = [number for number in own if number.name == "mean" and number.unit == "number"]  # "mean" may be an answer
    moved = ""
    if means:
        moved = f"; mean {means[0].value:.2f}"
        moved += f" at first and {means[-1].value:.2f} at the end" if len(means) > 1 else ""
    top = final[0] if final else None
    short = "" if top is None else f"{shorten(top.name, 30)} ({100 * (top.value or 0):.0f}%)"
    return short, f"at the end {listed}{moved}"
