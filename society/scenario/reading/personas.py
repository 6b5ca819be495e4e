"""Personas from a file: `personas: FILE` of a group becomes `persona` and `count` before the scenario is validated.

A CSV, TSV, JSON, JSONL, Parquet or YAML file has one persona a row. A persona is a mapping of the columns, or a text if
the only column is `persona`. Columns of a table in which all cells are numbers become numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from society.core.errors import InputError, SocietyError
from society.core.paths import find_allowed
from society.core.plain import count
from society.core.problems import Place, Problem, find_similar_file, make_problem
from society.scenario.reading.source import Node, UnreadableError, compose, read_text
from society.tasks.readers import ENDINGS, Row, Shape, read_rows

MOST_PERSONAS = 100_000
"""Maximum number of personas of a file, the maximum `count` of a group."""
MOST_CHARACTERS = 5_000_000
"""Maximum number of characters of all personas of a file, as a run stores them with its scenario."""
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?")
TABLES = (".csv", ".tsv", ".tab")
"""Endings of files in which all cells are text."""
_LINE = re.compile(r":(\d+):")
TEXT = "persona"
"""Column that has the text of a persona."""


def expand_personas(root: Node, folders: Sequence[Path], problems: list[Problem]) -> Node:
    """Return the tree in which the personas of each file stand in place of its name.

    Paths are relative to the first of `folders`. A file that cannot be read adds a problem, and its name stays.
    """
    agents = root.value.get("agents") if isinstance(root.value, dict) else None
    if agents is None or not isinstance(agents.value, dict):
        return root
    found = {name: _expand(name, spec, folders, problems) for name, spec in agents.value.items()}
    return replace(root, value={**root.value, "agents": replace(agents, value=found)})


def _expand(name: str, spec: Node, folders: Sequence[Path], problems: list[Problem]) -> Node:
    link = spec.value.get("personas") if isinstance(spec.value, dict) else None
    if link is None or not isinstance(link.value, str | list):
        return spec
    try:
        if isinstance(link.value, list):
            raise UnreadableError(link.key, "is the path of a file; write a list of personas as `persona`")
        if "persona" in spec.value:
            later = next(name for name in reversed(spec.value) if name in ("persona", "personas"))
            raise UnreadableError(
                spec.value[later].key, "`personas` and `persona` exclude each other; remove one of them"
            )
        rows = _read(link, folders, problems)
    except UnreadableError as error:
        problems.append(replace(error.problem, path=f"agents.{name}.personas"))
        return spec
    wanted = spec.value.get("count")
    if wanted is None:
        wanted = replace(link, value=len(rows), size=1, style="")
    elif isinstance(wanted.value, int):
        if wanted.value > len(rows):
            message = f"exceeds the {count(len(rows), 'persona')} of the file, so agents share personas; lower it"
            problems.append(make_problem(wanted.place, f"agents.{name}.count", message, level="warning"))
        rows = rows[: wanted.value]
    personas = replace(link, value=rows, size=1 + sum(row.size for row in rows), style="")
    others = {key: value for key, value in spec.value.items() if key != "personas"}
    return replace(spec, value={**others, "persona": personas, "count": wanted})


def _read(link: Node, folders: Sequence[Path], problems: list[Problem]) -> list[Node]:
    """Return the personas of a file. Raises `UnreadableError` for a file that has none, too many, or no rows."""
    try:
        path = find_allowed(Path(link.value), folders)
    except ValueError as error:
        raise UnreadableError(link.place, str(error)) from None
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UnreadableError(link.place, f"is no file of personas; use one of {', '.join(_READERS)}")
    if not path.is_file():
        near = find_similar_file(path)
        remedy = f"did you mean {near!r}?" if near else "correct the path"
        raise UnreadableError(link.place, f"the file does not exist, or is no file; {remedy}")
    rows = [_simplify(row) for row in read(path, problems)]
    if not rows:
        raise UnreadableError(link.place, "the file has no personas; write one a row below the names of the columns")
    if len(rows) > MOST_PERSONAS:
        raise UnreadableError(link.place, f"the file has more than {MOST_PERSONAS:,} personas; split it")
    if sum(len(str(row.plain())) for row in rows) > MOST_CHARACTERS:
        message = f"the personas have more than {MOST_CHARACTERS:,} characters; leave out columns or rows"
        raise UnreadableError(link.place, message)
    return rows


def _simplify(row: Node) -> Node:
    """Return the text of a persona that is nothing else."""
    alone = isinstance(row.value, dict) and set(row.value) == {TEXT}
    return row.value[TEXT] if alone else row


def _read_file(path: Path, problems: list[Problem]) -> Iterator[Node]:
    """Yield the rows of a table or of JSON data. Raises `UnreadableError` at the first row that cannot be read."""
    rows: list[Row] = []
    try:
        for row in read_rows(path, Shape()):
            if isinstance(row, InputError):
                raise row
            rows.append(row)
            if len(rows) > MOST_PERSONAS:
                break
    except SocietyError as error:
        cause = error.cause.removeprefix(str(path))
        line = _LINE.match(cause)
        place = Place(str(path), int(line[1]) if line else 1, 1)
        raise UnreadableError(place, f"{cause.removeprefix(line[0] if line else ':').strip()} {error.remedy}") from None
    table = path.suffix.lower() in TABLES
    columns = rows[0].values if rows and table else ()
    kinds = {name: _find_kind([row.values[name].strip() for row in rows]) for name in columns}
    problems += [found for name in columns if kinds[name] is str for found in _find_odd_cell(path, name, rows)]
    for row in rows:
        values = {name: kinds[name](cell.strip()) for name, cell in row.values.items()} if table else row.values
        yield _node(values, Place(str(path), row.number, 1))


def _find_kind(cells: list[str]) -> Callable[[str], Any]:
    """Return the type of a column: int or float if all cells are plain numbers, otherwise str. "007" is no number."""
    for kind, pattern in ((int, _INTEGER), (float, _DECIMAL)):
        if cells and all(map(pattern.fullmatch, cells)):
            return kind
    return str


def _find_odd_cell(path: Path, name: str, rows: Sequence[Row]) -> Iterator[Problem]:
    """Yield a warning at the first cell that makes a column of numbers text: one in which most cells are numbers."""
    odd = [row for row in rows if not _DECIMAL.fullmatch(row.values[name].strip())]
    if odd and 2 * len(odd) < len(rows):
        cell = odd[0].values[name].strip()
        message = (
            f"the column {name!r} is text, as {count(len(odd), 'cell')} of {len(rows)} is no number, "
            f"such as {cell!r:.60}; write a number there to compare the column with numbers"
        )
        yield make_problem(Place(str(path), odd[0].number, 1), "", message, level="warning")


def _read_yaml(path: Path, problems: list[Problem]) -> Iterator[Node]:
    """Yield the entries of a YAML list. Raises `UnreadableError` for another document."""
    found = compose(read_text(path), str(path), problems)
    if not isinstance(found.value, list):
        raise UnreadableError(found.place, "is no list of personas; write one entry with a dash for each")
    yield from found.value


_READERS: Mapping[str, Callable[[Path, list[Problem]], Iterator[Node]]] = {
    **dict.fromkeys(ENDINGS, _read_file),
    **dict.fromkeys((".yaml", ".yml"), _read_yaml),
}


def _node(value: Any, place: Place) -> Node:
    """Return JSON data as nodes that are all at one place."""
    if isinstance(value, dict):
        inner = {str(key): _node(item, place) for key, item in value.items()}
        return Node(inner, place, place, 1 + sum(node.size for node in inner.values()))
    if isinstance(value, list):
        items = [_node(item, place) for item in value]
        return Node(items, place, place, 1 + sum(node.size for node in items))
    return Node(value, place, place)
