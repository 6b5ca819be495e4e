"""Results as plain JSON data: what `--json` prints and the report embeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any


def to_plain(value: Any) -> Any:
    """Dataclasses as dictionaries (a `share` among them), keys as strings, and null for numbers that JSON lacks."""
    if is_dataclass(value):
        plain = {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
        return {"share": to_plain(value.share), **plain} if hasattr(value, "share") else plain
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
