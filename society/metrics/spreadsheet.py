"""Text in CSV files: kept from being a formula in the spreadsheet that opens the file.

Spreadsheets take a cell that begins with =, +, -, @, a tab or a line end for a formula, which can run programs or send
the table away. Such a text gets an apostrophe before it, as people write it there; a plain number stays a number. A
text that already looks like that gets one more, so the texts can be told apart and `unquote` gives each back.

    quote      a text as a cell
    unquote    the text of a cell
"""

from __future__ import annotations

import re

_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20\u2212]")
"""Apostrophes, then a character that begins a formula; some programs take its full-width form for it."""
_PLAIN = re.compile(r"[+-]?(\d[\d,]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?( ?%)?|-", re.ASCII)
"""A number, or the dash that stands for one that is not known."""


def quote(text: str) -> str:
    """Return `text` as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _PLAIN.fullmatch(text) else text


def unquote(cell: str) -> str:
    """Return the text that `quote` made this cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
