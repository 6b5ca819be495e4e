"""Metrics of repeated samples of a question: pass@k, maj@k and best-of-k.

Each number is the mean over all draws of k of the n samples without replacement, which is an unbiased estimate for k
independent samples (Hoeffding 1948, A Class of Statistics with Asymptotically Normal Distribution).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from math import comb
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from society.components.facts import Remark
from society.components.metrics.base import (
    Debate,
    Metric,
    MetricFacts,
    Number,
    Question,
    Sums,
    Totals,
    percent,
    ratio,
)
from society.core.plain import count


class SampleMetric(Metric):
    """A metric of k samples of a question, in runs with several samples."""

    k: tuple[Annotated[int, Field(ge=1)], ...] = Field((), strict=False)
    """Numbers of samples. By default 1, 2, 4 and so on up to `samples`. A question with fewer samples is left out."""
    name: ClassVar[str]
    """Name of the numbers, followed by k."""

    @classmethod
    def suits(cls, facts: MetricFacts) -> bool:
        return facts.scored and facts.samples > 1

    @abstractmethod
    def estimate(self, question: Question, debates: Sequence[Debate], k: int) -> float:
        """Return the probability of a right answer to a question with k of its debates."""

    def usable(self, debate: Debate) -> bool:
        """Return whether the metric counts a debate. By default, it does if the question is scored."""
        return debate.scored

    def remarks(self, questions: int, scored: int, samples: int) -> Iterator[str]:
        if not scored:
            none = "the question has no" if questions == 1 else f"none of the {questions} questions has a"
            yield f"has no numbers: {none} true answer; set `gold`, or remove it"
        elif samples == 1:
            yield "compares samples, but each question has one; set `samples: 2` or more, or remove it"
        elif too_many := [k for k in self.k if k > samples]:
            why = f"has no number for k = {too_many[0]}: each question has {samples} samples"
            yield Remark(f"{why}; lower `k`, or raise `samples`", ("k",))

    def count(self, question: Question) -> Totals:
        totals: Sums = defaultdict(float)
        debates = [debate for debate in question.debates if self.usable(debate)]
        for k in self.k or list_sizes(len(debates)):
            if k <= len(debates):
                totals["sum", k] += self.estimate(question, debates, k)
                totals["questions", k] += 1
        return totals

    def numbers(self, totals: Totals, stages: Sequence[str]) -> Iterable[Number]:
        sizes = sorted(int(key[1]) for key in totals if key[0] == "questions")
        for k in sizes:
            questions = round(totals["questions", k])
            share = ratio(totals, ("sum", k), ("questions", k))
            yield Number(f"{self.name}@{k}", share, questions, unit="share", headline=k == sizes[-1])

    def describe(self, numbers: Sequence[Number]) -> tuple[str, str]:
        if not numbers:
            return "Not known", "No question has enough samples with a true answer."
        told = ", ".join(f"{number.name} is {percent(number)}" for number in numbers)
        return percent(numbers[-1]), f"{told}; {count(numbers[-1].n, 'question')}."


class PassAtK(SampleMetric):
    """The probability that any of k samples is right. It uses the true answers: no choice of a sample is better."""

    kind: Literal["pass_at_k"] = "pass_at_k"
    name: ClassVar[str] = "pass"
    question: ClassVar[str] = "Is one of several samples right?"
    note: ClassVar[str] = (
        "pass@k: the probability that any of k samples of a question is right, by the unbiased estimate of Chen et "
        "al., 2021 (arXiv 2107.03374). A debate without a decision is wrong. Limit: nobody knows beforehand which "
        "sample is right, so the number compares with nothing that can be used without the true answers."
    )

    def estimate(self, question: Question, debates: Sequence[Debate], k: int) -> float:
        return pass_at_k([is_right(debate) for debate in debates], k)


class MajorityAtK(SampleMetric):
    """The probability that the most frequent answer of k samples is right. A tie counts as wrong."""

    kind: Literal["majority_at_k"] = "majority_at_k"
    name: ClassVar[str] = "maj"
    question: ClassVar[str] = "Does a vote of several samples help?"
    note: ClassVar[str] = (
        "maj@k: the probability that the most frequent answer of k samples is right (self-consistency, Wang et al., "
        "2022, arXiv 2203.11171), over all draws of k samples. A tie decides nothing and counts as wrong; a debate "
        "without a decision has no vote."
    )

    def estimate(self, question: Question, debates: Sequence[Debate], k: int) -> float:
        classes: dict[str, int] = {}
        numbers: list[int | None] = []
        for debate in debates:
            answer = debate.decision.answer
            label = None if answer is None else question.labels.get(answer, answer)
            numbers.append(None if label is None else classes.setdefault(label, len(classes)))
        return majority_at_k(numbers, [is_right(debate) for debate in debates], k)


class BestOfK(SampleMetric):
    """The probability that the best of k samples is right: by the support of its voters, or by a judge."""

    kind: Literal["best_of_k"] = "best_of_k"
    by: Literal["support", "verdict"] = "support"
    """Choice of the sample. `support`: the largest share of voters. `verdict`: the verdict of the judge of
    `task.answer`, measured by the true answers, for questions that have one."""
    name: ClassVar[str] = "best"
    question: ClassVar[str] = "Is the best of several samples right?"
    note: ClassVar[str] = (
        "best@k: the probability that the sample with the highest value among k is right. The value is the share of "
        "voters that support its decision or, with `by: verdict`, 1 if the judge calls it right. Equal values are "
        "drawn with equal chances. A debate without a decision has the lowest value and is wrong."
    )

    @classmethod
    def suits(cls, facts: MetricFacts) -> bool:
        return super().suits(facts) and facts.voters > 1

    def usable(self, debate: Debate) -> bool:
        if self.by == "support":
            return debate.scored
        return debate.scored and debate.known

    def count(self, question: Question) -> Totals:
        answers = [(debate, debate.decision.answer) for debate in question.debates]
        if self.by == "verdict" and any(answer not in (None, *debate.exact) for debate, answer in answers):
            return {}  # the judge compares pairs, or there is no true answer
        return super().count(question)

    def estimate(self, question: Question, debates: Sequence[Debate], k: int) -> float:
        right = [is_right(debate) for debate in debates]
        values = [-1.0 if debate.decision.answer is None else debate.decision.support for debate in debates]
        if self.by == "verdict":
            values = [float(good) - (d.decision.answer is None) for good, d in zip(right, debates, strict=True)]
            right = [debate.exact.get(debate.decision.answer or "", False) for debate in debates]
        return best_of_k(values, right, k)


def list_sizes(samples: int) -> list[int]:
    """Return the powers of 2 up to a number of samples, and this number."""
    powers = [2**i for i in range(samples.bit_length()) if 2**i <= samples]
    return list(dict.fromkeys([*powers, samples])) if samples else []


def is_right(debate: Debate) -> bool:
    """Return whether the decision of a debate is right."""
    answer = debate.decision.answer
    return answer is not None and debate.verdicts.get(answer, False)


def pass_at_k(right: Sequence[bool], k: int) -> float:
    """Return the probability that any of k samples is right: 1 - C(n - c, k) / C(n, k).

    Source: Chen et al., 2021 (arXiv 2107.03374), section 2.1.
    """
    wrong = len(right) - sum(right)
    return 1 - comb(wrong, k) / comb(len(right), k)


def majority_at_k(classes: Sequence[int | None], right: Sequence[bool], k: int) -> float:
    """Return the probability that the most frequent answer of k samples is right (maj@k).

    `classes` numbers the equal answers; None is an unreadable answer or no decision, which has no vote. A tie decides
    nothing, so it counts as wrong. The winning answer is one of its class, drawn with equal chances, so a class is
    right by the share of its samples that are.
    """
    found: dict[int, list[bool]] = {}
    for number, good in zip(classes, right, strict=True):
        if number is not None:
            found.setdefault(number, []).append(good)
    silent = classes.count(None)
    winning = Fraction(0)
    for number, goods in found.items():
        if any(goods):
            others = [len(members) for other, members in found.items() if other != number]
            ways = sum(comb(len(goods), v) * _ways(others, silent, v - 1, k - v) for v in range(1, k + 1))
            winning += Fraction(sum(goods), len(goods)) * ways
    return float(winning / comb(len(classes), k))


def _ways(sizes: Sequence[int], silent: int, most: int, draws: int) -> int:
    """Return in how many ways `draws` samples come from these classes, at most `most` of each, and silent ones."""
    ways = [comb(silent, drawn) for drawn in range(draws + 1)]
    for size in sizes:
        allowed = range(min(size, most) + 1)
        ways = [sum(comb(size, j) * ways[total - j] for j in allowed if j <= total) for total in range(draws + 1)]
    return ways[draws] if draws >= 0 else 0


def best_of_k(values: Sequence[float], right: Sequence[bool], k: int) -> float:
    """Return the probability that the sample with the highest value among k is right. Equal values are drawn fairly."""
    ordered = sorted(zip(values, right, strict=True))
    total, below = 0.0, 0
    for _, group in groupby(ordered, key=lambda pair: pair[0]):
        goods = [good for _, good in group]
        best = comb(below + len(goods), k) - comb(below, k)
        total += best * sum(goods) / len(goods)
        below += len(goods)
    return total / comb(len(ordered), k)
