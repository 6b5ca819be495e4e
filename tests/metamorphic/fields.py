"""Every field of the scenario language with another valid value, in a scenario in which it has a say.

`find_fields` lists what there is, from the models themselves; `settings` pairs each with a change. A field that is
new has no entry here, and test_fields.py says so.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from society.components.registry import NOUNS, kinds, load
from society.scenario.models.scenario import Scenario
from tests.metamorphic.field_values import PLACES, In, Place, values_of
from tests.metamorphic.runs import Spec


@dataclass(frozen=True)
class Setting:
    """One field, and two scenarios that differ in nothing else."""

    component: str
    field: str
    tuning: bool
    repeated: bool  # a field that a base declares, in another kind than the first
    base: Spec = field(repr=False)
    changed: Spec = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.component}.{self.field}"


def find_models() -> dict[str, type[BaseModel]]:
    """Return every model of a scenario by name: built-in kinds, and the models of fields."""
    found: dict[str, type[BaseModel]] = {}
    _collect(Scenario, found)
    for noun in NOUNS:
        for cls in kinds(noun).values():
            if cls.__module__.partition(".")[0] in ("society", "backends", "topologies"):
                _collect(cls, found)
    return {name: cls for name, cls in found.items() if cls.model_fields and not _is_base(cls)}


def _is_base(cls: type[BaseModel]) -> bool:
    """Return whether the model is the base of a noun: its fields are looked at in each of its kinds."""
    bases = {load(noun.base) for noun in NOUNS.values()}
    return cls in bases or bool(getattr(cls, "__abstractmethods__", None))


def _collect(cls: type[BaseModel], found: dict[str, type[BaseModel]]) -> None:
    if found.setdefault(cls.__name__, cls) is not cls:
        raise AssertionError(f"two models are called {cls.__name__}; tell them apart in this module")
    for info in cls.model_fields.values():
        for inner in _models_in(info.annotation):
            if inner.__name__ not in found:
                _collect(inner, found)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def find_fields() -> list[tuple[type[BaseModel], str]]:
    """Return every field that has more than one value."""
    return [
        (cls, name)
        for cls in find_models().values()
        for name, info in cls.model_fields.items()
        if not (get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1)
    ]


def settings() -> Iterator[Setting]:
    """Yield every field with each of its other values. A field without one is left out."""
    seen: set[str] = set()
    for cls, name in find_fields():
        owner = f"{_owner(cls, name)}.{name}"
        for value in values_of(cls, name):
            for place in [value.place] if isinstance(value, In) else PLACES.get(cls.__name__, ()):
                whole = place.path[:1] in (("executor",), ("metrics",)) or "parallel" in place.path
                tuning = is_tuning(cls, name) or whole
                yield Setting(cls.__name__, name, tuning, owner in seen, place.spec, _changed(place, name, value))
        seen.add(owner)


def _owner(cls: type[BaseModel], name: str) -> str:
    """Return the name of the base that declares a field."""
    return next(base.__name__ for base in reversed(cls.__mro__) if name in getattr(base, "model_fields", {}))


def is_tuning(cls: type[BaseModel], name: str) -> bool:
    """Return whether the field is marked as one that changes speed or memory, but no text."""
    extra = cls.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("tuning"))


def _changed(place: Place, name: str, value: Any) -> Spec:
    spec: Any = copy.deepcopy(place.spec)
    inner = spec
    for step in place.path:
        inner = inner[step]
    value = value.value if isinstance(value, In) else value
    if callable(value):
        value(spec, inner)
    else:
        inner[name] = value
    return spec  # type: ignore[no-any-return]
