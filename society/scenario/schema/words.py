"""The values that the JSON Schema allows at a place, in plain words."""

from __future__ import annotations

from typing import Any

from society.scenario.models.settings import NAME_PATTERN, NAME_RULE
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, find_node
from society.scenario.schema.json_schema import scenario_schema

Schema = dict[str, Any]


def find_schemas(root: Node, steps: Steps) -> list[Schema]:
    """Return the schemas that may apply to the value at these steps: several if there are alternatives."""
    found = _open(scenario_schema(), root)
    for i, step in enumerate(steps):
        node = find_node(root, steps[: i + 1])
        found = [inner for schema in found for below in _below(schema, step) for inner in _open(below, node)]
    return found


def _open(schema: Schema, node: Node) -> list[Schema]:
    """Return the alternatives of a schema with references resolved, only the node's own kind for components."""
    if "$ref" in schema:
        return _open(scenario_schema()["$defs"][schema["$ref"].rpartition("/")[2]] | _without_ref(schema), node)
    options = [inner for part in schema.get("anyOf", ()) for inner in _open(part, node)] or [schema]
    kind = node.value["kind"].value if isinstance(node.value, dict) and "kind" in node.value else None
    named = [option for option in options if _kind(option) == kind]
    return named if kind is not None and named else options


def _without_ref(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "$ref"}


def _kind(schema: Schema) -> Any:
    return schema.get("properties", {}).get("kind", {}).get("const")


def _below(schema: Schema, step: str | int) -> list[Schema]:
    if isinstance(step, int):
        fixed = schema.get("prefixItems", [])[step : step + 1]
        return fixed or ([schema["items"]] if "items" in schema else [])
    if step in schema.get("properties", {}):
        return [schema["properties"][step]]
    named = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    return [part for part in named if isinstance(part, dict)]


def list_keys(root: Node, steps: Steps) -> tuple[str, ...]:
    """Return the keys that are allowed in the mapping at these steps."""
    return tuple(dict.fromkeys(key for schema in find_schemas(root, steps) for key in schema.get("properties", ())))


def find_home(root: Node, steps: Steps) -> Steps:
    """Return the steps to a key of this name in a mapping beside the key, or one level above it; () if there is none.

    The last step is a key that its own mapping does not allow.
    """
    *above, key = steps
    beside = (name for name in list_keys(root, tuple(above)) if key in list_keys(root, (*above, name)))
    if found := next(beside, None):
        return (*above, found, key)
    higher = tuple(above[:-1])
    return (*higher, key) if above and key in list_keys(root, higher) else ()


def list_options(schemas: list[Schema]) -> tuple[str, ...]:
    """Return the texts that are allowed as a value, if the schema lists them."""
    return tuple(dict.fromkeys(str(option) for schema in schemas for option in schema.get("enum", ())))


def describe(schemas: list[Schema]) -> str:
    """Return the allowed values in words, such as "a whole number of at least 1, or nothing"."""
    words = dict.fromkeys(_describe(schema) for schema in schemas)
    given = " or ".join(word for word in words if word != "nothing") or "something else"
    return given + (", or nothing" if "nothing" in words else "")


def _describe(schema: Schema) -> str:
    if "const" in schema or "enum" in schema:
        options = [schema["const"]] if "const" in schema else schema["enum"]
        return str(options[0]) if len(options) == 1 else "one of " + ", ".join(map(str, options))
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return _number(schema) + _bounds(schema)
    if kind == "string":
        most = f" of at most {schema['maxLength']} characters" if "maxLength" in schema else ""
        return f"text{most} that is not empty" if schema.get("minLength") else f"text{most}" + _form(schema)
    if kind == "array":
        least = f" of at least {schema['minItems']}" if schema.get("minItems") else ""
        return f"a list{least}"
    named = _kind(schema)
    if schema.get("minProperties"):
        return f"a mapping of at least {schema['minProperties']}"
    plain = {"boolean": "true or false", "null": "nothing", "object": "a mapping"}
    return f"a mapping with kind: {named}" if named else plain.get(str(kind), "something else")


def _number(schema: Schema) -> str:
    factor = schema.get("multipleOf")
    if factor is None:
        return "a whole number" if schema["type"] == "integer" else "a number"
    return "an even number" if factor == 2 else f"a multiple of {factor:g}"


def _form(schema: Schema) -> str:
    if schema.get("pattern") == NAME_PATTERN:
        return f" of {NAME_RULE}"
    return f" that matches {schema['pattern']}" if "pattern" in schema else ""


def _bounds(schema: Schema) -> str:
    """Return the bounds of a number: " of at least 1 and below 5", or " above 0"."""
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    bounds = [
        f"{word} {schema[key]:g}" if abs(schema[key]) < 1e6 else f"{word} {schema[key]}"
        for key, word in words.items()
        if key in schema
    ]
    text = " and ".join(bounds)
    return f" of {text}" if text.startswith("at ") else f" {text}".rstrip()
