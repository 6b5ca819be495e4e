"""Write tables and figures of the results so far, from the summaries: one page per suite in benchmarks/results/lab.

python -m benchmarks.lab.table
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.lab.arms import ROOT, Suite
from benchmarks.lab.compare import contrast, gained, test
from benchmarks.lab.plan import ARMS, SUITES
from benchmarks.lab.summary import read
from society.core.types import Usage
from society.metrics.diversity import Mean, TextDiversity, mean_of
from society.metrics.iterations import IterationScore
from society.metrics.proportion import Proportion, proportion
from society.training.contrast import AGAINST

PAGES, FIGURES = ROOT / "benchmarks" / "results" / "lab", ROOT / "docs"
"""Folders of the pages with tables, and of the figures."""
Summaries = Mapping[str, Mapping[int, dict[str, Any]]]
"""Summaries by arm and seed."""
LIBRARIES = ("torch", "transformers")
"""Libraries whose versions change draws."""
ACCURACY = (
    "The mean over seeds, and its 95 % interval by Student's t: seeds are the unit. One seed has no interval. A cell "
    "of fewer seeds than its arm has names them.\n\n"
)
DIFFERENCES = (
    "Seeds are the unit of means, intervals and tests. Holm's p holds over the planned family. A comparison of it that "
    "is missing counts with p = 1.\n\n"
)
INSIDE = (
    "Means over the seeds of the first table. Consensus, entropy and wordings depend on the number of answers, so "
    "those of six agents are not comparable with those of three.\n\n"
)


def collect(suite: Suite) -> dict[str, dict[int, dict[str, Any]]]:
    """Return every summary that has been finetuned at least once."""
    found = {name: {seed: read(name, seed) for seed in arm.seeds} for name, arm in suite.arms.items()}
    some = {arm: {seed: one for seed, one in seeds.items() if reach(one) > 0} for arm, seeds in found.items()}
    return {arm: seeds for arm, seeds in some.items() if seeds}


def reach(summary: Mapping[str, Any]) -> int:
    """Return the last iteration of a summary, -1 without one."""
    return len(summary.get("iterations", ())) - 1


def at(seeds: Mapping[int, dict[str, Any]], iteration: int) -> list[dict[str, Any]]:
    """Return this iteration of every seed that has reached it."""
    return [summary["iterations"][iteration] for summary in seeds.values() if reach(summary) >= iteration]


def pooled(found: Iterable[Mapping[str, Any]], what: str = "accuracy") -> Proportion:
    """Return one share over all seeds, with the interval of their questions (Wilson 1927)."""
    shares = [one[what] for one in found]
    return proportion(sum(s["successes"] for s in shares), sum(s["n"] for s in shares))


def write_results(suite: Suite, summaries: Summaries) -> str:
    """Return all tables of a suite as a Markdown page."""
    parts = [f"# {suite.title}\n", "Written by `python -m benchmarks.lab.table`.\n"]
    if suite.figure:
        parts.append(f"![Accuracy, agreement and entropy by iteration](../../../docs/{suite.figure})\n")
        parts.append("Lines are over the seeds that have come furthest; labels are those of the training questions.\n")
    tables = {
        "Accuracy of the vote on held-out questions": ACCURACY + accuracy_table(summaries),
        "Differences": DIFFERENCES + difference_table(suite, summaries),
        "Inside": INSIDE + inside_table(summaries),
        "Training rows that teach a right answer": rows_table(summaries),
        "Cost of one iteration": cost_table(summaries),
    }
    parts.append(describe(suite, summaries))
    for title, written in tables.items():
        parts += [f"## {title}\n", *(f"{taint}\n" for taint in suite.taints), written]
    return "\n".join(parts)


def describe(suite: Suite, summaries: Summaries) -> str:
    """Return the available results in words, and whether all have the same inputs."""
    runs = [summary for seeds in summaries.values() for summary in seeds.values()]
    missing = sum(
        arm.iterations - max(0, reach(summaries.get(name, {}).get(seed, {})))
        for name, arm in suite.arms.items()
        for seed in arm.seeds
    )
    planned = sum(arm.iterations * len(arm.seeds) for arm in suite.arms.values())
    models = {hash_ for run in runs for hash_ in run["models"].values()}
    warning = "" if len(models) == 1 else " **Not all runs are of the same model; do not compare them.**"
    if missing:
        warning += f" **{missing} of {planned} planned iterations have not been run.**"
    return (
        f"{len(runs)} runs; weights {', '.join(sorted(model[:12] for model in models))}.{warning}\n\n"
        f"Seeds by machine: {machines(summaries)}.\n"
    )


def machines(summaries: Summaries) -> str:
    """Return the seeds that each machine ran, with its processor and libraries."""
    seeds: dict[str, set[int]] = {}
    for arm in summaries.values():
        for seed, run in arm.items():
            versions = "".join(f", {name} {run['versions'][name]}" for name in LIBRARIES if name in run["versions"])
            seeds.setdefault(run["machine"]["processor"] + versions, set()).add(seed)
    return "; ".join(f"{write_seeds(found)} on {machine}" for machine, found in sorted(seeds.items()))


def write_seeds(seeds: Iterable[int]) -> str:
    """Return seeds as text, in their order."""
    return ", ".join(map(str, sorted(seeds)))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def accuracy_table(summaries: Summaries) -> str:
    """Return a table of means over seeds, with their intervals, by arm and iteration."""

    def cell(seeds: Mapping[int, dict[str, Any]], iteration: int) -> str:
        shares = {s: one["iterations"][iteration]["accuracy"] for s, one in seeds.items() if reach(one) >= iteration}
        if not shares:
            return ""
        values = [share["successes"] / share["n"] for share in shares.values()]
        low, high, *_ = test(values)
        interval = "" if low != low else f" [{low:.1%}, {high:.1%}]"
        fewer = "" if len(shares) == len(seeds) else f" (seeds {write_seeds(shares)})"
        return f"{mean(values):.1%}{interval}{fewer}"

    shown = sorted({i for arm in summaries for i in ARMS[arm].shown})
    shown = [i for i in shown if any(at(seeds, i) for seeds in summaries.values())]
    rows = [[arm, write_seeds(seeds), *(cell(seeds, i) for i in shown)] for arm, seeds in summaries.items()]
    return table(["arm", "seeds", *(f"after {i}" for i in shown)], rows)


def difference_table(suite: Suite, summaries: Summaries) -> str:
    """Return the planned comparisons, seed by seed, where both arms have come equally far."""
    rows = [row for look in suite.looks for row in contrast(summaries, look)]
    longest = max(arm.iterations for arm in suite.arms.values())
    for growth in suite.growth:
        for arm in (name for name, arm in suite.arms.items() if arm.iterations == longest):
            for vote in dict.fromkeys(look.vote for look in suite.looks if look.planned):
                rows += gained(summaries, arm, growth, vote)
    head = ["difference", "seeds", "mean", "95 % interval", "p", "p, Holm", "effect size", "exact McNemar by seed"]
    return table(head, rows) if rows else "None of the planned differences can be taken yet.\n"


def inside_table(summaries: Summaries) -> str:
    """Labels and diversity of every arm, over seeds."""
    rows = []
    for arm, seeds in summaries.items():
        for iteration in ARMS[arm].shown:
            if found := at(seeds, iteration):
                rows.append([arm, str(iteration), *inside(found)])
    head = [
        "arm",
        "after",
        "first answers right",
        "their vote right",
        "vote of all turns right",
        "labels right",
        "consensus",
        "entropy (bits)",
        "unlike firsts",
        "dissimilarity",
        "KL to base (nats)",
        "KL to each other (nats)",
    ]
    return table(head, rows)


def inside(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the cells of one arm and iteration: means over seeds."""
    alone, first, labels = (pooled(found, what) for what in ("alone", "first_vote", "labels"))
    every = pooled(found, "all_vote") if all("all_vote" in one for one in found) else None
    seen = [one["first_turns"] for one in found if one.get("first_turns")]
    return [
        f"{alone.share:.1%}",
        f"{first.share:.1%}",
        "-" if every is None else f"{every.share:.1%}",
        f"{labels.share:.1%} of {labels.n}" if labels.n else "-",
        number(one["diversity"]["consensus"]["value"] for one in found),
        number(one["diversity"]["entropy"]["value"] for one in found),
        number(one["unlike"]["value"] for one in found),
        number(one["embedding"]["value"] for one in seen),
        number(kl for one in seen for kl in divergences(one, base=True)),
        number(kl for one in seen for kl in divergences(one, base=False)),
    ]


CRITICS = ("stayed right", "corrected")
"""Last selection rules of critics' rows, of both kinds. All others select those of generators."""


def rows_table(summaries: Summaries) -> str:
    """Return a table of the share of right training rows by selector, over seeds, in the last iteration before each
    evaluation, and of the labels of that iteration. Undesired replies are left out: they are not to be learned."""
    rows = []
    for arm, seeds in summaries.items():
        for iteration in (look - 1 for look in ARMS[arm].shown if look):
            found = [one for one in at(seeds, iteration) if one["rows_right"]]
            if found:
                right = [(rule.split(", ")[-1], share) for one in found for rule, share in one["rows_right"].items()]
                others = [share for rule, share in right if rule not in (*CRITICS, AGAINST)]
                own = [[share for rule, share in right if rule == wanted] for wanted in CRITICS]
                told = [_told(shares) for shares in ([one["labels"] for one in found], others, *own)]
                rows.append([arm, str(len(found)), str(iteration + 1), *told])
    return table(["arm", "seeds", "in iteration", "labels", "generators", *CRITICS], rows)


def _told(shares: Sequence[Mapping[str, Any]]) -> str:
    """Return one share over all seeds, and its n."""
    share = pooled([{"rows": one} for one in shares], "rows")
    return f"{share.share:.1%} of {share.n}" if share.n else "-"


def divergences(measured: Mapping[str, Any], base: bool) -> list[float | None]:
    """Return KL(agent || base), or KL(agent || other agent), of all agents."""
    rows = (measured.get("likelihood") or {}).get("kl", {})
    return [mean["value"] for row in rows.values() for other, mean in row.items() if (other == "base") == base]


def number(values: Iterable[float | None]) -> str:
    """Return the mean of the known values, or "-"."""
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else "-"


def cost_table(summaries: Summaries) -> str:
    """Return a table of means over the iterations that all arms have trained in, on seeds that all of them have.

    Later iterations train on more rows where labels become more frequent, so arms are compared over the same ones.
    """
    common = set.intersection(*(set(seeds) for seeds in summaries.values()))
    if not common:
        return "No seed is common to all arms.\n"
    first = min(reach(seeds[seed]) for seeds in summaries.values() for seed in common)
    rows = []
    for arm, seeds in summaries.items():
        rounds = [one for seed in sorted(common) for one in seeds[seed]["iterations"][:first]]
        trained = [one for one in rounds if one["trained_tokens"]]
        generated, prompts, debating = (
            mean(one["training_usage"][what] for one in trained)
            for what in ("generated_tokens", "prompt_tokens", "seconds")
        )
        seconds = (debating, mean(one["trained_seconds"] for one in trained))
        rows.append(
            [
                arm,
                f"{generated:,.0f}",
                f"{prompts:,.0f}",
                f"{mean(o['trained_tokens'] for o in trained):,.0f}",
                *(f"{s:.0f}" for s in seconds),
            ]
        )
    head = ["arm", "tokens generated", "prompt tokens", "tokens trained on", "s debating for labels", "s finetuning"]
    note = (
        f"Means over the first {first} iterations of seeds that all arms have: {write_seeds(common)}. Without "
        "evaluations. Seconds are on the wall, whatever else the machine did.\n\n"
    )
    return note + table(head, rows)


def mean(values: Iterable[float]) -> float:
    """Return the mean, NaN without values."""
    return mean_of(list(values)).value


def draw(suite: Suite, summaries: Summaries, out: Path) -> None:
    """Draw the suite's arms by iteration over all seeds, as `society plot` draws runs."""
    from society.pictures.files import plotting, save
    from society.pictures.plot import draw_iterations

    with plotting("benchmarks.lab.table"):
        save(draw_iterations({arm: scores(summaries[arm]) for arm in suite.drawn if arm in summaries}), out)


def scores(seeds: Mapping[int, dict[str, Any]]) -> list[IterationScore]:
    """Return one score per iteration, always over the same seeds: those with the most iterations."""
    last = max(map(reach, seeds.values()))
    furthest = {seed: summary for seed, summary in seeds.items() if reach(summary) == last}
    return [_score(i, at(furthest, i)) for i in range(last + 1)]


def _score(iteration: int, found: Sequence[Mapping[str, Any]]) -> IterationScore:
    spread = {what: _mean(one["diversity"][what] for one in found) for what in found[0]["diversity"]}
    return IterationScore(
        iteration,
        sum(one["debates"] for one in found),
        pooled(found),
        pooled(found, "alone"),
        pooled(found, "labels"),
        sum(one["unlabelled"] for one in found),
        TextDiversity(**spread),
        Usage(),
    )


def _mean(means: Iterable[Mapping[str, Any]]) -> Mean:
    """Return the mean of means over seeds; errors of independent means add up in squares."""
    known = [m for m in means if m["value"] is not None]
    error = sum((m["error"] or 0.0) ** 2 for m in known) ** 0.5 / max(len(known), 1)
    return Mean(mean(m["value"] for m in known), error, sum(m["n"] for m in known))


def main() -> None:
    """Write a page for each suite with results, and its figure."""
    PAGES.mkdir(parents=True, exist_ok=True)
    for suite in SUITES:
        summaries = collect(suite)
        if summaries:
            page = PAGES / f"{suite.page}.md"
            page.write_text(write_results(suite, summaries), "utf-8")
            print(f"{page.relative_to(ROOT)} has {sum(map(len, summaries.values()))} runs")
            if suite.figure:
                draw(suite, summaries, FIGURES / suite.figure)


if __name__ == "__main__":
    main()
