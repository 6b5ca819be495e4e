"""A Jinja2 lexer for prompts that removes lines with only tags and keeps all other lines unchanged.

Jinja2's own options `trim_blocks` and `lstrip_blocks` also change lines with text: after `{% endif %}` at the end of
such a line, the next line would follow without a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jinja2 import Environment
from jinja2.lexer import Lexer

Token = tuple[int, str, str]
"""Line number, type and text of a token, as yielded by `Lexer.tokeniter`."""
_TAGS = ("block_begin", "block_end", "comment_begin", "comment_end", "raw_begin", "raw_end")
_PARTS = re.compile(r"[^\n]*\n|[^\n]+")


class TagLineLexer(Lexer):
    """A lexer that omits the spaces and the line break of lines with only tags.

    A tag with a plus sign (`{%+ if x %}`, `{% endif +%}`) keeps its line. The environment must not set `trim_blocks` or
    `lstrip_blocks`.
    """

    def __init__(self, environment: Environment) -> None:
        if environment.trim_blocks or environment.lstrip_blocks:
            raise ValueError("the environment must not set trim_blocks or lstrip_blocks")
        super().__init__(environment)

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[Token]:
        """Yield the tokens of `source`."""
        return _without_tag_lines(super().tokeniter(source, name, filename, state))


@dataclass
class _Line:
    """The tokens of one line of a template. A tag over several lines belongs to one of them."""

    tokens: list[Token] = field(default_factory=list)
    has_tag: bool = False
    has_text: bool = False

    def add(self, token: Token) -> None:
        _, kind, text = token
        self.tokens.append(token)
        self.has_tag |= kind in _TAGS
        self.has_text |= kind == "variable_begin" or (kind == "data" and bool(text.strip()))
        self.has_text |= kind in _TAGS and "+" in text  # the sign that keeps a line

    def end(self) -> Iterator[Token]:
        """Yield the tokens that remain, and begin the next line."""
        vanishes = self.has_tag and not self.has_text
        yield from (token for token in self.tokens if not (vanishes and token[1] == "data"))
        self.tokens, self.has_tag, self.has_text = [], False, False


def _without_tag_lines(tokens: Iterable[Token]) -> Iterator[Token]:
    line = _Line()
    for number, kind, text in tokens:
        if kind != "data":
            line.add((number, kind, text))
            continue
        for i, part in enumerate(_PARTS.findall(text)):
            line.add((number + i, kind, part))
            if part.endswith("\n"):
                yield from line.end()
    yield from line.end()
