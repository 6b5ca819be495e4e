"""The reference of the scenario language in Markdown, generated from the models that check a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from society.components.registry import NOUNS, kinds
from society.scenario.checks.variables import VARIABLES
from society.scenario.models.settings import NAME_RULE
from society.scenario.schema.json_schema import scenario_schema
from society.scenario.schema.words import describe

Schema = Mapping[str, Any]


def write_reference() -> str:
    """Return the reference of all mappings, kinds and template variables, as Markdown."""
    schema = scenario_schema()
    names = f"Names of agents, roles, backends, topologies and phases use {NAME_RULE}."
    parts = ["## Scenario", schema["description"], names, _table(schema)]
    for name in _plain(schema):
        parts += [f"## {name}", _paragraphs(schema["$defs"][name]), _table(schema["$defs"][name])]
    for noun in NOUNS:
        parts.append(f"## {noun.capitalize()}")
        article = "An" if noun[0] in "aeiou" else "A"
        parts.append(f"{article} {noun} is a mapping with its `kind`, or only the kind if no other field is required.")
        for kind, name in _classes(noun):
            parts += [f"### `{kind}`", _paragraphs(schema["$defs"][name]), _table(schema["$defs"][name])]
    parts += ["## Template variables", "Variables of the templates in `system` and `prompt` of a role.", _variables()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _classes(noun: str) -> Iterator[tuple[str, str]]:
    return ((kind, cls.__name__) for kind, cls in kinds(noun).items())


def _plain(schema: Schema) -> list[str]:
    """Return the names of the mappings without a kind, in the order of their first use."""
    components = {name for noun in NOUNS for _, name in _classes(noun)}
    found: dict[str, None] = {}
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop(0)):
            if name not in found:
                found[name] = None
                waiting.append(schema["$defs"][name])
    return [name for name in found if name not in components]


def _references(schema: Schema) -> Iterator[str]:
    """Yield the names of the models that the fields of a model refer to."""
    for key, value in schema.items():
        if key == "$ref":
            yield _name(value)
        elif key != "$defs":
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    yield from _references(inner)


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _paragraphs(model: Schema) -> str:
    return "\n\n".join(" ".join(part.split()) for part in model.get("description", "").split("\n\n"))


def _table(model: Schema) -> str:
    """Return the table of a model's fields: name, values, default and description."""
    fields = {name: field for name, field in model.get("properties", {}).items() if name != "kind"}
    if not fields:
        return ""
    rows = ["| field | value | default | |", "|---|---|---|---|"]
    for name, field in fields.items():
        meaning = " ".join(field.get("description", "").split())
        default = "required" if name in _required(model) else _default(field.get("default"))
        rows.append(f"| `{name}` | {_cell(_words(field))} | {_cell(default)} | {_cell(meaning)} |")
    return "\n".join(rows)


def _required(model: Schema) -> list[str]:
    return [*model.get("required", ()), *model.get("else", {}).get("required", ())]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(value: Any) -> str:
    """Return a default in YAML, or "" for an empty default and for a mapping, which has its own table."""
    if isinstance(value, dict):
        value = value.get("kind")
    if value in (None, "", []):
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    if "<!" in text:  # the start of a declaration for HTML parsers, even within a code span
        return "<code>" + "".join(c if c.isalnum() else f"&#{ord(c)};" for c in text) + "</code>"
    return f"`{text}`"


def _words(field: Schema) -> str:
    """Return the values of a field in words, with links to the sections of models."""
    if "$ref" in field:
        return _link(_name(field["$ref"]))
    if "anyOf" in field:
        noun = field["anyOf"][0].get("title", "").removesuffix(", by its kind alone")
        if noun in NOUNS:
            return _link(noun.capitalize())
        options = dict.fromkeys(_words(option) for option in field["anyOf"] if option.get("type") != "null")
        return " or ".join(options)
    if field.get("type") == "array":
        return _list(_words(field["items"]) if "items" in field else "")
    if field.get("type") == "object":
        return _mapping(field)
    words = describe([dict(field)]).replace(f" of {NAME_RULE}", "")
    return re.sub(r"(?<=that matches )\S+$", r"`\g<0>`", words)


def _list(items: str) -> str:
    """Return a list of these items in words."""
    if not items:
        return "a list"
    if items == "text" or items.startswith("["):
        return f"a list of {items}"
    return f"a list of lists{items[6:]}" if items.startswith("a list") else f"a list, each {items}"


def _mapping(field: Schema) -> str:
    inner = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    named = next((part for part in inner if isinstance(part, dict) and part), None)
    return f"a mapping from names to {_words(named)}" if named else "a mapping"


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _variables() -> str:
    rows = [f"| `{name}` | {_cell(text)} |" for name, text in VARIABLES.items()]
    return "\n".join(["| variable | |", "|---|---|", *rows])
