"""Readers of data files: CSV, TSV, JSON, JSONL and Parquet, row by row.

A reader yields a `Row`, or an `InputError` with file and line for a row that cannot be read, and goes on where it can.
So a run stops at the first error, and `society check` lists them all. No file is executed or unpickled.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

from society.core.errors import InputError, MissingExtraError
from society.core.field_paths import ABSENT, find
from society.core.problems import find_near, find_similar_file
from society.core.regular_files import open_regular, read_limited

Format = Literal["csv", "tsv", "json", "jsonl", "parquet"]
LARGEST_JSON = 200_000_000
"""Maximum size of a JSON file, which is read whole, in bytes. The other formats are read row by row."""
LONGEST_CELL = 10_000_000
"""Maximum length of a cell of a CSV file, in characters."""
BATCH = 1_000
"""Number of rows of a Parquet file that are in memory at once."""
_ENDINGS: Mapping[str, Format] = {
    **{f".{form}": form for form in get_args(Format)},
    ".tab": "tsv",
    ".ndjson": "jsonl",
    ".pq": "parquet",
}
ENDINGS = tuple(_ENDINGS)
"""Endings of file names whose format is known."""
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_REFUSED = {
    b"PK\x03\x04": ("is a ZIP archive or an Excel file", "Unpack it, or save the sheet as CSV (UTF-8)."),
    b"\xd0\xcf\x11\xe0": ("is an old Excel file", "Save the sheet as CSV (UTF-8)."),
    b"ARROW1": ("is an Arrow file", "Save it as Parquet, for example with pandas: to_parquet."),
    b"\xff\xfe": ("is UTF-16 text", "Save the file as UTF-8."),
    b"\xfe\xff": ("is UTF-16 text", "Save the file as UTF-8."),
}
_PARQUET = b"PAR1"
_SEPARATOR = re.compile(r"sep=([,;\t|])\s*")
_NONE = "\x1f"
"""A character between cells that no text has."""


class Row(NamedTuple):
    """A row of a file."""

    where: str
    """File and line, or file and number of the row, for errors."""
    number: int
    """Line in the file, or number of the row, from 1."""
    values: dict[str, Any]


Rows = Iterator[Row | InputError]


class Shape(NamedTuple):
    """The shape of a file, where its ending does not show it."""

    form: Format | None = None
    rows: str | None = None
    """Path of the list of rows in a JSON file."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a CSV or TSV file without a header line."""
    single: bool = False
    """Whether a JSON object without a list of rows is a row itself."""


def read_rows(path: Path, shape: Shape) -> Rows:
    """Yield the rows of a file, and an error for each row that cannot be read.

    Raises `InputError` for a file that cannot be read at all, and `MissingExtraError` for Parquet without pyarrow.
    """
    try:
        with open_regular(path) as file:
            head = file.read(6)
            form = _find_format(path, shape.form, head)
            file.seek(0)
            yield from _READERS[form](path, file, shape)
    except OSError as error:
        near = find_similar_file(path) if isinstance(error, FileNotFoundError) else ""
        remedy = "Check `task.path`" + (f": did you mean {near!r}?" if near else ".")
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.", remedy) from error


def find_form(path: Path) -> Format | None:
    """Return the format of a file by the ending of its name; None for another ending."""
    return _ENDINGS.get(path.suffix.lower())


def _find_format(path: Path, form: Format | None, head: bytes) -> Format:
    """Return the format of a file, by the scenario or its ending. Raises `InputError` for formats without a reader."""
    packed = next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)
    if packed:
        raise InputError(f"{path}: is compressed ({packed}).", "Unpack the file, and give the name without the ending.")
    for magic, (what, remedy) in _REFUSED.items():
        if head.startswith(magic):
            raise InputError(f"{path}: {what}.", remedy)
    found = form or find_form(path)
    if found is None:
        known = ", ".join(get_args(Format))
        raise InputError(f"{path}: the format of the file is not known by its ending.", f"Set `task.read_as`: {known}.")
    if (head[:4] == _PARQUET) != (found == "parquet"):
        is_parquet = "is" if head[:4] == _PARQUET else "is not"
        remedy = "Correct `task.read_as`, or the ending of the file."
        raise InputError(f"{path}: {is_parquet} a Parquet file.", remedy, ("read_as",) if form else ())
    return found


def _read_jsonl(path: Path, file: Iterable[bytes], shape: Shape) -> Rows:
    for number, raw in enumerate(file, 1):
        if raw.strip():
            where = f"{path}:{number}"
            try:
                yield Row(where, number, _parse_object(raw, where))
            except InputError as error:
                yield error


def _parse_object(raw: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text.", "Convert the file to UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}.", "Write one JSON object per line.") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a JSON object.", "Write one JSON object per line.")
    return row


def _read_json(path: Path, file: BinaryIO, shape: Shape) -> Rows:
    if path.stat().st_size > LARGEST_JSON:
        raise InputError(f"{path}: is larger than {LARGEST_JSON:,} bytes.", "Convert the file to JSONL or Parquet.")
    try:
        text = read_limited(path, LARGEST_JSON).decode("utf-8-sig")
        found = json.loads(text)
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text.", "Convert the file to UTF-8.") from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):  # JSON lines under the name of JSON
            yield from _read_jsonl(path, text.encode().splitlines(), shape)
            return
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}.", "Correct the file.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}.", "Correct the file, or convert it to JSONL.") from None
    for number, entry in enumerate(_find_list(path, found, shape), 1):
        where = f"{path}, row {number}"
        if isinstance(entry, dict):
            yield Row(where, number, entry)
        else:
            yield InputError(f"{where}: not a JSON object.", "Write a list of JSON objects.")


def _find_list(path: Path, found: Any, shape: Shape) -> list[Any]:
    """Return the rows of a JSON file: the list at `rows`, the whole file, or its only list of objects."""
    if shape.rows is not None:
        inner = find(found, shape.rows) if isinstance(found, dict) else ABSENT
        if isinstance(inner, list):
            return inner
        remedy = f"Correct `task.rows`.{_suggest_lists(found)}"
        raise InputError(f"{path}: has no list at {shape.rows!r}.", remedy, ("rows",))
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        lists = _lists_of_objects(found)
        if len(lists) == 1:
            return list(found[lists[0]])
        if shape.single and not lists:
            return [found]
    if isinstance(found, dict) and found and all(isinstance(value, dict) for value in found.values()):
        remedy = "Write a list of objects, one for each row (pandas: to_json(orient='records'))."
        raise InputError(f"{path}: holds a mapping of columns or ids, and no list of rows.", remedy)
    raise InputError(
        f"{path}: holds no list of JSON objects.",
        f"Write a list of objects, or set `task.rows` to the path of the list.{_suggest_lists(found)}",
    )


def _lists_of_objects(found: Mapping[str, Any]) -> list[str]:
    return [key for key, value in found.items() if isinstance(value, list) and value and isinstance(value[0], dict)]


def _suggest_lists(found: Any) -> str:
    lists = _lists_of_objects(found) if isinstance(found, dict) else []
    return f" There are lists at: {', '.join(lists)}." if lists else ""


def _read_table(path: Path, file: Iterable[bytes], shape: Shape) -> Rows:
    """Yield the rows of a CSV or TSV file. A row is an error where its number of cells is not that of the header."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    lines = _decode(path, file)
    first, before = next(lines, ""), 0
    named = _SEPARATOR.fullmatch(first)
    if named:  # Excel reads the separator from such a line
        first, before = next(lines, ""), 1
    is_tsv = (shape.form or _ENDINGS[path.suffix.lower()]) == "tsv"
    delimiter = _NONE if len(shape.columns) == 1 else _find_delimiter(first)
    delimiter = "\t" if is_tsv else delimiter
    delimiter = named[1] if named else delimiter
    skipped = before
    cells = csv.reader(_chain(first, lines), delimiter=delimiter, strict=True)
    header = list(shape.columns)
    while True:
        number = before + 1  # a cell in quotation marks may hold line breaks: this is the row's first line
        try:
            row = next(cells, None)
        except csv.Error as error:
            remedy = (
                "Put cells with commas, quotation marks or line breaks in quotation marks, and double those inside."
            )
            yield InputError(f"{path}:{number}: not a row of a table: {error}.", remedy)
            return
        before = cells.line_num + skipped
        if row is None:
            return
        if not header:
            header = _check_header(path, row)
        elif any(cell.strip() for cell in row):
            made = _make_row(f"{path}:{number}", number, header, row)
            if isinstance(made, InputError) and shape.columns:
                made.below = ("columns",)
            yield made


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _decode(path: Path, file: Iterable[bytes]) -> Iterator[str]:
    for number, raw in enumerate(file, 1):
        if number == 1 and b"\r" in raw.rstrip(b"\r\n"):
            remedy = "Save the file as CSV (UTF-8) with the line ends of Windows or Unix."
            raise InputError(f"{path}: its lines end with a carriage return alone, as on old Macs.", remedy)
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = raw[error.start]
            raise InputError(
                f"{path}:{number}: not UTF-8 text (the byte {byte:#04x}).", "Save the file as UTF-8 (Excel: CSV UTF-8)."
            ) from None


def _find_delimiter(header: str) -> str:
    """Return the character between cells: the most frequent one of the header. A single column needs none."""
    found = max(",;\t|", key=header.count)
    return found if found in header else _NONE


def _check_header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() or f"column_{number}" for number, cell in enumerate(cells, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the header names {', '.join(map(repr, twice))} twice.", "Rename one of the columns.")
    return names


def _make_row(where: str, number: int, header: list[str], cells: list[str]) -> Row | InputError:
    while len(cells) > len(header) and not cells[-1].strip():  # spreadsheets write empty cells at the end
        cells.pop()
    if len(cells) != len(header):
        return InputError(
            f"{where}: the row has {len(cells)} cells, and the header {len(header)}.",
            "Put cells that hold the separator in quotation marks, or correct the row.",
        )
    return Row(where, number, dict(zip(header, cells, strict=True)))


def _read_parquet(path: Path, file: BinaryIO, shape: Shape) -> Rows:
    try:
        import pyarrow
        import pyarrow.parquet as parquet

        from society.tasks.parquet_values import to_json
    except ImportError:
        raise MissingExtraError(f"The Parquet file {path}", "pyarrow", "tables") from None
    number = 0
    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=BATCH):
            kinds = {field.name: field.type for field in batch.schema}
            for values in batch.to_pylist():
                number += 1
                plain = {str(name): to_json(value, kinds[name]) for name, value in values.items()}
                yield Row(f"{path}, row {number}", number, plain)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {error!s:.200}.", "Write the file again.") from None


_READERS: Mapping[Format, Callable[[Path, BinaryIO, Shape], Rows]] = {
    "csv": _read_table,
    "tsv": _read_table,
    "json": _read_json,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}


_TABLE = re.compile(r"\.[ct]sv:\d+$", re.IGNORECASE)
"""Matches the place of a row of a CSV or TSV file."""


def _is_no_name(cell: str) -> bool:
    """Return whether a cell of a header is more likely a value: a number, or a text of four words or more."""
    return len(cell.split()) > 3 or bool(re.fullmatch(r"[-+]?\d+(?:[.,]\d+)?", cell.strip()))


class AbsentFieldError(InputError):
    """A field that a row lacks. `known`: fields of the row, in words."""

    known: str = ""


def explain_absent(row: Row, name: str, key: str, *below: str | int) -> AbsentFieldError:
    """Return the error for a field that a row lacks. `key` is the key of the task that names the field, at `below`."""
    near = find_near(name, row.values)
    hint = f" Did you mean {near!r}?" if near else ""
    if not near and _TABLE.search(row.where) and any(map(_is_no_name, row.values)):
        hint = " If the file has no header line, name its columns in `task.columns`."
    known = ", ".join(map(str, row.values))
    error = AbsentFieldError(
        f"{row.where}: the row has no field {name!r}; it has {known:.300}.",
        f"Correct the name of the field in the task (`task.{key}`).{hint}",
        (key, *below),
    )
    error.known = known
    return error
