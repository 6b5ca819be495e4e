"""Explanation of YAML's syntax errors: the place of the cause, and the remedy.

`explain` tries the rules of `_RULES` in turn, and falls back on the words of the parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from society.core.plain import count
from society.core.problems import Place, show

QUOTE_TEMPLATE = (
    'a template that starts with a brace needs quotation marks, as in "{{ question }}", or a block after `|`'
)
_HINTS = {
    "simple key": "a key needs `: ` after it",
    "quoted": "the quotation mark is never closed",
    "flow": "the bracket is never closed, or a comma or value is missing",
    "block mapping": "is it indented like the lines around it?",
}
"""Likely remedy of any other syntax error, by the context of the scanner."""
_VALUE = r"^\s*(?:- )?(?:[\w.-]+:\s+|- )"
_TEMPLATE = re.compile(_VALUE + r"\{[{%#]")
_QUOTED = re.compile(_VALUE + r"""(?P<quote>["'])""")
_BLOCK = re.compile(r"(?:^|[:\s-]\s)[|>][-+0-9]*\s*(?:#.*)?$")
_PLAIN_WITH_COLON = re.compile(r"^\s*(?:- )?[\w.-]+:\s+(?!\s*[\"'\[{|>]).*:(?:\s|$)")
Found = tuple[int, int, str]
"""Line and column, from 0, and the message."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """An error of the parser. `line` and `column`: where it stopped, from 0."""

    error: Any
    rows: list[str]
    line: int
    column: int

    @property
    def context(self) -> str:
        return self.error.context or ""

    @property
    def problem(self) -> str:
        return self.error.problem or "is not valid YAML"

    @property
    def row(self) -> str:
        """The line where the parser stopped."""
        return self.rows[min(self.line, len(self.rows) - 1)]

    @property
    def start(self) -> int:
        """Line on which the construct of the error starts."""
        return self.error.context_mark.line if self.error.context_mark else self.line


def explain(error: Any, text: str, file: str) -> tuple[Place, str]:
    """Return the place of the cause of a syntax error, and the message with the remedy.

    `error` is a `yaml.MarkedYAMLError` from parsing `text`.
    """
    mark = error.problem_mark or error.context_mark
    fault = _Fault(error, text.splitlines() or [""], mark.line if mark else 0, mark.column if mark else 0)
    line, column, message = next(found for rule in _RULES if (found := rule(fault)) is not None)
    return Place(file, line + 1, column + 1), message


def _tab(fault: _Fault) -> Found | None:
    if "\t" in fault.row[: _indent(fault.row)] or "'\\t'" in fault.problem:
        return fault.line, fault.row.find("\t"), "a tab cannot indent YAML; use spaces"
    return None


def _template(fault: _Fault) -> Found | None:
    for line in (fault.line, fault.start):
        row = fault.rows[min(line, len(fault.rows) - 1)]
        if _TEMPLATE.match(row):
            return line, row.index("{"), f"is not valid YAML: {QUOTE_TEMPLATE}"
    return None


def _block(fault: _Fault) -> Found | None:
    if "block scalar" in fault.context and "comment or line break" in fault.problem:
        return fault.line, fault.column, "is not valid YAML: the text of a block starts on the line after `|` or `>`"
    above = next((i for i in range(min(fault.start, len(fault.rows)) - 1, -1, -1) if fault.rows[i].strip()), None)
    if "simple key" in fault.context and above is not None and _BLOCK.search(fault.rows[above]):
        row = fault.rows[fault.start]
        return (
            fault.start,
            _indent(row),
            "is not valid YAML: the text below `|` or `>` must be indented more than its key",
        )
    return None


def _colon(fault: _Fault) -> Found | None:
    if "mapping values" not in fault.problem:
        return None
    if _PLAIN_WITH_COLON.match(fault.row):
        message = "a text with `: ` in it needs quotation marks, or a block after `|`"
        return fault.line, fault.column, f"is not valid YAML: {message}"
    stray = fault.rows[fault.line - 1].strip() if 0 < fault.line <= len(fault.rows) else ""
    if stray and ":" not in stray:
        return fault.line - 1, 0, f"is not valid YAML: {show(stray)} is neither a key nor a value"
    message = "this line is indented more than the one above it, whose key has a value; give both the same indentation"
    return fault.line, _indent(fault.row), f"is not valid YAML: {message}"


def _end_marker(fault: _Fault) -> Found | None:
    stray = fault.rows[fault.line - 1].strip() if 0 < fault.line <= len(fault.rows) else ""
    if stray == "...":
        return fault.line - 1, 0, f"is not valid YAML: {show(stray)} is neither a key nor a value"
    return None


def _first_sign(fault: _Fault) -> Found | None:
    sign = fault.row[fault.column : fault.column + 1]
    alias = "alias" in fault.context or "anchor" in fault.context
    if "cannot start any token" in fault.problem or alias:
        line, column = (fault.start, fault.error.context_mark.column) if alias else (fault.line, fault.column)
        sign = fault.rows[line][column : column + 1] if alias else sign
        return line, column, f"is not valid YAML: a text that starts with {show(sign)} needs quotation marks"
    return None


def _escape(fault: _Fault) -> Found | None:
    if "quoted" in fault.context and ("escape" in fault.problem or "hexdecimal" in fault.problem):
        message = r"a backslash in double quotation marks starts an escape; write \\, or use single ones"
        return fault.line, fault.column, f"is not valid YAML: {message}"
    return None


def _after_quote(fault: _Fault) -> Found | None:
    quoted = _QUOTED.match(fault.row)
    if "expected key" not in fault.problem or quoted is None or fault.column <= quoted.start("quote"):
        return None
    rest = fault.row[fault.column :].strip()
    if rest[:1] in ("}", "]"):
        return fault.line, fault.column, f"is not valid YAML: no bracket is open that {show(rest[0])} closes; remove it"
    message = f"{show(rest)} follows a closing quotation mark; put the whole text in quotation marks"
    if quoted["quote"] == "'":
        message += ", and write '' for an apostrophe within single ones"
    return fault.line, fault.column, f"is not valid YAML: {message}"


def _open_quote(fault: _Fault) -> Found | None:
    """Find a text in brackets without its closing quotation mark: the parser reads on until the next mark."""
    for line in range(fault.start, min(fault.line + 1, len(fault.rows))) if "flow" in fault.context else ():
        row = fault.rows[line].replace('\\"', "")
        if row.count('"') % 2:
            return line, row.rindex('"'), "is not valid YAML: a quotation mark of this line is missing"
    return None


def _indentation(fault: _Fault) -> Found | None:
    if "block" not in fault.context or not fault.row.strip() or fault.column != _indent(fault.row):
        return None
    levels = list(dict.fromkeys(_levels(fault)))
    own = _indent(fault.row)
    if own in levels and fault.row.lstrip().startswith("- "):
        message = "a list item stands among keys; align its dash with the dash above it"
    elif own in levels or not levels:
        return None
    else:
        known = " or ".join(map(str, sorted(levels)))
        message = (
            f"this line is indented by {count(own, 'space')}, and lines that it could belong to by {known}; align it"
        )
    return fault.line, own, f"is not valid YAML: {message}"


def _levels(fault: _Fault) -> Iterator[int]:
    """Yield the indentations of the lines above that are still open, the deepest first."""
    least = 10**6
    for row in reversed(fault.rows[: fault.line]):
        if row.strip() and not row.lstrip().startswith("#") and _indent(row) < least:
            least = _indent(row)
            if row.lstrip().startswith("- "):
                yield least + 2
            yield least


def _indent(row: str) -> int:
    return len(row) - len(row.lstrip())


def _otherwise(fault: _Fault) -> Found | None:
    opened = any(part in fault.context for part in ("flow", "quoted", "simple key"))
    mark = (fault.error.context_mark if opened else None) or fault.error.problem_mark or fault.error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    hint = next((words for part, words in _HINTS.items() if part in fault.context), "")
    return line, column, f"is not valid YAML: {fault.problem}" + (f"; {hint}" if hint else "")


_RULES: tuple[Callable[[_Fault], Found | None], ...] = (
    _tab,
    _template,
    _block,
    _end_marker,
    _colon,
    _first_sign,
    _escape,
    _after_quote,
    _open_quote,
    _indentation,
    _otherwise,
)
