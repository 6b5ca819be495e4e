"""Quoting of texts in CSV files, so that no spreadsheet takes them for formulas.

Spreadsheets interpret a cell that begins with =, +, -, @, a tab or a line end as a formula, which can run programs or
send the table to others. Such a text gets an apostrophe before it, as in spreadsheets. Plain numbers remain numbers. A
text that already begins with an apostrophe and a formula gets one more, so that `unquote` is the inverse of `quote`.

    write_csv  the lines of a table
    quote      a text as a cell
    unquote    the text of a cell
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20\u2212]")
"""Matches apostrophes and a character that begins a formula, also in its full-width form."""
_PLAIN = re.compile(r"[+-]?(\d[\d,]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?( ?%)?|-", re.ASCII)
"""Matches a number, or a dash for an unknown number."""


def write_csv(rows: Iterable[Iterable[str]]) -> str:
    """Return a table of texts as CSV, without a line end after the last row. Each cell is quoted by `quote`."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([quote(cell) for cell in row] for row in rows)
    return out.getvalue().rstrip("\n")


def quote(text: str) -> str:
    """Return `text` as a cell that is not a formula in any spreadsheet."""
    return f"'{text}" if _FORMULA.match(text) and not _PLAIN.fullmatch(text) else text


def unquote(cell: str) -> str:
    """Return the text of a cell that `quote` returned."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
