"""Text that a scenario gives and the program acts on: prompt templates and regular expressions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import jinja2
import jinja2.exceptions
import jinja2.sandbox
from pydantic import AfterValidator

from society.errors import SocietyError

LONGEST_PROMPT = 1_000_000
"""Characters that a template may produce; more is a mistake or an attack."""


class TemplateError(SocietyError):
    """A prompt template failed while it was filled in."""


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Templates cannot reach Python, change what they are given, or make huge strings in one step."""

    intercepted_binops = frozenset({"*", "**", "%"})
    _verdicts: ClassVar[dict[tuple[type, str], bool]] = {}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As the sandbox says, asked once for each type and name: it looks at nothing else."""
        place = (type(obj), attr)
        if (verdict := self._verdicts.get(place)) is None:
            verdict = self._verdicts[place] = super().is_safe_attribute(obj, attr, value)
        return verdict

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise jinja2.exceptions.SecurityError(f"`{operator}` is for small numbers only")
        return super().call_binop(context, operator, left, right)


_ENVIRONMENT = _Sandbox(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, optimized=False
)
for _filter in ("center", "format", "indent", "pprint", "xmlattr", "wordwrap"):
    del _ENVIRONMENT.filters[_filter]  # these pad to any width, or are for other kinds of text
for _global in ("lipsum", "namespace", "cycler", "joiner"):
    del _ENVIRONMENT.globals[_global]  # a namespace can double a text in every pass of a loop


@lru_cache(maxsize=1024)
def _compile(source: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(source)


def render(source: str, variables: dict[str, Any]) -> str:
    """Fill in a template, without blank space around it.

    Raises `TemplateError` when the template fails or makes more than `LONGEST_PROMPT` characters.
    """
    parts: list[str] = []
    length = 0
    try:
        for part in _compile(source).generate(variables):
            length += len(part)
            if length > LONGEST_PROMPT:
                raise TemplateError(f"The prompt grew past {LONGEST_PROMPT:,} characters.", "Shorten its loops.")
            parts.append(part)
    except (
        jinja2.TemplateError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
    ) as error:
        raise TemplateError(f"The prompt cannot be filled in: {error}", "Mend the template in the scenario.") from error
    return "".join(parts).strip()


def parse_template(source: str) -> Any:
    """The template's syntax tree, for checks. Raises `jinja2.TemplateSyntaxError` (with `lineno`)."""
    _compile(source)  # finds filters and tests that do not exist
    return _ENVIRONMENT.parse(source)


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""A regular expression in a scenario."""
