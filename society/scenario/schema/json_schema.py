"""The JSON Schema of a scenario, for editors and for the values that errors list as allowed."""

from __future__ import annotations

from functools import cache
from typing import Any

from society.components.registry import DEFAULT_KIND, clear_with_kinds
from society.scenario.models.scenario import Scenario

EXTENDS = {
    "type": "string",
    "title": "Extends",
    "description": "Path of a base scenario, from this file. Mappings merge, other values replace, null deletes.",
}


@cache
def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a scenario file, with every built-in and installed kind.

    A file with `extends` may omit required keys at the top level.
    """
    from society.scenario.schema.descriptions import Described

    schema = Scenario.model_json_schema(schema_generator=Described)
    defaults = _take_defaults(schema)
    for name, definition in (("", schema), *schema["$defs"].items()):
        _name_kind(definition, required=name not in defaults)
        for field in definition.get("properties", {}).values():
            _tidy(field)
    required = schema.pop("required")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "properties": {"extends": EXTENDS, **schema["properties"]},
        "if": {"required": ["extends"]},
        "else": {"required": required},
    }


clear_with_kinds(scenario_schema.cache_clear)


def _take_defaults(schema: dict[str, Any]) -> set[str]:
    """Remove the marks of default kinds, and return the names of the definitions of these kinds."""
    found: set[str] = set()
    definitions = schema["$defs"]
    for definition in (schema, *definitions.values()):
        for field in definition.get("properties", {}).values():
            if kind := field.pop(DEFAULT_KIND, ""):
                names = [choice["$ref"].rpartition("/")[2] for choice in field["anyOf"] if "$ref" in choice]
                found.update(name for name in names if definitions[name]["properties"]["kind"].get("const") == kind)
    return found


def _name_kind(definition: dict[str, Any], required: bool) -> None:
    """Put `kind` first and make it required, so that editors can distinguish the kinds."""
    properties = definition.get("properties", {})
    if "const" in properties.get("kind", {}):
        kind = {"const": properties.pop("kind")["const"], "description": definition.get("description", "")}
        definition["properties"] = {"kind": kind, **properties}
        if required:
            definition["required"] = ["kind", *definition.get("required", [])]


def _tidy(field: dict[str, Any]) -> None:
    """Forbid keys that do not match a pattern, and remove unset fields from a default."""
    if "patternProperties" in field:
        field["additionalProperties"] = False
    if isinstance(field.get("default"), dict):
        field["default"] = {key: value for key, value in field["default"].items() if value is not None}
