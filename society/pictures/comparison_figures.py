"""Figures that compare runs: accuracy, paired differences, compute, accuracy against cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from society.metrics.comparison import Comparison
from society.metrics.compute import Compute
from society.metrics.tradeoff import Point
from society.pictures.figures import Chart, Figure, Forest, Table, share_row
from society.pictures.run_figures import cost_chart

MAX_SENTENCES, MAX_COMPUTE_SENTENCES = 3, 6
"""Maximum number of pairs whose difference, and whose compute, is described in a sentence."""


def comparison_figures(found: Comparison) -> list[Figure]:
    """Return the figures of a comparison."""
    rows = [share_row(score.name, score.accuracy) for score in found.runs]
    note = "Accuracy of the society's decisions, with 95% intervals."
    return [Forest("runs", "Accuracy by run", note, rows), _pairs(found), _compute(found), _costs(found)]


def _pairs(found: Comparison) -> Table:
    rows = [
        [
            f"{pair.second} against {pair.first}",
            f"{100 * pair.difference.value:+.1f}",
            f"{100 * pair.difference.low:+.1f} to {100 * pair.difference.high:+.1f}",
            f"{pair.p_holm:.2g}",
            pair.difference.gained,
            pair.difference.lost,
            pair.difference.questions,
        ]
        for pair in found.pairs
    ]
    columns = ["difference", "points", "95% interval", "p (Holm)", "better", "worse", "questions"]
    described = found.pairs[:MAX_SENTENCES]
    sentences = [pair.named_sentence if len(found.pairs) > 1 else pair.sentence for pair in described]
    note = f"Paired by question; p-values by {found.pairs[0].difference.test}. {' '.join(sentences)}"
    return Table("pairs", "Paired differences", note, columns, rows)


def _compute(found: Comparison) -> Table:
    """Return what each run computed, and which pairs are compute-matched."""
    rows = [
        [run.name, run.iteration, run.compute.rows, *_counts(run.compute), round(run.compute.seconds, 1)]
        for run in found.runs
    ]
    columns = ["run", "finetunings", "rows trained on", *found.runs[0].compute.counts, "seconds of finetuning"]
    compared = [pair.compute.sentence for pair in found.pairs[:MAX_COMPUTE_SENTENCES] if pair.compute is not None]
    note = (
        "Tokens generated and prompt tokens: of the training debates and of the compared debates. "
        f"Tokens trained on count every epoch. {' '.join(compared)}"
    )
    return Table("compute", "Compute", note, columns, rows)


def _counts(compute: Compute) -> Iterator[int | str]:
    """Yield the counts as numbers, and as words where they are estimates."""
    for count, written in zip(compute.counts.values(), compute.written.values(), strict=True):
        yield count if written == f"{count:,}" else written


def _costs(found: Comparison) -> Chart:
    points = [
        Point(s.name, "run", s.usage.generated_tokens / s.debates, s.accuracy.share, s.accuracy.low, s.accuracy.high)
        for s in found.runs
    ]
    return replace(cost_chart(points), id="run-costs")
