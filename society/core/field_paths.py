"""Paths to fields of a row, such as `answers[0].text`.

A name that the row has as a whole wins, so `Correct Answer` and `a.b` may be names of columns. A name after a list is
taken of each entry: `choices.text` reads {"choices": [{"text": "x"}, {"text": "y"}]} as ["x", "y"].
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

ABSENT: Final = object()
"""The value of a field that a row does not have."""
_STEP = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(\d{1,9})\]")


def find(row: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path, or `ABSENT`."""
    if path in row:
        return row[path]
    value: Any = row
    for step in _parse(path) or [path]:
        value = _below(value, step)
        if value is ABSENT:
            return ABSENT
    return value


def without(row: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return a row without the fields at these paths. The given row does not change."""
    kept = dict(row)
    for path in paths:
        if path in kept:
            del kept[path]
        else:
            kept = _remove(kept, _parse(path))
    return kept


def _parse(path: str) -> list[str | int]:
    """Return the steps of a path; none if it is not written as one."""
    steps: list[str | int] = []
    place = 0
    for match in _STEP.finditer(path):
        if match.start() != place:
            return []
        steps.append(match[1] if match[1] is not None else int(match[2]))
        place = match.end()
    return steps if place == len(path) else []


def _below(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and step < len(value) else ABSENT
    if isinstance(value, list):
        found = [_below(entry, step) for entry in value if isinstance(entry, Mapping)]
        return ABSENT if len(found) < len(value) or ABSENT in found or not found else found
    return value.get(step, ABSENT) if isinstance(value, Mapping) else ABSENT


def _remove(value: Any, steps: list[str | int]) -> Any:
    if not steps:
        return value
    step, *rest = steps
    if isinstance(value, Mapping) and step in value:
        inner = _remove(value[step], rest) if rest else {}
        kept = {key: value for key, value in value.items() if key != step}
        return kept if inner == {} else {**kept, step: inner}
    if isinstance(value, list) and isinstance(step, int):
        return [
            _remove(inner, rest) if i == step and rest else inner for i, inner in enumerate(value) if rest or i != step
        ]
    if isinstance(value, list):
        return [_remove(inner, steps) for inner in value]
    return value
