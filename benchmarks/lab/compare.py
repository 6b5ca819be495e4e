"""The planned comparisons: differences by seed on the same questions, with intervals, tests and effect sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from benchmarks.lab.arms import Growth, Look
from society.metrics.statistics import Difference, compare_outcomes, holm

Vote = Literal["last", "all"]
Summaries = Mapping[str, Mapping[int, dict[str, Any]]]


def contrast(summaries: Summaries, look: Look) -> list[list[str]]:
    """Return a row of cells for each pair of arms that have both come to the iteration in some seed.

    The p of Holm holds over all pairs of the family. One that cannot be taken yet has a p of 1, which makes the others
    as large as they can become.
    """
    pairs = {(arm, rival): paired(summaries, arm, rival, look.iteration, look.vote) for arm, rival in look.pairs}
    known = {pair: found for pair, found in pairs.items() if found}
    tests = {pair: test([one.value for one in found.values()]) for pair, found in pairs.items()}
    adjusted = dict(zip(tests, holm([found[2] for found in tests.values()]), strict=True))
    name = f"after {look.iteration}" + (", vote of all turns" if look.vote == "all" else "")
    name += "" if look.planned else " (not planned)"
    return [
        cells(f"{arm} less {rival}, {name}", found, tests[arm, rival], adjusted[arm, rival])
        for (arm, rival), found in known.items()
    ]


def paired(summaries: Summaries, method: str, rival: str, iteration: int, vote: Vote = "last") -> dict[int, Difference]:
    """Return, by seed, the method's outcomes minus the rival's, question by question."""
    ours, theirs = (
        {seed: outcomes(one, iteration, vote) for seed, one in summaries.get(arm, {}).items()}
        for arm in (method, rival)
    )
    return {s: compare_outcomes(theirs[s], ours[s]) for s in ours if s in theirs and ours[s] and theirs[s]}


def outcomes(summary: Mapping[str, Any], iteration: int, vote: Vote = "last") -> dict[int, list[float]]:
    """Return right or wrong for each held-out question; empty if the run has not reached this iteration."""
    rounds = summary["iterations"]
    bits = rounds[iteration].get("right" if vote == "last" else "right_all", "") if iteration < len(rounds) else ""
    return {i: [float(bit)] for i, bit in enumerate(bits)}


def test(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Return low and high of the 95 % interval of the mean, p of the two-sided t-test, and the effect size.

    The effect size is the mean over the standard deviation. With fewer than two seeds, or no spread between them, the
    t-test is not defined: NaN, and a p of 1.
    """
    from statistics import fmean, stdev

    from scipy.stats import ttest_1samp

    if len(values) < 2 or stdev(values) == 0:
        return float("nan"), float("nan"), 1.0, float("nan")
    found = ttest_1samp(values, 0)
    interval = found.confidence_interval()
    return float(interval.low), float(interval.high), float(found.pvalue), fmean(values) / stdev(values)


def cells(
    name: str, found: Mapping[int, Difference], tested: tuple[float, float, float, float], adjusted: float | None
) -> list[str]:
    """Return one row of the table of differences. `adjusted`: p by Holm, None outside a family."""
    low, high, p, effect = tested
    mean = sum(one.value for one in found.values()) / len(found)
    single = low != low
    mcnemar = "; ".join(f"{seed}: {one.value:+.1%}, p = {one.p:.2g}" for seed, one in found.items())
    by_holm = "-" if adjusted is None else f"{adjusted:.2g}"
    tail = ["-"] * 4 if single else [f"[{low:+.1%}, {high:+.1%}]", f"{p:.2g}", by_holm, f"{effect:.2f}"]
    return [name, str(len(found)), f"{mean:+.1%}", *tail, mcnemar]


def gained(summaries: Summaries, arm: str, growth: Growth, vote: Vote = "last") -> list[list[str]]:
    """Return the gain of an arm from one iteration to another, as a row."""
    early, late = growth.early, growth.late
    found = {
        seed: compare_outcomes(outcomes(one, early, vote), outcomes(one, late, vote))
        for seed, one in summaries.get(arm, {}).items()
        if outcomes(one, late, vote)
    }
    if not found:
        return []
    tested = test([one.value for one in found.values()])
    which = ", vote of all turns" if vote == "all" else ""
    which += "" if growth.planned else " (not planned)"
    return [cells(f"{arm}, after {late} less after {early}{which}", found, tested, None)]
