"""Agreement of the voters after each round: the share of equal pairs, Fleiss' kappa, Krippendorff's alpha."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import ClassVar, Literal

from society.components.facts import Reasons
from society.components.metrics.base import (
    Level,
    Metric,
    MetricFacts,
    Number,
    Question,
    Sums,
    Totals,
    pick,
    ratio,
    require_pairs,
)
from society.core.plain import count

Category = str | float
Coincidences = Mapping[tuple[Category, Category], float]
"""Krippendorff's matrix of coincidences: pairs of values within a unit, each weighted by 1 / (values - 1)."""
Distance = Callable[[Category, Category], float]
KAPPA = "Fleiss' kappa"
LEVELS: Sequence[Level] = ("nominal", "ordinal", "interval")


class Agreement(Metric):
    """Agreement of the voters' answers after each round, beyond chance and as a share of equal pairs."""

    kind: Literal["agreement"] = "agreement"
    question: ClassVar[str] = "Do they agree?"
    note: ClassVar[str] = (
        "Equal pairs: the share of pairs of voters of a debate with equal answers. Fleiss' kappa (1971) and "
        "Krippendorff's alpha (2004, chapter 11) are 1 for full agreement and 0 for the agreement that chance gives "
        "where all answers to all questions are mixed. Kappa is of debates in which every voter has a readable answer; "
        "alpha takes all debates with two. Both need such debates on two questions, as otherwise nothing is mixed. "
        "Alpha with the level `interval` weighs a disagreement by the square of the difference."
    )
    level: Level | None = None
    """Scale of the answers for alpha: `nominal` (equal or not), `ordinal` (ranks) or `interval` (differences). The
    last two need numbers. By default `interval` where answers are compared as numbers, otherwise `nominal`."""

    @classmethod
    def suits(cls, facts: MetricFacts) -> bool:
        return not facts.scored and facts.voters > 1

    def idle(self, numeric: bool, voters: int) -> Reasons:
        if self.level in (None, "nominal") or numeric:
            return require_pairs(voters)
        why = "leaves alpha undefined: answers are not compared as numbers"
        return {"level": f"{why}; set `level: nominal`, or `equal: numeric` for the answers"}

    def count(self, question: Question) -> Totals:
        totals: Sums = defaultdict(float)
        level = self.level or ("interval" if question.numeric else "nominal")
        totals["level", level] += 1
        for debate in question.debates:
            for i, standing in enumerate(debate.standing):
                labels = question.list_labels(standing.values())
                _count_pairs(totals, i, labels, debate.voters)
                if len(labels) == debate.voters > 1:
                    totals["complete", i, question.item, question.text] += 1
                values = labels if level == "nominal" else question.list_values(standing.values())
                if len(values) > 1:
                    totals["paired", i, question.item, question.text] += 1
                for (one, other), weight in coincide(values).items():
                    totals["coincidence", i, one, other] += weight
        return totals

    def numbers(self, totals: Totals, stages: Sequence[str]) -> Iterable[Number]:
        level = next(name for name in LEVELS if totals.get(("level", name)))
        last = len(stages) - 1
        for i, stage in enumerate(stages):
            pairs = round(totals.get(("pairs", i), 0) / 2)
            share = ratio(totals, ("equal", i), ("pairs", i))
            yield Number("equal pairs", share, pairs, stage, unit="share", headline=i == last)
        for i, stage in enumerate(stages):
            value = _kappa(totals, i) if _has_several(totals, "complete", i) else None
            yield Number(KAPPA, value, round(totals.get(("full", i), 0)), stage, headline=i == last)
        for i, stage in enumerate(stages):
            found = {(key[2], key[3]): w for key, w in totals.items() if key[0] == "coincidence" and key[1] == i}
            value = krippendorff(found, level) if _has_several(totals, "paired", i) else None
            yield Number(
                f"Krippendorff's alpha ({level})", value, round(sum(found.values())), stage, headline=i == last
            )

    def describe(self, numbers: Sequence[Number]) -> tuple[str, str]:
        equal = pick(numbers, "equal pairs")
        if not equal:
            return "Not known", "No two voters of a debate have readable answers."
        first, last = (f"{100 * (number.value or 0):.0f}%" for number in (equal[0], equal[-1]))
        told = f"{last} of {count(equal[-1].n, 'pair')} of voters give equal answers"
        if len(equal) > 1:
            told += f" at the end, {first} in the first round"
        for name in dict.fromkeys(number.name for number in numbers if number.name != "equal pairs"):
            if known := pick(numbers, name):
                told += f"; {name} is {known[-1].value:.2f} after {known[-1].stage}"
                told += f", {known[0].value:.2f} after {known[0].stage}" if len(known) > 1 else ""
                if name == KAPPA:
                    told += f" ({count(known[-1].n, 'debate')} in which every voter has a readable answer)"
        return f"{last} of pairs", f"{told}."


def _count_pairs(totals: Sums, stage: int, labels: Sequence[str], voters: int) -> None:
    """Count equal pairs, and for kappa the answers of a debate in which every voter has one."""
    sizes, n = Counter(labels), len(labels)
    equal = sum(size * (size - 1) for size in sizes.values())
    totals["equal", stage] += equal
    totals["pairs", stage] += n * (n - 1)
    if n == voters > 1:
        totals["full", stage] += 1
        totals["agreeing", stage] += equal / (n * (n - 1))
        for label, size in sizes.items():
            totals["given", stage, label] += size


def _has_several(totals: Totals, name: str, stage: int) -> bool:
    """Return whether several questions have such a debate after a stage."""
    return sum(key[:2] == (name, stage) for key in totals) > 1


def _kappa(totals: Totals, stage: int) -> float | None:
    """Return Fleiss' kappa of the complete debates after a stage; None for fewer than two, or equal answers."""
    full = totals.get(("full", stage), 0)
    given = [number for key, number in totals.items() if key[:2] == ("given", stage)]
    if full < 2 or sum(1 for number in given if number) < 2:
        return None
    observed = totals["agreeing", stage] / full
    chance = sum((number / sum(given)) ** 2 for number in given)
    return (observed - chance) / (1 - chance)


def coincide(values: Sequence[Category]) -> dict[tuple[Category, Category], float]:
    """Return the coincidences of the values of one unit; empty for fewer than two values."""
    sizes, n = Counter(values), len(values)
    if n < 2:
        return {}
    return {
        (one, other): sizes[one] * (sizes[other] - (one == other)) / (n - 1)
        for one in sizes
        for other in sizes
        if one != other or sizes[one] > 1
    }


def krippendorff(found: Coincidences, level: Level) -> float | None:
    """Return Krippendorff's alpha of a matrix of coincidences; None where all values are equal.

    alpha = 1 - (n - 1) * sum o_ck d_ck / sum n_c n_k d_ck, with the squared difference d of the level. Source:
    Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability".
    """
    sizes: defaultdict[Category, float] = defaultdict(float)
    for (one, _), weight in found.items():
        sizes[one] += weight
    n = sum(sizes.values())
    distance = _distances(sizes, level)
    expected = sum(sizes[one] * sizes[other] * distance(one, other) for one in sizes for other in sizes)
    if not expected:
        return None
    observed = sum(weight * distance(one, other) for (one, other), weight in found.items())
    return 1 - (n - 1) * observed / expected


def _distances(sizes: Mapping[Category, float], level: Level) -> Distance:
    """Return the squared difference of two values on this level."""
    if level == "nominal":
        return lambda one, other: float(one != other)
    if level == "interval":
        return lambda one, other: (float(one) - float(other)) ** 2
    ordered = sorted(sizes, key=float)
    middles = [
        total - sizes[value] / 2 for value, total in zip(ordered, accumulate(sizes[v] for v in ordered), strict=True)
    ]
    rank = dict(zip(ordered, middles, strict=True))
    return lambda one, other: (rank[one] - rank[other]) ** 2
