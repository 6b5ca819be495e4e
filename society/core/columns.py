"""The fields of a record as flat columns: one declaration for the store, data frames and the report.

list_columns    the columns of a dataclass, those of nested dataclasses included
make_builder    a function that makes the record from its values by column

A nested dataclass becomes its own columns: `Turn.usage` becomes `prompt_tokens`, `generated_tokens` and so on. The
metadata `{"prefix": "source_"}` of its field keeps names apart where they would be the same. An `Interval` in the type
of a number gives its bounds, as in `Annotated[float, Interval(ge=0, le=1)]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval

Record = TypeVar("Record")
_NOTHING = type(None)


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `path` leads to its value from the record; `kind` is its type without None and annotations.

    `default` is `dataclasses.MISSING` for a field that must be given.
    """

    name: str
    path: str
    kind: Any
    default: Any
    optional: bool
    bounds: Interval | None

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed texts, if the type is a `Literal`."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def scalar(self) -> type | None:
        """The type of a single value (bool, int, float, str or bytes); None for a collection."""
        if self.choices:
            return str
        return self.kind if self.kind in (bool, int, float, str, bytes) else None


def list_columns(record: type[Any], prefix: str = "", above: str = "") -> tuple[Column, ...]:
    """Return the columns of a dataclass in the order of its fields. Raises `TypeError` for two of the same name."""
    hints = get_type_hints(record, include_extras=True)
    found: list[Column] = []
    for field in fields(record):
        kind, path = hints[field.name], f"{above}{field.name}"
        if isinstance(kind, type) and is_dataclass(kind):
            found += list_columns(kind, _prefix(field), f"{path}.")
        else:
            found.append(_column(f"{prefix}{field.name}", path, kind, _default(field)))
    names = [column.name for column in found]
    if len(set(names)) < len(names):
        raise TypeError(f"{record.__name__} has two columns of the same name: {', '.join(names)}")
    return tuple(found)


def _column(name: str, path: str, kind: Any, default: Any) -> Column:
    """Return a column, with the wrappers `Annotated` and `X | None` taken off its type."""
    optional, bounds = False, None
    while get_origin(kind) in (Annotated, Union, UnionType):
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
            bounds = next((note for note in notes if isinstance(note, Interval)), bounds)
            continue
        kinds = [one for one in get_args(kind) if one is not _NOTHING]
        if len(kinds) > 1:
            break
        optional, kind = True, kinds[0]
    return Column(name, path, kind, default, optional, bounds)


def _prefix(field: Field[Any]) -> str:
    return str(field.metadata.get("prefix", ""))


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def make_builder(record: type[Record], prefix: str = "") -> Callable[[Mapping[str, Any]], Record]:
    """Return a function that makes a record from its values by column. A missing value takes the field's default.

    The function raises `KeyError` for a missing value without a default, and ignores values of other columns.
    """
    hints = get_type_hints(record)
    makers = [_make_field(field, hints[field.name], prefix) for field in fields(record)]  # type: ignore[arg-type]

    def build(values: Mapping[str, Any]) -> Record:
        return record(*[make(values) for make in makers])

    return build


def _make_field(field: Field[Any], kind: Any, prefix: str) -> Callable[[Mapping[str, Any]], Any]:
    if is_dataclass(kind):
        return make_builder(kind, _prefix(field))  # type: ignore[arg-type]
    name, default = f"{prefix}{field.name}", _default(field)
    if default is MISSING:
        return lambda values: values[name]
    return lambda values: values.get(name, default)
