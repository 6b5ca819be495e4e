"""Figures that compare runs: accuracy, the runs in a table, paired differences, accuracy against cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from society.metrics.comparison import Comparison, Pair, RunScore
from society.metrics.comparison_tables import pair_rows, run_rows
from society.metrics.tradeoff import Point
from society.pictures.figures import Chart, Figure, Forest, Table, share_row
from society.pictures.run_figures import cost_chart

MAX_SENTENCES = 1
"""Maximum number of pairs whose power and compute are described in sentences. The table has those of all pairs."""
SIDE_BY_SIDE = 4
"""Maximum number of runs that stand in columns. Of more, each is a line of the table."""
_IN_WORDS = {"p": "chance alone (p)", "p (Holm)": "adjusted (p)"}
"""Titles of the table of pairs that the page words differently."""


def comparison_figures(found: Comparison) -> list[Figure]:
    """Return the figures of a comparison."""
    scored = [score for score in found.runs if score.accuracy.n]
    rows = [share_row(score.name, score.accuracy) for score in scored]
    note = "Accuracy of the society's decisions, with 95% intervals."
    figures: list[Figure] = [Forest("runs", "Accuracy by run", note, rows), _costs(scored)] if rows else []
    return [*figures, _runs(found), *([_pairs(found)] if found.pairs else [])]


def _runs(found: Comparison) -> Table:
    """Return every number of `society compare` by run. Columns that are 0 in all runs are named in the note."""
    titles, *rows = run_rows(found)
    columns = list(zip(*rows, strict=True))
    kept = [i for i, column in enumerate(columns) if set(column) - {"0", "0.0"} or not i]
    nothing = [title for i, title in enumerate(titles) if i not in kept]
    note = "Tokens and seconds are of the compared debates; those of training are named so. Tokens trained on count "
    note += "every epoch."
    if nothing:
        note += f" 0 in all runs: {', '.join(nothing)}."
    shown = [[row[i] for i in kept] for row in [titles, *rows]]
    if len(rows) <= SIDE_BY_SIDE:  # a column for each run, so that the numbers of a line can be compared
        shown = [list(line) for line in zip(*shown, strict=True)]
        shown[0][0] = "measure"
    return Table("compared", "Runs", note, shown[0], shown[1:])


def _pairs(found: Comparison) -> Table:
    titles, *rows = pair_rows(found)
    rows = [
        [f"{pair.second} against {pair.first}", *row[1:], _needed(pair)]
        for pair, row in zip(found.pairs, rows, strict=True)
    ]
    note = "The second run minus the first, on the questions of both. Better: right in the second run only."
    if len(found.pairs) <= MAX_SENTENCES:
        matched = [pair.compute.sentence for pair in found.pairs if pair.compute is not None]
        note = " ".join([note, *(pair.sentence for pair in found.pairs), *matched])
    columns = [_IN_WORDS.get(title, title) for title in titles] + ["questions needed for 5 points"]
    return Table("pairs", "Paired differences", note, columns, rows)


def _needed(pair: Pair) -> str:
    return "not known" if pair.needed is None else f"{pair.needed:,}"


def _costs(scored: Sequence[RunScore]) -> Chart:
    points = [
        Point(s.name, "run", s.usage.generated_tokens / s.debates, s.accuracy.share, s.accuracy.low, s.accuracy.high)
        for s in scored
    ]
    return replace(cost_chart(points), id="run-costs")
