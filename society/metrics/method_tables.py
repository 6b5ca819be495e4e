"""The table of methods: for the terminal, Markdown and CSV, and as a table of LaTeX with caption and notes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import fields
from math import isfinite

from society.core.plain import count
from society.metrics.comparison_tables import INTERVAL, Rows, escape_latex, layout, one_line, stand, write_p
from society.metrics.crossed import Estimate
from society.metrics.lost import Lost
from society.metrics.method_columns import ACCURACY, find_column, spread
from society.metrics.methods import CROSSED, PAIRED, Method, MethodComparison, Versus
from society.metrics.spreadsheet import write_csv

NARROWEST = 10
"""Minimum width of the labels in a table that is fitted into a terminal."""
SIZES = ((r"\small", 4.1), (r"\footnotesize", 3.75), (r"\scriptsize", 3.4), (r"\tiny", 2.7))
"""Sizes of LaTeX with the mean width of a character in points."""
PAGE, GAP = 345.0, 6.0
"""Width of the text on a page of LaTeX's article, and the space between two columns, in points."""
UNITS = {
    "tokens": "generated tokens",
    "prompt_tokens": "prompt tokens",
    "cost": "generated and prompt tokens",
    "seconds": "busy seconds of the backend",
    "turns": "turns",
    "agreement": "share of the voters with the most frequent last answer",
}
"""Meaning of the columns, for the notes."""
LOST = {"undecided": "undecided", "unreadable": "unreadable", "failed": "failed", "cut_off": "cut off"}
"""Fields of `Lost` with their names in notes."""


def describe_methods(found: MethodComparison, width: int = 10_000) -> str:
    """Return the comparison as text, with lines of at most `width` characters where the columns allow it."""
    return f"{write_methods(found, 'text', width)}\n\n" + "\n".join(wrap_notes(found, width))


def write_methods(found: MethodComparison, form: str, width: int = 10_000) -> str:
    """Return the table as "text", "markdown", "csv" or "latex"."""
    if form == "csv":
        return _csv(found)
    if form == "latex":
        return _latex(found)
    tables = [method_rows(found), *([pair_rows(found)] if found.tests and not found.baseline else [])]
    return "\n\n".join(fit(rows, width) if form == "text" else layout(rows, form) for rows in tables)


def fit(rows: Rows, width: int) -> str:
    """Return the table as text; labels continue on further lines if the table is wider than `width`."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    others = sum(max(map(len, column)) + 2 for column in stand(rows)[1:])
    room = max(NARROWEST, width - others)
    broken: Rows = []
    for label, *cells in rows:
        first, *further = textwrap.wrap(label, room) or [""]
        broken += [[first, *cells], *([line, *[""] * len(cells)] for line in further)]
    return layout(broken, "text")


def method_rows(found: MethodComparison) -> Rows:
    """Return a line for each method: mean and deviation over repetitions, interval, difference and chosen columns."""
    against = {test.method: test for test in found.tests} if found.baseline else {}
    repeated = any(len(method.seeds) > 1 for method in found.methods)
    titles = ["method"]
    for name in found.columns:
        if name == ACCURACY:
            titles += ["% right", INTERVAL, *(["points", INTERVAL, _p_title(found)] if against else [])]
        else:
            column = find_column(name)
            titles.append(f"% {column.title}" if column.percent else column.title)
    rows = [titles]
    for method in found.methods:
        row = [method.label]
        for name in found.columns:
            if name == ACCURACY:
                assert method.accuracy is not None
                row += [*_accuracy(method.accuracy, repeated), *(_versus(against.get(method.label)) if against else [])]
            else:
                row.append(_value(name, method, repeated))
        rows.append(row)
    return rows


def pair_rows(found: MethodComparison) -> Rows:
    """Return a line for each tested pair."""
    titles = ["difference", "points", INTERVAL, _p_title(found)]
    return [titles, *([f"{test.method} - {test.baseline}", *_versus(test)] for test in found.tests)]


def _p_title(found: MethodComparison) -> str:
    return "p (Holm)" if len(found.tests) > 1 else "p"


def _accuracy(found: Estimate, repeated: bool) -> list[str]:
    return [_with_deviation(100 * found.value, 100 * found.deviation, 1, repeated), _span(found.low, found.high, "")]


def _value(name: str, method: Method, repeated: bool) -> str:
    column = find_column(name)
    mean, deviation = spread(method.values[name])
    scale = 100 if column.percent else 1
    return _with_deviation(scale * mean, scale * deviation, column.digits, repeated and (column.percent or "." in name))


def _with_deviation(mean: float, deviation: float, digits: int, shown: bool) -> str:
    if not isfinite(mean):
        return "-"
    spread = f" ± {deviation:,.{digits}f}" if shown and isfinite(deviation) else ""
    return f"{mean:,.{digits}f}{spread}"


def _span(low: float, high: float, sign: str) -> str:
    return f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}" if isfinite(low) and isfinite(high) else "-"


def _versus(test: Versus | None) -> list[str]:
    if test is None:
        return ["", "", ""]
    return [f"{100 * test.value:+.1f}", _span(test.low, test.high, "+"), write_p(test.p_holm)]


def wrap_notes(found: MethodComparison, width: int) -> list[str]:
    """Return the notes in lines of at most `width` characters."""
    return [line for note in notes_of(found) for line in textwrap.wrap(note, max(40, width), break_long_words=False)]


def notes_of(found: MethodComparison) -> list[str]:
    """Return sentences on what the table shows, on its tests, and on answers that are missing."""
    return [*_describe_numbers(found), *_describe_tests(found), *found.notes, _describe_lost(found)]


def _describe_numbers(found: MethodComparison) -> list[str]:
    numbers = {len(method.seeds) for method in found.methods}
    questions, known = count(found.questions, "question"), ACCURACY in found.columns
    if numbers == {1}:
        sentences = [f"{questions}, one run of each method."]
        interval = "Intervals: 95%, over questions."
    else:
        times = f"{min(numbers)}" if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"
        seeds = {method.seeds for method in found.methods}
        which = f" (seeds {', '.join(map(str, min(seeds)))})" if len(seeds) == 1 and max(numbers) <= 10 else ""
        sentences = [f"{questions}, {times} repetitions of each method{which}: the same questions, other draws."]
        interval = _describe_interval(found)
        sentences.append("Numbers are means over repetitions, with ± their standard deviation.")
        if any(len({*method.seeds}) < len(method.seeds) for method in found.methods):
            sentences.append("Some repetitions have the same seed: they draw alike, and intervals are too narrow.")
    if not any(method.accuracy for method in found.methods):
        golden = any(method.wrong.debates for method in found.methods)
        lack = "The decision rules give no single answer to a question of all runs with a true answer"
        sentences.append(f"{lack if golden else 'The questions have no true answers'}, so there is no accuracy.")
    units = [words for name, words in UNITS.items() if name in found.columns]
    if units:
        sentences.append(f"Means per debate: {', '.join(units)}.")
    metrics = [name for name in found.columns if "." in name]
    if metrics:
        sentences.append(f"Metrics, in the last round: {', '.join(metrics)}.")
    return [*sentences, *([interval] if known else [])]


def _describe_interval(found: MethodComparison) -> str:
    crossed = [method.label for method in found.methods if method.crossed]
    plain = "over questions, each with its mean over the repetitions"
    if not crossed:
        return f"Intervals: 95%, {plain}."
    both = "questions and repetitions as crossed random effects"
    if len(crossed) == len(found.methods):
        return f"Intervals: 95%, {both}, as each repetition has its own random graph, weights or memories."
    why = "as each repetition has its own graph, weights or memories"
    return f"Intervals: 95%, {plain}; of {', '.join(crossed)}: {both}, {why}."


def _describe_tests(found: MethodComparison) -> list[str]:
    if ACCURACY not in found.columns:
        return []
    if not found.tests:
        more = len(found.methods) > 1
        return ["No test: name a baseline (--baseline) to test every other method against it."] if more else []
    kinds = sorted({test.test for test in found.tests})
    paired = "question and seed" if {CROSSED, PAIRED} & set(kinds) else "question"
    adjusted = f", adjusted for {len(found.tests)} tests (Holm)" if len(found.tests) > 1 else ""
    against = f" against {found.baseline}" if found.baseline else ""
    return [f"Points: difference of accuracy{against}, paired by {paired}. p: {'; '.join(kinds)}{adjusted}."]


def _describe_lost(found: MethodComparison) -> str:
    """Return the numbers of missing answers, by method where there are any: first those that count as wrong."""
    every = {method.label: _list_lost(method.lost) for method in found.methods}
    if not any(every.values()):
        return "No debate was undecided; no reply was unreadable, failed or cut off."
    kinds = "ndecided debates, and unreadable, failed and cut-off replies"
    if ACCURACY not in found.columns:
        return f"U{kinds}: {_list_methods(every)}."
    wrong = {method.label: _list_lost(method.wrong) for method in found.methods}
    if wrong == every:
        return f"Missing answers count as wrong. U{kinds}: {_list_methods(every)}."
    counted = _list_methods(wrong) or "none"
    return (
        f"U{kinds}: {_list_methods(every)}. Missing answers count as wrong on questions with a true answer: {counted}."
    )


def _list_methods(lists: Mapping[str, str]) -> str:
    """Return the methods with missing answers, and their numbers."""
    if len(set(lists.values())) == 1 < len(lists):
        lists = {"each method": next(iter(lists.values()))}
    return "; ".join(f"{label}: {listed}" for label, listed in lists.items() if listed)


def _list_lost(lost: Lost) -> str:
    return ", ".join(f"{getattr(lost, name):,} {words}" for name, words in LOST.items() if getattr(lost, name))


def _csv(found: MethodComparison) -> str:
    """Return one line per method with plain numbers, bounds in columns of their own, and every count."""
    tests = {test.method: test for test in found.tests} if found.baseline else {}
    titles = ["method", "repetitions", "seeds", "questions"]
    titles += ["accuracy", "deviation", "low", "high"] if ACCURACY in found.columns else []
    titles += ["points", "points_low", "points_high", "p", "p_holm", "test"] if tests else []
    chosen = [name for name in found.columns if name != ACCURACY]
    titles += [part for name in chosen for part in (name, f"{name}_deviation")]
    titles += [field.name for field in fields(Lost)]
    rows = [titles]
    for method in found.methods:
        row = [method.label, f"{len(method.seeds)}", " ".join(map(str, method.seeds)), f"{found.questions}"]
        if ACCURACY in found.columns:
            assert method.accuracy is not None
            a = method.accuracy
            row += map(_number, (100 * a.value, 100 * a.deviation, 100 * a.low, 100 * a.high))
        if tests:
            test = tests.get(method.label)
            points = () if test is None else (100 * test.value, 100 * test.low, 100 * test.high, test.p, test.p_holm)
            row += [*map(_number, points), test.test] if test else [""] * 6
        row += [_number(value) for name in chosen for value in spread(method.values[name])]
        rows.append([*row, *(str(getattr(method.lost, field.name)) for field in fields(Lost))])
    return write_csv(map(one_line, row) for row in rows)


def _number(value: float) -> str:
    return f"{value:.6g}" if isfinite(value) else ""


def _latex(found: MethodComparison) -> str:
    """Return a table environment (booktabs) with caption and notes, in a font in which its lines fit on a page."""
    tables = [method_rows(found), *([pair_rows(found)] if found.tests and not found.baseline else [])]
    size = next((size for size, width in SIZES if all(_fits(rows, width) for rows in tables)), SIZES[-1][0])
    bodies = "\n\\par\\medskip\n".join(layout(rows, "latex").replace("±", r"$\pm$") for rows in tables)
    notes = escape_latex(" ".join(notes_of(found))).replace("±", r"$\pm$")
    what = "Accuracy" if ACCURACY in found.columns else "Results"
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{what} of {count(len(found.methods), 'method')} on {count(found.questions, 'question')}.}}",
            r"\label{tab:society}",
            rf"{size}\setlength{{\tabcolsep}}{{3pt}}",
            bodies,
            r"\par\smallskip",
            rf"\begin{{minipage}}{{\linewidth}}\footnotesize {notes}\end{{minipage}}",
            r"\end{table}",
        ]
    )


def _fits(rows: Rows, width: float) -> bool:
    """Return whether the table fits on a page if a character has this mean width in points."""
    return sum(max(map(len, column)) * width + GAP for column in stand(rows)) <= PAGE
