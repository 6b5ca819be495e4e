"""Text that is printed as it arrives, wrapped at words within the width of the terminal."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_PARTS = re.compile(r"\n|[^\S\n]+|\S+")
_NEAR = 24
"""Columns before the edge in which a word waits for its end, since it may have to move to the next line."""


class Flow:
    """Prints text on a console piece by piece. `indent`: columns before each line of a flowing text."""

    def __init__(self, console: Console, indent: int = 2) -> None:
        self._console, self._indent = console, indent
        self._width = max(console.width, 2 * _NEAR) if console.is_terminal else 1 << 30
        self._column = 0
        self._begun = False
        self._space = ""  # before the next word, unless that begins the text or a wrapped line
        self._waiting = ""
        self._style = ""

    def line(self, *parts: str | tuple[str, str], indent: int = 0) -> None:
        """Print a line of its own; a part may be a text with its style."""
        self.end()
        self._console.print(Text.assemble(" " * indent, *parts), soft_wrap=not self._console.is_terminal)

    def add(self, text: str, style: str = "") -> None:
        """Print the next piece of a flowing text."""
        if style != self._style:
            self.end()
            self._style = style
        parts = _PARTS.findall(self._waiting + text)
        self._waiting = ""
        for i, part in enumerate(parts):
            if part == "\n":
                self._break()
                self._begun = True  # spaces that follow are an indentation
            elif part.isspace():
                self._space += part
            elif i + 1 == len(parts) and self._column + cell_len(part) > self._width - _NEAR:
                self._waiting = part
            else:
                self._word(part)

    def end(self) -> None:
        """End the line, if one has begun."""
        if self._waiting:
            self._word(self._waiting)
        if self._column:
            self._break()
        self._space = self._waiting = ""
        self._begun = False

    def _word(self, word: str) -> None:
        space = self._space if self._begun else ""
        self._space, self._begun = "", True
        if self._column and self._column + cell_len(space + word) > self._width:
            self._break()
            space = ""
        if not self._column:
            self._write(" " * self._indent)
        self._write(space + word)

    def _write(self, text: str) -> None:
        self._console.print(Text(text, self._style), end="", soft_wrap=True)
        self._column += cell_len(text)

    def _break(self) -> None:
        self._console.print()
        self._column, self._space = 0, ""
