"""Values of Parquet files as JSON data. Needs the extra `tables`."""

from __future__ import annotations

import struct
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from pyarrow import types


def to_json(value: Any, kind: Any) -> Any:
    """Return a value of Parquet of this type as JSON data; dates, decimals and bytes become text."""
    if value is None:
        return None
    if types.is_map(kind):
        return {str(key): to_json(inner, kind.item_type) for key, inner in value}
    if types.is_struct(kind):
        return {field.name: to_json(value[field.name], field.type) for field in kind}
    if isinstance(value, list):
        return [to_json(inner, kind.value_type) for inner in value]
    if types.is_float16(kind) or types.is_float32(kind):
        return _shorten(value, "e" if types.is_float16(kind) else "f")
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _shorten(value: Any, size: str) -> float:
    """Return the shortest decimal that a number of fewer bits was written as: 2.7, and not 2.700000047683716."""
    exact = float(value)
    shorter = (float(f"{exact:.{digits}g}") for digits in range(1, 10))
    return next((short for short in shorter if _is_stored(short, exact, size)), exact)


def _is_stored(short: float, exact: float, size: str) -> bool:
    """Return whether a number is stored as `exact` in the format `size` of `struct`."""
    try:
        return bool(struct.unpack(size, struct.pack(size, short))[0] == exact)
    except OverflowError:
        return False
