"""Where names in YAML become classes: the built-in pieces, and those that installed plugins add.

A plugin adds one by an entry point in the group `society.<noun>`, for example
`[project.entry-points."society.topology"]  petersen = "my_package:Petersen"`.
Nothing is imported until a scenario is read or a list is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from society.core.component import Component
from society.core.errors import InputError, SocietyError

BUILT_IN: Mapping[str, str] = {
    "backend": "backends:BACKENDS",
    "topology": "topologies:TOPOLOGIES",
    "task": "society.tasks:TASKS",
    "decision": "society.components.decisions:DECISIONS",
    "stop": "society.components.stops:STOPS",
    "gate": "society.components.gates:GATES",
    "controller": "society.components.controllers:CONTROLLERS",
    "selector": "society.components.selectors:SELECTORS",
    "executor": "society.executors:EXECUTORS",
}
"""Each noun, and the table of its built-in kinds."""
BARE = "(kind alone)"
"""The choice of a union that a bare name takes."""


def _load(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


@cache
def _plugins(noun: str) -> tuple[EntryPoint, ...]:
    return tuple(_installed().select(group=f"society.{noun}"))


@cache
def _installed() -> Any:  # Python 3.11 and 3.12 call it differently
    """Every entry point there is: looking through all packages takes long, so once for all nouns."""
    return entry_points()


@cache
def kinds(noun: str) -> dict[str, type[Component]]:
    """Every class of this noun by its kind, built-in ones first.

    Raises `InputError` if a plugin takes a name that is taken or does not give a `Component`.
    """
    found = {kind: _load(path) for kind, path in _load(BUILT_IN[noun]).items()}
    for plugin in _plugins(noun):
        where = f"The {noun} {plugin.name!r} of the package {plugin.dist.name if plugin.dist else plugin.value!r}"
        if plugin.name in found:
            raise InputError(f"{where} has a name that is taken.", "Uninstall the package, or rename its entry point.")
        try:
            found[plugin.name] = plugin.load()
        except SocietyError:
            raise
        except Exception as error:
            raise InputError(f"{where} cannot be loaded: {error}", "Update or uninstall the package.") from error
        if not (isinstance(found[plugin.name], type) and issubclass(found[plugin.name], Component)):
            raise InputError(f"{where} is no society Component.", f"It should derive the base class of a {noun}.")
    return found


class Registered:
    """Marks a field that holds any kind of a noun: `Annotated[Topology, Registered("topology")]`.

    In YAML it is a mapping with `kind:`, or the kind alone where every other field has a default.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # No validator runs before the union: it would turn JSON into Python objects, whose lists are no tuples.
        classes = {kind: handler.generate_schema(cls) for kind, cls in kinds(self.noun).items()}
        return self._union({**classes, BARE: core_schema.no_info_before_validator_function(
            lambda name: {"kind": name}, self._union(classes))})  # fmt: skip

    def _union(self, choices: dict[str, CoreSchema]) -> CoreSchema:
        return core_schema.tagged_union_schema(
            choices,
            discriminator=_kind_of,
            custom_error_type="unknown_kind",
            custom_error_message="unknown {noun}",
            custom_error_context={"noun": self.noun},
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        plain = [kind for kind, cls in kinds(self.noun).items() if not _required(cls)]
        choices = {k: choice for k, choice in cast(Any, schema)["choices"].items() if k != BARE}
        named = [{"enum": plain, "title": f"{self.noun}, by its kind alone"}] if plain else []
        return {"anyOf": [*named, *(handler(choice) for choice in choices.values())]}


def _kind_of(value: Any) -> str | None:
    if isinstance(value, str):
        return BARE
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


def _required(cls: type[Component]) -> bool:
    return any(field.is_required() for field in cls.model_fields.values())
