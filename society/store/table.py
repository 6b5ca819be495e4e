"""A table of the store, derived from a dataclass: its schema, its constraints, and how values are written and read.

The type of a field decides its column. Text, numbers and truth values are stored as they are, a `Literal` as text with
a constraint, any other type as JSON. A field with a default may be missing from the file of an older society: reading
takes the default, and opening the file for writing adds the column.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from functools import cached_property, partial
from operator import attrgetter
from typing import Any, Generic, TypeVar

from annotated_types import Interval
from pydantic import TypeAdapter, ValidationError

from society.core.columns import Column, list_columns, make_builder
from society.core.plain import to_plain

Record = TypeVar("Record")
Decoded = TypeVar("Decoded")
COUNT = Interval(ge=0, le=2**53 - 1)
"""Bounds of an integer whose field gives none. JavaScript can hold the largest one, too."""
NUMBER = Interval(ge=-1e300, le=1e300)
"""Bounds of a real number whose field gives none: the number is finite."""
ROUNDING = 1e-6
"""Maximum distance from a bound that rounding can cause."""
SHOWN = 60
"""Maximum number of characters of a value in an error."""
encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=to_plain, allow_nan=False).encode


@dataclass(frozen=True)
class Codec:
    """The storage of a column: its SQL type, its constraint in SQL (or none), and the conversion in both directions.

    None is stored as NULL and is never converted. `expected` names the allowed values in words. `absorb` is SQL for the
    value without rounding beyond its bounds.
    """

    sql: str
    rule: str = ""
    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None
    absorb: str = ""
    expected: str = "text"


@dataclass(frozen=True)
class Table(Generic[Record]):
    """A table with one row for each record. `key` names the columns of its primary key.

    A table that is `ordered` numbers its rows in the order of insertion (`rowid`). `codecs` replaces the derived codecs
    of these columns.
    """

    name: str
    record: type[Record]
    key: tuple[str, ...]
    ordered: bool = False
    codecs: Mapping[str, Codec] = field(default_factory=dict)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns by name, in the order of the fields."""
        return {column.name: column for column in list_columns(self.record)}

    @cached_property
    def _codecs(self) -> dict[str, Codec]:
        return {name: self.codecs.get(name) or derive_codec(column) for name, column in self.columns.items()}

    def schema(self, names: Iterable[str] = ()) -> str:
        """Return the SQL that creates the table with these columns in this order; by default with all."""
        lines = [*map(self.define, names or self.columns), f"PRIMARY KEY ({', '.join(self.key)})"]
        body, options = ",\n  ".join(lines), "STRICT" if self.ordered else "STRICT, WITHOUT ROWID"
        return f"CREATE TABLE {self.name} (\n  {body}\n) {options}"

    def define(self, name: str) -> str:
        """Return the SQL that defines a column."""
        column, codec = self.columns[name], self._codecs[name]
        parts = [name, codec.sql]
        if not column.optional:
            parts.append("NOT NULL")
        if column.default not in (MISSING, None):
            default = codec.encode(column.default) if codec.encode else column.default
            parts.append(f"DEFAULT {_literal(default)}")
        if codec.rule:
            parts.append(f"CHECK ({codec.rule})")
        return " ".join(parts)

    def absorb(self, name: str) -> str:
        """Return SQL for the value of a column as `write` would store it: without rounding beyond its bounds."""
        return self._codecs[name].absorb or name

    def rules(self) -> dict[str, str]:
        """Return SQL by column that is true for each valid value, where the table itself does not ensure this."""
        found = {}
        for name, codec in self._codecs.items():
            kinds = f"'{codec.sql.lower()}'" + (", 'null'" if self.columns[name].optional else "")
            valid = f" AND ({codec.rule}) IS NOT 0" if codec.rule else ""
            found[name] = f"typeof({name}) IN ({kinds}){valid}"
        return found

    def expect(self, name: str) -> str:
        """Return the allowed values of a column in words."""
        return self._codecs[name].expected + " or NULL" * self.columns[name].optional

    def describe(self, row: Mapping[str, Any], name: str, fault: str) -> str:
        """Return in words which value of a row is wrong, and why."""
        place = ", ".join(f"{key} {_show(row[key])}" for key in self.key)
        return f"in the row of {self.name} with {place}, the column {name} is {_show(row[name])}: {fault}"

    def decode(self, row: Mapping[str, Any], name: str, decode: Callable[[Any], Decoded]) -> Decoded:
        """Return the decoded value of a column. Raises `ValueError`, which names the row, for one of another form."""
        try:
            return decode(row[name])
        except ValidationError as error:
            raise ValueError(self.describe(row, name, _explain_form(error))) from error
        except (ValueError, RecursionError) as error:
            raise ValueError(self.describe(row, name, f"{error}")) from error

    def missing(self, names: Iterable[str]) -> list[str] | None:
        """Return the columns that a table with these columns lacks; None if it cannot be a table of this kind."""
        present = set(names)
        lacking = [name for name in self.columns if name not in present]
        known = present <= self.columns.keys()
        return lacking if known and all(self.columns[name].default is not MISSING for name in lacking) else None

    @cached_property
    def insert(self) -> str:
        """The SQL that writes a row, in place of an earlier one with the same key."""
        names, places = ", ".join(self.columns), ", ".join("?" * len(self.columns))
        return f"INSERT OR REPLACE INTO {self.name} ({names}) VALUES ({places})"

    @cached_property
    def where_key(self) -> str:
        """The SQL condition that selects the row of a key."""
        return " AND ".join(f"{name}=?" for name in self.key)

    def write(self, record: Record, **encoded: object) -> tuple[Any, ...]:
        """Return the values of a row for `insert`. Columns in `encoded` take these values as they are."""
        return self._encode_all(self.columns, record, encoded)

    def write_part(self, names: Sequence[str], record: Record, **encoded: object) -> tuple[Any, ...]:
        """Return the values of these columns alone, as `write` does."""
        return self._encode_all(names, record, encoded)

    def read(self, row: Mapping[str, Any], **decoded: object) -> Record:
        """Return the record of a row. Columns in `decoded` take these values as they are.

        Raises `ValueError` or `KeyError` for values that `write` does not write.
        """
        values = dict(row)
        for name, decode in self._decoders:
            if name not in decoded and values.get(name) is not None:
                values[name] = self.decode(row, name, decode)
        return self._build(values | decoded)

    @cached_property
    def _decoders(self) -> list[tuple[str, Callable[[Any], Any]]]:
        return [(name, codec.decode) for name, codec in self._codecs.items() if codec.decode]

    @cached_property
    def _build(self) -> Callable[[Mapping[str, Any]], Record]:
        return make_builder(self.record)

    @cached_property
    def _writers(self) -> dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any] | None]]:
        """The functions that return the value of a column in a record, and that encode this value, by column."""
        return {name: (attrgetter(column.path), self._codecs[name].encode) for name, column in self.columns.items()}

    def _encode_all(self, names: Iterable[str], record: Record, encoded: Mapping[str, object]) -> tuple[Any, ...]:
        writers = self._writers
        values: list[Any] = []
        for name in names:
            if name in encoded:
                values.append(encoded[name])
                continue
            get, encode = writers[name]
            value = get(record)
            values.append(value if encode is None or value is None else encode(value))
        return tuple(values)


def derive_codec(column: Column) -> Codec:
    """Return the codec of a column, by its type."""
    name, kind = column.name, column.scalar
    if column.choices:
        choices = ", ".join(map(_literal, column.choices))
        return Codec("TEXT", f"{name} IN ({choices})", expected=f"one of {choices}")
    if kind is str:
        return Codec("TEXT", encode=to_storable)
    if kind is bytes:
        return Codec("BLOB", expected="bytes")
    if kind is bool:
        return Codec("INTEGER", f"{name} IN (0, 1)", int, bool, expected="0 or 1")
    if kind is int:
        limits = column.bounds or COUNT
        return Codec("INTEGER", _compare(name, limits), expected=f"an integer with {_compare(name, limits)}")
    if kind is float:
        bounds: Any = column.bounds or NUMBER
        encode = partial(_absorb_rounding, low=bounds.ge, high=bounds.le)
        rule, absorb = _compare(name, bounds), _absorb_in_sql(name, bounds.ge, bounds.le)
        return Codec("REAL", rule, encode, absorb=absorb, expected=f"a number with {rule}")
    return Codec("TEXT", "", lambda value: to_storable(encode_json(value)), _make_json_decoder(column.kind))


def _compare(name: str, bounds: Interval) -> str:
    """Return the SQL that keeps a number within its bounds."""
    limits = ((">", bounds.gt), (">=", bounds.ge), ("<", bounds.lt), ("<=", bounds.le))
    return " AND ".join(f"{name} {operator} {limit!r}" for operator, limit in limits if limit is not None)


def _absorb_rounding(value: float, low: float | None, high: float | None) -> float:
    """Return the bound for a value that exceeds it by rounding only, such as a log-probability of 1e-8."""
    if low is not None and low - ROUNDING < value < low:
        return low
    if high is not None and high < value < high + ROUNDING:
        return high
    return value


def _absorb_in_sql(name: str, low: Any, high: Any) -> str:
    """Return SQL that does what `_absorb_rounding` does. A text or NULL stays as it is."""
    cases = ""
    if low is not None:
        cases += f" WHEN {name} > {low - ROUNDING!r} AND {name} < {low!r} THEN {float(low)!r}"
    if high is not None:
        cases += f" WHEN {name} > {high!r} AND {name} < {high + ROUNDING!r} THEN {float(high)!r}"
    return f"CASE{cases} ELSE {name} END"


def _make_json_decoder(kind: Any) -> Callable[[str], Any]:
    """Return a function that reads JSON as this type, strictly. It raises `ValueError` for other JSON."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return lambda text: adapter.validate_json(text, strict=True)


def _explain_form(error: ValidationError) -> str:
    """Return the first fault of a value of another form, on one line."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = "".join(f"[{step!r:.{SHOWN}}]" for step in first["loc"])
    return first["msg"] + f", at {place}" * bool(place)


def _show(value: object) -> str:
    """Return a value of a row for an error, cut if it is long."""
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def to_storable(text: str) -> str:
    """Return the text without lone surrogates, which SQLite cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _literal(value: object) -> str:
    """Return a value as SQL."""
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    return f"X'{value.hex()}'" if isinstance(value, bytes) else repr(value)
