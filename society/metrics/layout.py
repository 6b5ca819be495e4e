"""Comparisons as tables of text: for the terminal, Markdown, CSV and LaTeX (with booktabs)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from math import isfinite

from society.metrics.comparison import Comparison, Pair, RunScore
from society.spreadsheet import quote
from society.visible import reveal

Rows = list[list[str]]
"""A table: the titles first; the first column holds names, the others figures."""
INTERVAL = "95 % interval"


def run_rows(found: Comparison) -> Rows:
    """A line for each run: accuracy with its 95 % interval, what counts as wrong beside wrong answers, and cost."""
    titles = ["run", "accuracy", INTERVAL, "questions", "debates", "undecided", "unreadable", "failed",
              "generated tokens", "prompt tokens", "of these cached",
              "backend seconds", "right per 1,000 tokens"]  # fmt: skip
    return [titles, *map(_run_row, found.runs)]


def _run_row(run: RunScore) -> list[str]:
    right, used = run.accuracy, run.usage
    debates = f"{run.debates:,}" if run.finished else f"{run.debates:,} of {run.expected:,}"
    return [
        run.name, _percent(right.share), f"{_percent(right.low)} to {_percent(right.high)}", f"{run.questions:,}",
        debates, f"{run.undecided:,}", f"{run.unparsed:,}", f"{run.failed:,}", f"{used.generated_tokens:,}",
        f"{used.prompt_tokens:,}", f"{used.cached_tokens:,}", f"{used.seconds:,.1f}", _number(run.per_thousand),
    ]  # fmt: skip


def pair_rows(found: Comparison) -> Rows:
    """A line for each pair, second minus first; with more than one pair, p values that hold together."""
    several = len(found.pairs) > 1
    titles = ["difference", "points", INTERVAL, "p", *(["p (Holm)"] if several else []), "better", "worse",
              "questions", "test"]  # fmt: skip
    return [titles, *(_pair_row(pair, several) for pair in found.pairs)]


def _pair_row(pair: Pair, several: bool) -> list[str]:
    d = pair.difference
    return [
        f"{pair.second} - {pair.first}", _points(d.value), f"{_points(d.low)} to {_points(d.high)}", _p(d.p),
        *([_p(pair.p_holm)] if several else []), f"{d.gained:,}", f"{d.lost:,}", f"{d.questions:,}", d.test,
    ]  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if isfinite(share) else "-"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _number(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "-"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def layout(rows: Rows, form: str) -> str:
    """The table as "text", "markdown", "csv" or "latex"."""
    forms: dict[str, Callable[[Rows], str]] = {"text": _text, "markdown": _markdown, "csv": _csv, "latex": _latex}
    return forms[form](rows)


def stand(rows: Rows) -> Rows:
    """The table on its side, a line for each figure and a column for each name, as fits a page better."""
    return [list(column) for column in zip(*rows, strict=True)]


def _text(rows: Rows) -> str:
    rows = _plain(rows)
    widths = [max(map(len, column)) for column in stand(rows)]
    return "\n".join(_aligned(row, widths) for row in rows)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def _markdown(rows: Rows) -> str:
    cells = [[_MARKDOWN.sub(r"\\\g<0>", cell) for cell in row] for row in _plain(rows)]
    cells.insert(1, ["---", *["---:"] * (len(rows[0]) - 1)])
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


_MARKDOWN = re.compile(r"[\\|`*\[\]~$]|<(?=[A-Za-z/!?])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What begins markup in a cell of a table. An underscore within a word begins none."""


def _plain(rows: Rows) -> Rows:
    """Each cell on one line, hidden characters shown."""
    return [[reveal(" ".join(cell.split())) for cell in row] for row in rows]


def _csv(rows: Rows) -> str:
    """Numbers bare, so that other programs read them: 63.2 for 63.2 %, 1200 for 1,200, an interval in two columns.

    No text is a formula: see `society.spreadsheet`.
    """
    out = io.StringIO()
    place = rows[0].index(INTERVAL)
    titles = [*rows[0][:place], "low", "high", *rows[0][place + 1 :]]
    bare = [[row[0], *(re.sub(r"(?<=\d) %|(?<=\d),(?=\d{3})", "", cell) for cell in row[1:])] for row in rows[1:]]
    split = [[*row[:place], *row[place].split(" to "), *row[place + 1 :]] for row in bare]
    csv.writer(out, lineterminator="\n").writerows([quote(cell) for cell in row] for row in [titles, *split])
    return out.getvalue().rstrip("\n")


_SPECIAL = str.maketrans({
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "<": r"$<$", ">": r"$>$",
    "[": "{[}", "]": "{]}", "*": "{*}", "`": "{`}", "'": "{'}", '"': r"\char34{}", "⟦": r"$\langle$", "⟧": r"$\rangle$",
})  # fmt: skip
"""Characters that are commands, that end or begin an argument of `\\\\`, or that fonts do not have."""


def _latex(rows: Rows) -> str:
    lines = [" & ".join(_escape(cell) for cell in row) + r" \\" for row in _plain(rows)]
    columns = "l" + "r" * (len(rows[0]) - 1)
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:],
                      r"\bottomrule", r"\end{tabular}"])  # fmt: skip


def _escape(cell: str) -> str:
    """For LaTeX, with real minus signs and thin spaces before per cent."""
    text = cell.translate(_SPECIAL).replace(r" \%", r"\,\%")
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", text)
