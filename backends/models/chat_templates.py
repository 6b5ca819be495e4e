"""The Jinja2 environment for models' chat templates, in the project's own sandbox.

Templates come with models and are untrusted: they cannot reach Python, and their work is limited. There is no
`strftime_now`: templates that use it fall back to a fixed date, so a prompt is the same on every day.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from society.core.errors import BackendError, InputError

if TYPE_CHECKING:
    from jinja2 import Template

    from society.core.templating.sandbox import Sandbox

LONGEST_CHAT = 10_000_000
"""Maximum number of characters of a rendered chat."""


def compile_chat_template(source: str, model: str) -> Template:
    """Compile a chat template. Raises `InputError`, naming the model, if it is invalid."""
    from jinja2 import TemplateError

    from society.core.templating.sandbox import compile_source

    try:
        return compile_source(chat_environment(), source)
    except TemplateError as error:
        raise InputError(f"The chat template of {model} is not valid Jinja2: {error}.", "Correct it.") from None


def fill_chat_template(template: Template, **variables: Any) -> str:
    """Return the chat as text. Raises `BackendError` if the template refuses the chat, fails or runs too long."""
    from jinja2 import TemplateError

    from society.core.templating.sandbox import fill

    try:
        return fill(template, variables, LONGEST_CHAT)
    except TemplateError as error:
        remedy = (
            "Many templates accept no system message, or need user and assistant in turns: change the prompts, "
            "or give the backend another chat_template."
        )
        raise BackendError(f"The model's chat template refuses this chat: {error}.", remedy) from None


@cache
def chat_environment() -> Sandbox:
    """Return the sandbox with the filters and functions that chat templates expect."""
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser

    from society.core.templating.sandbox import Sandbox

    class Generation(Extension):
        """The block `{% generation %}`, which marks the assistant's replies. It changes nothing here."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = Sandbox(extensions=["jinja2.ext.loopcontrols", Generation])
    environment.add_filter("tojson", _to_json)
    environment.globals["raise_exception"] = _refuse
    return environment


def _refuse(reason: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(str(reason))


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Return JSON without HTML escapes, as chat templates expect. Jinja2's own filter escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
