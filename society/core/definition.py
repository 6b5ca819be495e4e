"""The definition of a run as plain data: what a resumed run must have in common with the run that it continues.

defining     a scenario, or any part of one, without what only tunes speed
contents     a hash of every file that a scenario names
named_paths  every file that a scenario names
difference   the first place where two definitions differ, in words
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from society.core.hashing import hash_path

_ABSENT = object()


def defining(value: Any) -> Any:
    """Return a scenario, or any part of one, as plain data without the options that only tune speed.

    A path counts by its name only: a run may be resumed elsewhere, with files of the same contents. The order of a
    mapping's keys counts only in fields marked `ordered`.
    """
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        found = {n: defining(getattr(value, n)) for n, f in fields.items() if not is_tuning(f.json_schema_extra)}
        ordered = [n for n, f in fields.items() if _is_marked("ordered", f.json_schema_extra)]
        return found | {f"order of {name}": list(getattr(value, name)) for name in ordered}
    if isinstance(value, dict):
        return {key: defining(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [defining(item) for item in value]
    return value.name if isinstance(value, Path) else value


def is_tuning(extra: object) -> bool:
    """Return whether the `json_schema_extra` of a field marks an option that changes speed or memory, never text."""
    return _is_marked("tuning", extra)


def _is_marked(mark: str, extra: object) -> bool:
    return isinstance(extra, dict) and bool(extra.get(mark))


def contents(scenario: BaseModel) -> dict[str, str]:
    """Return a hash of each file or folder that a scenario names, by its place in the scenario; "" where it is gone."""
    found = {}
    for where, path in named_paths(scenario):
        found[where] = hash_path(path) if path.is_file() or any(path.rglob("*")) else ""
    return found


def named_paths(value: Any, where: str = "") -> Iterator[tuple[str, Path]]:
    """Yield each path that a scenario, or a part of one, names: its place in the scenario, and the path."""
    if isinstance(value, Path):
        yield where, value
        return
    inner: Iterable[tuple[object, Any]] = ()
    if isinstance(value, BaseModel | dict):
        inner = value if isinstance(value, BaseModel) else value.items()
    elif isinstance(value, tuple | list):
        inner = enumerate(value)
    for key, item in inner:
        yield from named_paths(item, f"{where}.{key}".lstrip("."))


def difference(before: Any, now: Any, added: bool = True, where: str = "") -> str | None:
    """Return the first place where two definitions differ, in words; None where there is none.

    With `added` false, keys that only `now` has do not count: a newer society may have added them.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            if key not in before and not added:
                continue
            place = f"{where}.{key}".lstrip(".")
            found = difference(before.get(key, _ABSENT), now.get(key, _ABSENT), added, place)
            if found is not None:
                return found
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return next((d for i, (b, n) in pairs if (d := difference(b, n, added, f"{where}.{i}")) is not None), None)
    return None if before == now else f"{where} was {_show(before)} and is {_show(now)}"


def _show(value: object) -> str:
    return "absent" if value is _ABSENT else f"{value!r:.80}"
