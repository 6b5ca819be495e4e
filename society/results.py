"""A run as Python code and notebooks see it: what its folder holds, as text, numbers, tables and a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from society.core.errors import InputError, SocietyError
from society.core.hidden_chars import reveal
from society.metrics.accuracy import share_true
from society.metrics.compared_runs import describe_unfinished
from society.metrics.overview import read_overview
from society.metrics.proportion import Proportion
from society.runs.run import Run as StoredRun

if TYPE_CHECKING:
    import pandas as pd

    from society.store.rows import ResultRow

Table = Literal["turns", "results", "edges", "metrics"]
_CELL = "text-align: left; vertical-align: top; white-space: normal"


class Text(str):
    """Text of several lines that a notebook or a prompt shows as it is printed."""

    def __repr__(self) -> str:
        return str(self)


class Run(StoredRun):
    """A run's folder, read-only: `society.Run("runs/debate")`. A run under way can be read, too.

    Further methods return what is stored: `turns()`, `results()`, `adapters()`, `examples()`, `questions()`.
    """

    def __init__(self, folder: Path | str) -> None:
        super().__init__(Path(folder).absolute())

    @property
    def _last_results(self) -> list[ResultRow]:
        """The evaluation's results in the last evaluated iteration."""
        results = [row for row in self.results() if row.split == "evaluation"]
        last = max((row.iteration for row in results), default=0)
        return [row for row in results if row.iteration == last]

    @property
    def accuracy(self) -> Proportion | None:
        """The share of debates that were decided rightly, with its 95 % confidence interval.

        Its numbers are `share`, `low`, `high` and `n`. The debates are those of the last evaluated iteration on
        questions with a true answer. Undecided ones are wrong. None if no question has a true answer.
        """
        return _share_right(self._last_results)

    def summary(self) -> Text:
        """Return what `society run` prints at its end, as text of several lines."""
        return Text(read_overview(self).text())

    def to_pandas(self, table: Table = "turns") -> pd.DataFrame:
        """Return a table of the run as a data frame.

        "turns" has a row for each turn of a finished debate, "results" one for each debate, "edges" one for each turn
        that another turn read, and "metrics" one for each number of each metric.

        Raises `InputError` for another name, `MissingExtraError` where pandas is not installed.
        """
        from society.metrics import frames

        tables = {
            "turns": frames.turns_table,
            "results": frames.results_table,
            "edges": frames.edges_table,
            "metrics": frames.metrics_table,
        }
        if table not in tables:
            raise InputError(f"A run has no table {table!r}.", f"Choose one of: {', '.join(tables)}.")
        return tables[table](self)

    def report(self, path: Path | str | None = None) -> Path:
        """Write one self-contained HTML page about the run and return its path (default: report.html in the folder).

        Raises `InputError` where the page cannot be written.
        """
        from society.report.page import write_report

        target = self.folder / "report.html" if path is None else Path(path)
        write_report([self], target)
        return target

    def __repr__(self) -> str:
        """Name the folder, the finished part of an unfinished run, and the accuracy; the folder alone if unreadable."""
        try:
            results = self._last_results
            part = describe_unfinished(self, max((row.iteration for row in results), default=0), len(results))
            right = _share_right(results)
            known = "no true answers" if right is None else f"accuracy {right}"
            return f"Run({str(self.folder)!r}, {f'{part}, ' if part else ''}{known})"
        except SocietyError as error:
            return f"Run({str(self.folder)!r}, not readable: {reveal(error.cause)})"

    def _repr_html_(self) -> str:
        """Return the summary as an HTML table, for notebooks; a line for a folder that cannot be read.

        Every text is escaped.
        """
        try:
            overview = read_overview(self)
        except SocietyError:
            return f"<p>{_html(repr(self))}</p>"
        cells = "".join(
            f'<tr><th style="{_CELL}">{_html(label)}</th><td style="{_CELL}">{_html(text)}</td></tr>'
            for label, text in overview.rows()
        )
        return f'<table><caption style="text-align: left">{_html(overview.title)}</caption>{cells}</table>'


def _share_right(results: Sequence[ResultRow]) -> Proportion | None:
    """Return the share of right decisions among those that can be right; None if no result can."""
    share = share_true(((r.item, r.question), [r.correct]) for r in results if r.scored and r.decision.single)
    return share if share.n or not results else None


def _html(text: str) -> str:
    return escape(reveal(text))
