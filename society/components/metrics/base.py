"""The base of metrics: numbers about debates, in the summary, the report, comparisons, plots and tables.

A metric is counted question by question, and its numbers are computed from the sums. So the interval of every number is
a bootstrap over questions (Efron 1979), which the program does itself: questions are independent, the agents of one
debate are not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from society.components.facts import Reasons
from society.core.component import Component
from society.core.types import Decision, Same, Turn, TurnId

Key = tuple[str | float, ...]
"""Name of a sum."""
Sums = defaultdict[Key, float]
"""Sums while they are counted."""
Totals = Mapping[Key, float]
"""Sums over questions. A sum that is not there is 0."""
Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True, slots=True)
class Debate:
    """One debate.

    `standing` has the latest turn of each voter after each stage: a phase and a round. `voters` is the number of agents
    that had a vote in the decision. `turns` are those of all
    speakers, in order. `heard` has the turns of others that a turn read; a summary counts as the turns in it.
    `verdicts` says whether each answer is right; it is empty unless the question is `scored`. `exact` says whether it
    equals the true answer, where a judge gave the verdict and there is one: `known`.
    """

    standing: Sequence[Mapping[str, Turn]]
    turns: Sequence[Turn]
    heard: Mapping[TurnId, Sequence[Turn]]
    decision: Decision
    verdicts: Mapping[str, bool]
    scored: bool
    voters: int
    exact: Mapping[str, bool] = field(default_factory=dict)
    known: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """One question with all its debates.

    `stages` names the stages of `Debate.standing`. `labels` maps each answer to the first one that equals it, and
    `values` each answer that is a number to it. `numeric`: answers are compared as numbers.
    """

    item: str
    text: str
    debates: Sequence[Debate]
    stages: Sequence[str]
    labels: Mapping[str, str]
    values: Mapping[str, float]
    same: Same
    numeric: bool

    def label(self, turn: Turn | None) -> str | None:
        """Return the label of a turn's answer; None without a readable one."""
        return None if turn is None or turn.answer is None else self.labels[turn.answer]

    def value(self, turn: Turn | None) -> float | None:
        """Return the number that a turn gives as its answer, or None."""
        return None if turn is None or turn.answer is None else self.values.get(turn.answer)

    def list_labels(self, turns: Iterable[Turn]) -> list[str]:
        """Return the labels of the readable answers of these turns."""
        return [label for turn in turns if (label := self.label(turn)) is not None]

    def list_values(self, turns: Iterable[Turn]) -> list[float]:
        """Return the numbers that these turns give as answers."""
        return [value for turn in turns if (value := self.value(turn)) is not None]


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a metric.

    `value` is None where it is undefined. `n` counts the observations behind it. `stage` is "" for a number about whole
    debates. `group` names a part, such as a question or an agent. `unit` is "share" for a value in [0, 1]. `headline`
    numbers are compared between runs.
    """

    name: str
    value: float | None
    n: int
    stage: str = ""
    group: str = ""
    unit: Literal["share", "number"] = "number"
    headline: bool = False


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """Facts about a run. A metric that the scenario does not list decides from them whether it is reported.

    `scored`: some question has a true answer. `samples` is the number of debates per question, `voters` the
    largest number of agents with a vote.
    """

    scored: bool
    samples: int
    voters: int


class Metric(Component, ABC):
    """An entry of `metrics:`."""

    question: ClassVar[str]
    """The question that the metric answers, as the report asks it."""
    note: ClassVar[str]
    """Definition of the numbers with their source, and their limits."""
    intervals: ClassVar[bool] = True
    """Whether the numbers get intervals by bootstrapping questions."""

    @classmethod
    def suits(cls, facts: MetricFacts) -> bool:
        """Return whether runs that list no metrics report this one."""
        return False

    def idle(self, numeric: bool, voters: int) -> Reasons:
        """Return the fields without effect. `numeric`: answers are compared as numbers. `voters` is their number."""
        return {}

    def remarks(self, questions: int, scored: int, samples: int) -> Iterator[str]:
        """Yield why it has no numbers with these numbers of questions, of those with a true answer, and of samples."""
        return iter(())

    @abstractmethod
    def count(self, question: Question) -> Totals:
        """Return the counts of one question, from which `numbers` are computed after adding them up."""

    @abstractmethod
    def numbers(self, totals: Totals, stages: Sequence[str]) -> Iterable[Number]:
        """Return the numbers from the sums over questions, in the order in which they are shown."""

    @abstractmethod
    def describe(self, numbers: Sequence[Number]) -> tuple[str, str]:
        """Return a short answer to `question`, and one or two sentences with the most important numbers."""


def require_pairs(voters: int) -> Reasons:
    """Return the reason why a metric of pairs of voters has no numbers; none for two voters and more."""
    lack = "has no numbers: a single agent has a vote; remove it, or let more agents vote with `decision.voters`"
    return {"": lack} if voters < 2 else {}


def ratio(totals: Totals, part: Key, whole: Key) -> float | None:
    """Return one sum divided by another; None where there is nothing to divide by."""
    return totals.get(part, 0.0) / totals[whole] if totals.get(whole) else None


def percent(number: Number | None) -> str:
    """Return a share in percent, or that it is not known."""
    return "not known" if number is None or number.value is None else f"{100 * number.value:.0f}%"


def pick(numbers: Sequence[Number], name: str) -> list[Number]:
    """Return the known numbers of this name that are about a stage, in order."""
    return [number for number in numbers if number.name == name and number.stage and number.value is not None]
