"""The Jinja2 environment for models' chat templates, in the project's own sandbox.

Templates come with models and are untrusted: they cannot reach Python, and their work is limited. They find what
transformers and llama.cpp offer: loop controls, `{% generation %}`, `raise_exception`, `strftime_now`, and `tojson`
with its arguments. Random functions are missing, and `strftime_now` knows a fixed date, so a prompt is the same on
every day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from backends.models.control_tokens import mask
from society.core.errors import ChatTemplateError, InputError

if TYPE_CHECKING:
    from jinja2 import Template, nodes

    from society.core.templating.sandbox import Sandbox

LONGEST_CHAT = 10_000_000
"""Maximum number of characters of a rendered chat."""
TODAY = "2024-07-26"
"""The date of `strftime_now`: the one that the templates of Llama 3 fall back to. The template argument `strftime_now`
replaces it."""
_KEYS = frozenset(["role", "content", "system", "developer", "user", "assistant", "tool", "type", "text"])
"""Keys and roles of messages, and keys of the parts of a message. They are not masked."""
_SEARCHES = frozenset(
    ["count", "endswith", "find", "index", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind"]
).union(["rindex", "rpartition", "rsplit", "rstrip", "split", "startswith", "strip"])
"""Methods whose first argument is searched for in a text."""


def compile_chat_template(source: str, model: str) -> Template:
    """Compile a chat template. Raises `InputError`, naming the model, if it is invalid."""
    from jinja2 import TemplateError

    from society.core.templating.sandbox import compile_source

    try:
        return compile_source(chat_environment(), source)
    except TemplateError as error:
        raise InputError(f"The chat template of {model} is not valid Jinja2: {error}.", "Correct it.") from None


def compile_masked_templates(source: str) -> list[Template]:
    """Compile a valid chat template for masked messages (see `control_tokens`), in three ways.

    The constants of the first are as they are. The second masks those that it searches for in texts. The third masks
    those that it compares with, too.
    """
    return [
        _compile_masked(source, False, False),
        _compile_masked(source, True, False),
        _compile_masked(source, True, True),
    ]


def _compile_masked(source: str, searches: bool, comparisons: bool) -> Template:
    from jinja2 import nodes

    environment = chat_environment()
    tree = environment.parse(source)
    found = [*(_searched(tree) if searches else ()), *(_compared(tree) if comparisons else ())]
    for constant in found:
        if isinstance(constant, nodes.Const) and isinstance(constant.value, str) and constant.value not in _KEYS:
            constant.value = mask(constant.value)
    return environment.from_string(tree)


def _searched(tree: nodes.Template) -> Iterator[nodes.Node]:
    """Yield the left operands of `in`, and the arguments of methods and of `replace` that texts are searched for."""
    from jinja2 import nodes

    for compare in tree.find_all(nodes.Compare):
        if compare.ops[0].op in ("in", "notin"):
            yield compare.expr
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr in _SEARCHES:
            yield from call.args[:1]
    for filtered in tree.find_all(nodes.Filter):
        if filtered.name == "replace":
            yield from filtered.args[:1]


def _compared(tree: nodes.Template) -> Iterator[nodes.Node]:
    """Yield the operands of comparisons other than `in`."""
    from jinja2 import nodes

    for compare in tree.find_all(nodes.Compare):
        if compare.ops[0].op not in ("in", "notin"):
            yield compare.expr
            yield from (operand.expr for operand in compare.ops)


def template_texts(source: str) -> list[str]:
    """Return the texts that a chat template contains."""
    from jinja2 import nodes

    tree = chat_environment().parse(source)
    texts = [node.data for node in tree.find_all(nodes.TemplateData)]
    return texts + [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)]


def template_variables(source: str) -> frozenset[str]:
    """Return the names of the variables that a chat template takes from outside.

    A variable that it also sets must be tested or have a default: others are read after they are set in some branch.
    """
    from jinja2 import nodes

    from society.core.templating.prompts import find_free_names

    tree = chat_environment().parse(source)
    names = list(tree.find_all(nodes.Name))
    tested = [*tree.find_all(nodes.Test), *(f for f in tree.find_all(nodes.Filter) if f.name in ("default", "d"))]
    optional = {node.node.name for node in tested if isinstance(node.node, nodes.Name)}
    assigned = {name.name for name in names if name.ctx == "store"}
    return frozenset(find_free_names(tree) - (assigned - optional))


def fill_chat_template(template: Template, **variables: Any) -> str:
    """Return the chat as text. Raises `ChatTemplateError` if the template refuses it, fails or runs too long."""
    from jinja2 import TemplateError

    from society.core.templating.sandbox import fill

    date = variables.get("strftime_now", TODAY)
    try:
        return fill(template, variables | {"strftime_now": _date_function(date)}, LONGEST_CHAT)
    except TemplateError as error:
        raise ChatTemplateError(str(error).rstrip(".")) from None


def _date_function(date: object) -> Callable[[str], str]:
    """Return the function that formats a date, given in ISO 8601."""
    try:
        return datetime.fromisoformat(str(date)).strftime
    except ValueError:
        raise InputError(
            f"The template argument strftime_now is {date!r:.80}, which is no date.",
            "Write it as 2026-01-31.",
            ("template_args", "strftime_now"),
        ) from None


@cache
def chat_environment() -> Sandbox:
    """Return the sandbox with the filters and functions that chat templates expect."""
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
