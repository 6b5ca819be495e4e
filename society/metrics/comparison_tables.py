"""Tables of comparisons as text: for the terminal, Markdown, CSV and LaTeX (with booktabs)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import isfinite
from operator import attrgetter

from society.core.hidden_chars import reveal
from society.metrics.comparison import Comparison, Pair, RunScore
from society.metrics.compute import PEOPLE, ComputeMatch, write_tokens
from society.metrics.spreadsheet import write_csv

Rows = list[list[str]]
"""A table. The first row has titles; the first column has names and the others numbers."""
INTERVAL = "95% interval"
MOST_PAIRS = 6
"""Maximum number of pairs whose compute is compared in sentences."""
WIDEST = 7
"""Minimum number of runs for which runs are lines of the table. Below, they are its columns."""


def describe(found: Comparison) -> str:
    """Return the comparison as text: the runs, the pairs, and the remarks on them."""
    return "\n".join([write_tables(found, "text"), "", *remarks(found)]).rstrip()


def write_tables(found: Comparison, form: str) -> str:
    """Return the table of the runs and that of the pairs, as "text", "markdown", "csv" or "latex"."""
    runs = run_rows(found)
    wide = form == "csv" or len(runs) > WIDEST
    tables = [runs if wide else stand(runs), *([pair_rows(found)] if found.pairs else [])]
    return "\n\n".join(layout(table, form) for table in tables)


def remarks(found: Comparison) -> list[str]:
    """Return sentences on the comparison: its notes, compute, power, and debating against voting."""
    several = len(found.pairs) > 1
    compute = [pair.compute.sentence for pair in found.pairs if pair.compute is not None]
    power = [pair.named_sentence if several else pair.sentence for pair in found.pairs]
    budgets = [f"{name}: {verdict.sentence}" for name, verdict in found.budgets.items()]
    return [*found.notes, *(compute if len(found.pairs) <= MOST_PAIRS else ()), *dict.fromkeys(power), *budgets]


def run_rows(found: Comparison) -> Rows:
    """Return a line for each run: accuracy with its 95% interval, counts of missing answers, and cost.

    Training is shown if any run was finetuned, accuracy if any run has true answers, and metrics if any run has them.
    """
    trained = any(run.compute.trained_tokens or run.compute.turns for run in found.runs)
    scored = any(run.accuracy.n for run in found.runs)
    left_out = (*(() if scored else _OF_TRUTH), *(() if any(run.usage.tool_calls for run in found.runs) else _OF_TOOLS))
    columns = [column for column in _COLUMNS if column[0] not in left_out] + [*(_TRAINED if trained else ())]
    columns += _OF_PEOPLE if any(run.usage.person_seconds for run in found.runs) else ()
    columns += [_measured(name) for name in dict.fromkeys(name for run in found.runs for name in run.metrics)]
    titles = [title for title, _ in columns]
    return [titles, *([tell(run) for _, tell in columns] for run in found.runs)]


Column = tuple[str, Callable[[RunScore], str]]


def _measured(name: str) -> Column:
    """Return the column of a metric's number, with its interval."""
    return name, lambda run: str(run.metrics.get(name, "-"))


def _debates(run: RunScore) -> str:
    return f"{run.debates:,}" if run.finished else f"{run.debates:,} of {run.expected:,}"


def _for_training(run: RunScore, count: int) -> str:
    return write_tokens(count, run.compute.training.estimated)


def _count(title: str, path: str, form: str = ",") -> Column:
    """Return the column with the number at this path of attributes."""
    number = attrgetter(path)
    return title, lambda run: format(number(run), form)


_COLUMNS: Sequence[Column] = (
    ("run", lambda run: run.name),
    ("accuracy", lambda run: _percent(run.accuracy.share)),
    (INTERVAL, lambda run: f"{_percent(run.accuracy.low)} to {_percent(run.accuracy.high)}" if run.accuracy.n else "-"),
    _count("questions", "questions"),
    ("debates", _debates),
    _count("undecided", "undecided"),
    _count("unreadable", "unparsed"),
    _count("failed", "failed"),
    _count("cut off", "cut_off"),
    _count("decided by one vote", "lone"),
    _count("of these right", "lone_right"),
    ("generated tokens", lambda run: write_tokens(run.usage.generated_tokens, run.usage.estimated)),
    ("of these in thoughts", lambda run: write_tokens(run.usage.thought_tokens, run.usage.estimated)),
    ("prompt tokens", lambda run: write_tokens(run.usage.prompt_tokens, run.usage.estimated)),
    _count("of these cached", "usage.cached_tokens"),
    _count("calls of tools", "usage.tool_calls"),
    _count("of these calls failed", "usage.failed_calls"),
    _count("backend seconds", "usage.seconds", ",.1f"),
    ("right per 1,000 tokens", lambda run: _number(run.per_thousand)),
)
_OF_PEOPLE: Sequence[Column] = (
    _count(PEOPLE, "usage.person_seconds", ",.1f"),
    _count("defaults taken", "usage.defaults"),
)
_OF_TRUTH = ("accuracy", INTERVAL, "of these right", "right per 1,000 tokens")
"""Columns that need true answers."""
_OF_TOOLS = ("calls of tools", "of these calls failed")
"""Columns of runs with tools."""
_TRAINED: Sequence[Column] = (
    _count("finetunings", "iteration"),
    _count("rows trained on", "compute.rows"),
    _count("tokens trained on", "compute.trained_tokens"),
    ("generated for training", lambda run: _for_training(run, run.compute.training.generated_tokens)),
    ("prompts for training", lambda run: _for_training(run, run.compute.training.prompt_tokens)),
    _count("finetuning seconds", "compute.seconds", ",.1f"),
)


def pair_rows(found: Comparison) -> Rows:
    """Return a line for each pair, second minus first. With several pairs, p values are adjusted for all."""
    several = len(found.pairs) > 1
    holm = ["p (Holm)"] if several else []
    titles = ["difference", "points", INTERVAL, "p", *holm, "better", "worse", "questions", "compute-matched", "test"]
    return [titles, *(_pair_row(pair, several) for pair in found.pairs)]


def _pair_row(pair: Pair, several: bool) -> list[str]:
    d = pair.difference
    return [
        f"{pair.second} - {pair.first}",
        _points(d.value),
        f"{_points(d.low)} to {_points(d.high)}",
        write_p(d.p),
        *([write_p(pair.p_holm)] if several else []),
        f"{d.gained:,}",
        f"{d.lost:,}",
        f"{d.questions:,}",
        _matched(pair.compute),
        d.test,
    ]


def _matched(compute: ComputeMatch | None) -> str:
    if compute is None or not compute.known:
        return "not known"
    return f"within {_percent(compute.within)}" if compute.matched else "no"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if isfinite(share) else "-"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _number(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "-"


def write_p(value: float) -> str:
    """Return a p value for a table."""
    if not isfinite(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def layout(rows: Rows, form: str) -> str:
    """Return the table as "text", "markdown", "csv" or "latex"."""
    forms: dict[str, Callable[[Rows], str]] = {"text": _text, "markdown": _markdown, "csv": _csv, "latex": _latex}
    return forms[form](rows)


def stand(rows: Rows) -> Rows:
    """Return the transposed table, with a line for each number and a column for each name."""
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
"""Matches characters that begin markup in a table cell. An underscore within a word begins none."""


def _plain(rows: Rows) -> Rows:
    """Return the table with each cell on one line and hidden characters shown."""
    return [[one_line(cell) for cell in row] for row in rows]


def one_line(text: str) -> str:
    """Return the text on one line, with hidden characters shown."""
    return reveal(" ".join(text.split()))


def _csv(rows: Rows) -> str:
    """Return the table as CSV with plain numbers: 63.2 for 63.2%, 1200 for 1,200, an interval in two columns.

    No text is a formula: see `society.metrics.spreadsheet`.
    """
    bare = [[row[0], *(re.sub(r"(?<=\d) ?%|(?<=\d),(?=\d{3})", "", cell) for cell in row[1:])] for row in rows[1:]]
    table = [rows[0], *bare]
    if INTERVAL in rows[0]:
        place = rows[0].index(INTERVAL)
        split = [[*row[:place], *_split_interval(row[place]), *row[place + 1 :]] for row in bare]
        table = [[*rows[0][:place], "low", "high", *rows[0][place + 1 :]], *split]
    return write_csv(table)


def _split_interval(cell: str) -> list[str]:
    """Return the two bounds of an interval; "-" twice without one."""
    return cell.split(" to ") if " to " in cell else [cell, cell]


_SPECIAL = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"$<$",
        ">": r"$>$",
        "[": "{[}",
        "]": "{]}",
        "*": "{*}",
        "`": "{`}",
        "'": "{'}",
        '"': r"\char34{}",
        "⟦": r"$\langle$",
        "⟧": r"$\rangle$",
    }
)
"""Replacements in LaTeX of commands, of characters after `\\`, and of characters that fonts lack."""


def _latex(rows: Rows) -> str:
    lines = [" & ".join(escape_latex(cell) for cell in row) + r" \\" for row in _plain(rows)]
    columns = "l" + "r" * (len(rows[0]) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def escape_latex(cell: str) -> str:
    """Return a text for LaTeX, with minus signs and thin spaces before per cent signs."""
    text = cell.translate(_SPECIAL).replace(r" \%", r"\,\%")
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", text)
