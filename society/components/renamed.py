"""Former names and defaults of fields. Names go on working in YAML, in `--set` and in stored runs.

A field names them in `validation_alias=AliasChoices(NAME, FORMER, ...)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import AliasChoices

from society.components.registry import NOUNS, clear_with_kinds, kinds

Value = TypeVar("Value")
ANSWERS = {"extract": ["boxed", "hash", "line"], "equal": "exact", "tolerance": 1e-6}
"""Former values in stored definitions of options of `answer` that a scenario leaves out. They are None today."""


@cache
def former_names() -> dict[str, dict[str, str]]:
    """Return the present name of each renamed field by its former name, for each kind of component."""
    found: dict[str, dict[str, str]] = {}
    for kind, cls in (pair for noun in NOUNS for pair in kinds(noun).items()):
        for name, field in cls.model_fields.items():
            if isinstance(field.validation_alias, AliasChoices):
                found.setdefault(kind, {}).update({str(former): name for former in field.validation_alias.choices[1:]})
    return found


clear_with_kinds(former_names.cache_clear)


def rename_keys(entries: Mapping[str, Value], kind: object) -> dict[str, Value]:
    """Return the entries of a component of this kind under their present names, in the same order.

    An entry that is given under both names keeps both: the caller reports the unknown one.
    """
    names = former_names().get(kind, {}) if isinstance(kind, str) else {}
    present = {key: names.get(key, key) for key in entries}
    return {key if present[key] in entries else present[key]: value for key, value in entries.items()}


def rename_all(data: Any) -> Any:
    """Return plain data, such as a stored scenario, with every renamed field under its present name."""
    if isinstance(data, list):
        return [rename_all(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {key: rename_all(item) for key, item in rename_keys(data, data.get("kind")).items()}


def drop_defaults(stored: Any, now: Any) -> Any:
    """Return a stored definition with None for each former default in it of an option that `now` leaves out."""
    if not isinstance(stored, dict) or not isinstance(now, dict):
        return stored
    found = {key: drop_defaults(value, now.get(key)) for key, value in stored.items()}
    if isinstance(answer := found.get("answer"), dict) and isinstance(present := now.get("answer"), dict):
        former = [key for key, value in ANSWERS.items() if answer.get(key) == value and present.get(key, value) is None]
        found["answer"] = answer | dict.fromkeys(former)
    return found
