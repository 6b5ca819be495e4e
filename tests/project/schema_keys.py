"""Keys of scenarios that texts name: finding them in a text, and resolving them against the JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from click import Context

from society.cli import cli
from society.scenario import scenario_schema
from society.scenario.checks.variables import VARIABLES

Schema = dict[str, Any]

ANY = "\0"
"""A part of a text that is only known at run time; as a step of a key it matches every field."""
_DOTTED = re.compile(rf"(?<![\w./-])(?<!-m )[a-z_]+(?:\.(?:\w+|{ANY}))+(?![\w/(])")
_QUOTED = re.compile(r"`([^`\n]+)`")
_KEY = re.compile(r"[a-z_]+(?:\.[a-z_]+)*")
_SETTING = re.compile(r"([a-z_]+(?:\.[a-z_]+)*): (\w+)")
MESSAGE = ("sender", "text", "answer", "confidence", "round", "letter")
"""Attributes of the messages, turns and candidates that templates show."""
COMMANDS = cli.list_commands(Context(cli))


def find_unknown_keys(text: str) -> Iterator[str]:
    """Yield the keys in backquotes and the dotted keys of a remedy that no scenario has."""
    for span in _QUOTED.findall(text):
        setting = _SETTING.fullmatch(span)
        known = _permits(setting[1], setting[2]) if setting else not _KEY.fullmatch(span) or _is_known(span)
        if not known:
            yield span
    yield from find_unknown_dotted(text)


def find_unknown_dotted(text: str) -> Iterator[str]:
    """Yield the dotted keys of a text that begin like a scenario and that no scenario has."""
    for key in _DOTTED.findall(text):
        first, last = key.partition(".")[0], key.rpartition(".")[2]
        is_code = last[0].isupper() or last == "py"  # as in `backends.base.Backend` and `clock.py`
        if first in scenario_schema()["properties"] and not is_code and not resolve(key):
            yield key


def resolve(key: str, model: Schema | None = None) -> list[Schema]:
    """Return the schemas that a dotted key may lead to, from the root of a scenario or from one of its mappings.

    Where users choose the names, every step matches.
    """
    found = [model or scenario_schema()]
    for step in key.split("."):
        found = [inner for schema in found for option in _options(schema) for inner in _below(option, step)]
    return [option for schema in found for option in _options(schema)]


def _options(schema: Schema) -> Iterator[Schema]:
    """Yield the alternatives of a schema, with references followed."""
    if "$ref" in schema:
        yield from _options(scenario_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _options(option)
    else:
        yield schema


def _below(schema: Schema, step: str) -> list[Schema]:
    fields: dict[str, Schema] = schema.get("properties", {})
    if step in fields:
        return [fields[step]]
    named = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties"), schema.get("items")]
    inner = [part for part in named if isinstance(part, dict)]
    return inner or ([*fields.values()] if step == ANY else [])


def _named(key: str) -> list[Schema]:
    """Return the schemas that a key may lead to, from the root or from any mapping of a scenario."""
    models = (scenario_schema(), *scenario_schema()["$defs"].values())
    return [option for model in models for option in resolve(key, model)]


def _is_known(span: str) -> bool:
    """Return whether a text in backquotes is a key, a value, a template variable or a command, or clearly none."""
    name, _, attribute = span.partition(".")
    if name in (*VARIABLES, "message") and attribute in ("", *MESSAGE):
        return True
    if attribute and not _named(name):
        return True  # a method of Python, say
    return bool(_named(span)) or span in _words() or span in (*MESSAGE, *COMMANDS)


@cache
def _words() -> set[str]:
    """Return the values that a field of a scenario may have: kinds and other words."""
    found: set[str] = set()
    waiting: list[Any] = [scenario_schema()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found.update(word for word in (*part.get("enum", ()), part.get("const")) if isinstance(word, str))
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return found


def _permits(key: str, value: str) -> bool:
    """Return whether a field of this name may have this value."""
    for schema in _named(key):
        words = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
        if value in words or (not words and schema.get("type") in _types(value)):
            return True
        if schema.get("properties", {}).get("kind", {}).get("const") == value:
            return True
    return False


def _types(value: str) -> tuple[str, ...]:
    if value in ("true", "false"):
        return ("boolean",)
    return ("integer", "number", "array") if value.isdigit() else ("string",)
