"""Options of a level of settings, derived from the dataclass of the complete settings."""

from __future__ import annotations

from typing import Any, get_type_hints

from pydantic import create_model

from society.core.component import Component

SOURCE = "__options_of__"
"""Attribute of a derived class: the dataclass whose fields and descriptions it has."""


def make_optional(record: type[Any]) -> type[Component]:
    """Return a component with the fields of a dataclass, each of which may be left out and is then None."""
    hints = get_type_hints(record, include_extras=True)
    options: dict[str, Any] = {name: (kind | None, None) for name, kind in hints.items()}
    made = create_model(f"{record.__name__}Options", __base__=Component, **options)
    setattr(made, SOURCE, record)
    return made
