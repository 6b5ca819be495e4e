"""Text that a scenario gives and the program acts on: prompt templates and regular expressions."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Annotated, Any

import jinja2
from pydantic import AfterValidator

from society.core.errors import SlowPatternError, SocietyError
from society.core.templating.sandbox import Sandbox, compile_source, fill
from society.core.templating.tag_lines import TagLineLexer

LONGEST_PROMPT = 1_000_000
"""Characters that a template may produce; more is a mistake or an attack."""
LONGEST_PATTERN = 1_000
MOST_REPEATS = 100_000
"""Product of the counted repeats of a pattern: nested ones are written out in memory when it is compiled."""
MATCH_SECONDS = 0.5
"""Seconds of a search for a regular expression."""


class TemplateError(SocietyError):
    """A prompt template failed while it was filled in."""


class _Prompts(Sandbox):
    """The environment of prompt templates: a name without a value is an error, lines that hold only tags vanish."""

    def __init__(self) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, trim_blocks=False, lstrip_blocks=False)
        self._lexer = TagLineLexer(self)

    @property
    def lexer(self) -> TagLineLexer:
        """What splits a template into tokens."""
        return self._lexer


_ENVIRONMENT = _Prompts()


@lru_cache(maxsize=1024)
def _compile(source: str) -> jinja2.Template:
    return compile_source(_ENVIRONMENT, source)


def render(source: str, variables: dict[str, Any]) -> str:
    """Fill in a template, without blank space around it.

    Raises `TemplateError` when the template fails, runs too long, or makes more than `LONGEST_PROMPT` characters.
    """
    try:
        return fill(_compile(source), variables, LONGEST_PROMPT).strip()
    except jinja2.TemplateError as error:
        cause = str(error).rstrip(".")
        raise TemplateError(
            f"The prompt cannot be filled in: {cause}.", "Mend the template in the scenario."
        ) from error


def parse_template(source: str) -> Any:
    """The template's syntax tree, for checks. Raises `jinja2.TemplateSyntaxError` (with `lineno`)."""
    _compile(source)  # finds filters and tests that do not exist
    return _ENVIRONMENT.parse(source)


def compile_pattern(pattern: str, flags: int = 0) -> Any:
    """A pattern of the package `regex`, whose searches take a `timeout`. Raises `ValueError` for what is none."""
    import regex

    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"is longer than {LONGEST_PATTERN:,} characters")
    if prod(max(1, int(number[:9])) for number in regex.findall(r"[0-9]+(?=\s*,?\s*\})", pattern)) > MOST_REPEATS:
        raise ValueError(f"repeats more than {MOST_REPEATS:,} times, if its {{counts}} are multiplied")
    try:
        return regex.compile(pattern, flags)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"is no regular expression: {error or 'it is too large'}") from None


def search(pattern: str, text: str, ignore_case: bool = False) -> Any:
    """The first match of a scenario's pattern in `text`, or None.

    Raises `SlowPatternError` after `MATCH_SECONDS`: a pattern may backtrack for ages in a text that a model wrote.
    """
    import regex

    try:
        return _compiled(pattern, regex.IGNORECASE if ignore_case else 0).search(text, timeout=MATCH_SECONDS)
    except TimeoutError:
        raise SlowPatternError(pattern, MATCH_SECONDS) from None


_compiled = lru_cache(maxsize=256)(compile_pattern)


def _compiles(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""A regular expression in a scenario, for `search`."""
