"""Finds the classes behind the kinds of a scenario: built-in ones, and those that plugins add.

A plugin is an installed package or a local file.

- A package adds a class by an entry point in the group `society.<noun>`, for example
  `[project.entry-points."society.topology"]  petersen = "my_package:Petersen"`.
- A file adds its component classes where the user names it with --plugins; see `society.components.plugin_files`.

No plugin is imported until a scenario is read or a list is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from society.core.component import Component
from society.core.errors import InputError, SocietyError

DEFAULT_KIND = "default kind"
"""Mark of a JSON Schema of a noun: the kind of a mapping without `kind`."""


@dataclass(frozen=True, slots=True)
class Noun:
    """A part of a scenario of which there are several kinds. Both fields are written MODULE:NAME."""

    base: str
    """The class that all kinds derive from."""
    built_in: str
    """The table of the built-in kinds."""


NOUNS: Mapping[str, Noun] = {
    "backend": Noun("backends.base:BackendConfig", "backends:BACKENDS"),
    "topology": Noun("topologies.base:Topology", "society.components.graphs:TOPOLOGIES"),
    "task": Noun("society.tasks.base:Task", "society.tasks:TASKS"),
    "answer": Noun("society.scoring.base:AnswerRule", "society.scoring:ANSWERS"),
    "decision": Noun("society.components.decisions.base:DecisionRule", "society.components.decisions:DECISIONS"),
    "stop": Noun("society.components.stops:StopRule", "society.components.stops:STOPS"),
    "leave": Noun("society.components.leaving:LeaveRule", "society.components.leaving:LEAVE_RULES"),
    "gate": Noun("society.components.gates:Gate", "society.components.gates:GATES"),
    "controller": Noun("society.components.controllers:Controller", "society.components.controllers:CONTROLLERS"),
    "label": Noun("society.components.labels.base:LabelRule", "society.components.labels:LABELS"),
    "selector": Noun("society.components.selectors:Selector", "society.components.selectors:SELECTORS"),
    "objective": Noun("backends.objectives:Objective", "backends.objectives:OBJECTIVES"),
    "tool": Noun("society.components.tools.base:Tool", "society.components.tools:TOOLS"),
    "metric": Noun("society.components.metrics.base:Metric", "society.components.metrics:METRICS"),
    "executor": Noun("society.executors.base:ExecutorConfig", "society.executors:EXECUTORS"),
}
BARE = "(kind alone)"
"""The choice of a union that a bare name takes."""
Kinds = Mapping[str, type[Component]]

_from_files: dict[str, Kinds] = {}
"""Classes of plugin files by noun and kind."""
_models: list[type[BaseModel]] = []
_caches: list[Callable[[], None]] = []


def load(path: str) -> Any:
    """Import the object that is written MODULE:NAME."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


def rebuild_with_kinds(*models: type[BaseModel]) -> None:
    """Register models that hold any kind of a noun, inner ones first: they are rebuilt when plugin files are loaded."""
    _models.extend(models)


def clear_with_kinds(clear: Callable[[], None]) -> None:
    """Register the `cache_clear` of a cache that holds kinds: it is called when plugin files are loaded."""
    _caches.append(clear)


def set_file_kinds(found: Mapping[str, Kinds]) -> None:
    """Replace the kinds of plugin files, by noun, and rebuild what was made from the kinds before."""
    _from_files.clear()
    _from_files.update(found)
    kinds.cache_clear()
    for clear in _caches:
        clear()
    for model in (*_models, *_models):  # twice, as a model keeps the schema that models within it had before
        model.model_rebuild(force=True)


@cache
def _plugins(noun: str) -> tuple[EntryPoint, ...]:
    return tuple(_installed().select(group=f"society.{noun}"))


@cache
def _installed() -> Any:  # Python 3.11 and 3.12 call it differently
    """Return all entry points. The search through all packages is slow, so it is done once for all nouns."""
    return entry_points()


@cache
def kinds(noun: str) -> dict[str, type[Component]]:
    """Return every class of this noun by its kind, built-in ones first.

    Raises `InputError` for a plugin whose name is taken, that cannot be loaded, or that is no component of this noun.
    """
    found = {kind: load(path) for kind, path in load(NOUNS[noun].built_in).items()}
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
        if not (isinstance(found[plugin.name], type) and issubclass(found[plugin.name], load(NOUNS[noun].base))):
            base = NOUNS[noun].base.replace(":", ".")
            raise InputError(f"{where} is no {noun}.", f"Derive its class from {base}.")
    return {**found, **_from_files.get(noun, {})}


class Registered:
    """A mark for a field that holds any kind of a noun: `Annotated[Topology, Registered("topology")]`.

    In YAML the value is a mapping with `kind:`, or the kind alone where every other field has a default. A mapping
    without `kind:` is of the kind `default`, if there is one. With `reference`, the value may also be a name that the
    scenario defines in its section of this name, which is short for `{kind: named, name: NAME}`. The validation context
    has these names.
    """

    def __init__(self, noun: str, reference: str = "", default: str | None = None) -> None:
        self.noun, self.reference, self.default = noun, reference, default

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # No validator runs before the union: it would turn JSON into Python objects, whose lists are no tuples.
        classes = {kind: handler.generate_schema(cls) for kind, cls in kinds(self.noun).items()}

        def spell_out(name: str, info: core_schema.ValidationInfo) -> dict[str, str]:
            defined = (info.context or {}).get(self.reference, ()) if self.reference else ()
            return {"kind": "named", "name": name} if name in defined and name not in classes else {"kind": name}

        bare = core_schema.with_info_before_validator_function(spell_out, self._union(classes))
        return self._union({**classes, BARE: bare})

    def _union(self, choices: dict[str, CoreSchema]) -> CoreSchema:
        return core_schema.tagged_union_schema(
            choices,
            discriminator=self._kind_of,
            custom_error_type="unknown_kind",
            custom_error_message="unknown {noun}",
            custom_error_context={"noun": self.noun},
        )

    def _kind_of(self, value: Any) -> str | None:
        if isinstance(value, str):
            return BARE
        kind = value.get("kind", self.default) if isinstance(value, dict) else getattr(value, "kind", None)
        return kind if isinstance(kind, str) else None

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        plain = [kind for kind, cls in kinds(self.noun).items() if not _required(cls)]
        choices = {k: choice for k, choice in cast(Any, schema)["choices"].items() if k != BARE}
        named: list[dict[str, Any]] = [{"enum": plain, "title": f"{self.noun}, by its kind alone"}] if plain else []
        if self.reference:
            named.append(
                {"type": "string", "title": f"name in `{self.reference}`", "not": {"enum": list(kinds(self.noun))}}
            )
        found = {"anyOf": [*named, *(handler(choice) for choice in choices.values())]}
        return found | ({DEFAULT_KIND: self.default} if self.default else {})


def _required(cls: type[Component]) -> bool:
    return any(field.is_required() for field in cls.model_fields.values())
