"""Prompt templates of scenarios: compiling, checking and rendering."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import FrameType
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.compiler import CodeGenerator

from society.core.errors import SocietyError
from society.core.problems import find_near
from society.core.templating.sandbox import Sandbox, compile_source, fill
from society.core.templating.tag_lines import TagLineLexer

LONGEST_PROMPT = 1_000_000
"""Maximum length of a rendered prompt, in characters."""


class TemplateError(SocietyError):
    """A prompt template failed while it was rendered.

    `field` is its field in the scenario, and `line` the line in the template, from 1, each if known.
    """

    field: tuple[str, ...] = ()
    line: int | None = None


class _Undefined(jinja2.StrictUndefined):
    """An undefined variable or attribute. Its error names the most similar attribute."""

    @property
    def _undefined_message(self) -> str:
        value, name = self._undefined_obj, self._undefined_name
        known: list[str] = []
        if is_dataclass(value) and not isinstance(value, type):
            known = [field.name for field in fields(value)]
        elif isinstance(value, Mapping):
            known = [key for key in value if isinstance(key, str)]
        if not known:
            return super()._undefined_message
        near = find_near(name, known)
        suggestion = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
        return f"{type(value).__name__} has no attribute {name!r} ({suggestion})"


class _Prompts(Sandbox):
    """The environment of prompt templates. Undefined variables are errors, and lines with only tags are removed."""

    def __init__(self) -> None:
        super().__init__(undefined=_Undefined, trim_blocks=False, lstrip_blocks=False)
        self._lexer = TagLineLexer(self)

    @property
    def lexer(self) -> TagLineLexer:
        """Tokenizer of templates."""
        return self._lexer


_ENVIRONMENT = _Prompts()


@lru_cache(maxsize=1024)
def _compile(source: str) -> jinja2.Template:
    return compile_source(_ENVIRONMENT, source)


def render(source: str, variables: dict[str, Any]) -> str:
    """Return the rendered template, without surrounding white space.

    Raises `TemplateError` if the template fails, runs out of fuel, or produces more than `LONGEST_PROMPT` characters.
    """
    try:
        return fill(_compile(source), variables, LONGEST_PROMPT).strip()
    except jinja2.TemplateError as error:
        line = _find_line(error)
        place = f" in line {line} of the template" if line else ""
        failed = TemplateError(
            f"The prompt cannot be rendered{place}: {str(error).rstrip('.')}.", "Correct the template in the scenario."
        )
        failed.line = line
        raise failed from error


def _find_line(error: BaseException | None) -> int | None:
    """Return the line of a template in which an error, or the one that it followed, was raised."""
    while error is not None:
        numbers = [number for frame, number in traceback.walk_tb(error.__traceback__) if _is_template(frame)]
        if numbers:
            return numbers[-1]
        error = error.__cause__
    return None


def _is_template(frame: FrameType) -> bool:
    return frame.f_code.co_filename == "<template>"


def list_filters() -> list[str]:
    """Return the names of the filters that templates may use."""
    return [name for name in _ENVIRONMENT.filters if name[0] != "_"]


def list_tests() -> list[str]:
    """Return the names of the tests that templates may use."""
    return list(_ENVIRONMENT.tests)


def parse_template(source: str) -> Any:
    """Return the syntax tree of a template, for checks. Raises `jinja2.TemplateSyntaxError` (with `lineno`)."""
    _compile(source)  # raises for unknown filters and tests
    return _ENVIRONMENT.parse(source)


class _Tracking(meta.TrackingCodeGenerator):
    """A generator that records free names, and computes no constants: some raise errors, such as `[][0].x`."""

    def __init__(self, environment: jinja2.Environment) -> None:
        CodeGenerator.__init__(self, environment, "<introspection>", "<introspection>", optimized=False)
        self.undeclared_identifiers: set[str] = set()


def find_free_names(tree: Any) -> set[str]:
    """Return the names in a syntax tree that the template does not define."""
    tracking = _Tracking(tree.environment)
    tracking.visit(tree)
    return tracking.undeclared_identifiers


@lru_cache(maxsize=1024)
def find_variables(source: str) -> frozenset[str]:
    """Return the variables that a template uses. Raises like `parse_template`."""
    return frozenset(find_free_names(parse_template(source)))
