"""A source of rows, opened for one reading: its files, their shape, their layout and the form of true answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from society.answers.decimals import Decimal, find_numeral
from society.core.errors import InputError
from society.core.field_paths import ABSENT, find
from society.core.paths import HUB
from society.core.types import Item
from society.tasks.data_files import Wanted, choose_files, list_files
from society.tasks.hub import fetch_files
from society.tasks.layout import Layout
from society.tasks.options import FormFinder
from society.tasks.readers import Row, Shape, explain_absent, read_rows
from society.tasks.row_reader import RowReader
from society.tasks.signs import SignFinder

Plain = str | int | float | bool | None
Where = Mapping[str, Plain | list[Plain]]


class Place(NamedTuple):
    """The place of a data set."""

    source: Path | str
    """A file, a folder, or hub:OWNER/NAME."""
    wanted: Wanted
    revision: str | None = None
    """Branch, tag or commit of a data set of the hub."""


class RowSource:
    """The rows of a place that match `where`.

    `shapes` are tried until `layout_of` returns a layout for the first row, instead of raising `InputError`. `lenient`
    is that of `FormFinder`. `open_signs`: the true answers are numbers whose decimal sign the rows have to show.
    `decimal` is that of `RowReader`.
    """

    def __init__(
        self,
        place: Place,
        shapes: Sequence[Shape],
        layout_of: Callable[[Row], Layout],
        where: Where,
        lenient: bool = False,
        open_signs: bool = False,
        decimal: Decimal | None = None,
    ) -> None:
        self.place, self.lenient, self._where, self._open_signs = place, lenient, where, open_signs
        self._decimal = decimal
        self._files = list(_find_files(place))
        self._shape, self.layout = self._choose(shapes, layout_of)

    def items(self, seed: int, secret: Sequence[str] = ()) -> Iterator[Item | InputError]:
        """Yield the question of each row, and an error for each row without one. Prompts do not see `secret` fields.

        Raises `InputError` where no row is left, or the form of the true answers is open.
        """
        form = self.finder.choose() if self.layout.needs_form else None
        self.signs.check()
        reader, ids = RowReader(self.layout, seed, form, secret, self._decimal), set[str]()
        empty = True
        for name, row in self._rows():
            empty = False
            item = row if isinstance(row, InputError) else _read(reader, row, name)
            if isinstance(item, Item) and item.id in ids:
                assert isinstance(row, Row)
                message = f"{row.where}: the row repeats the id {item.id!r}."
                item = InputError(message, "Set `task.id` to a field with unique values.", ("id",))
            elif isinstance(item, Item):
                ids.add(item.id)
            yield item
        if empty:
            what = "no row matches `where`" if self._where else "there are no rows"
            below = ("where",) if self._where else ()
            raise InputError(f"{self.place.source}: {what}.", "Check `task.path` and `task.where`.", below)

    def first_without(self, field: str) -> Row | None:
        """Return the first row if no row has this field, or None."""
        first = None
        for _, row in self._rows():
            if isinstance(row, Row):
                first = first or row
                if find(row.values, field) is not ABSENT:
                    return None
        return first

    @cached_property
    def finder(self) -> FormFinder:
        """The forms of the true answers of all rows."""
        finder, reader = FormFinder(self.lenient), RowReader(self.layout, 0)
        for _, row in self._rows():
            try:
                if isinstance(row, Row):
                    finder.add(row.where, reader.given(row), reader.values(row), reader.options(row))
            except InputError:
                continue  # reported when the row is read
        return finder

    @cached_property
    def signs(self) -> SignFinder:
        """The decimal signs of the true answers of all rows."""
        finder, reader = SignFinder(), RowReader(self.layout, 0)
        for _, row in self._rows() if self._open_signs and not self.layout.has_options else ():
            try:
                for value in reader.values(row) if isinstance(row, Row) else ():
                    if isinstance(value, str) and isinstance(row, Row):
                        finder.add(row.where, find_numeral(value, reader.gold(row, value)))
            except InputError:
                continue  # reported when the row is read
        return finder

    def _choose(self, shapes: Sequence[Shape], layout_of: Callable[[Row], Layout]) -> tuple[Shape, Layout]:
        """Return the shape of the files and the layout of their rows. The errors of the first shape are raised."""
        errors: list[InputError] = []
        for shape in (shape._replace(single=shape.single or len(self._files) > 1) for shape in shapes):
            try:
                return shape, layout_of(self._first(shape))
            except InputError as error:
                errors.append(error)
        raise errors[0]

    def _first(self, shape: Shape) -> Row:
        """Return the first row that can be read. Raises the first error where there is none."""
        error = None
        for row in (row for _, path in self._files for row in read_rows(path, shape)):
            if isinstance(row, Row):
                return row
            error = error or row
        raise error or InputError(f"{self.place.source}: there are no rows.", "Check `task.path` and `task.where`.")

    def _rows(self) -> Iterator[tuple[str, Row | InputError]]:
        """Yield each row that matches `where`, with its name, and the errors of the others."""
        for name, path in self._files:
            for row in read_rows(path, self._shape):
                fits = row if isinstance(row, InputError) else self._fits(row)
                if isinstance(row, InputError) or isinstance(fits, InputError):
                    yield "", fits if isinstance(fits, InputError) else row
                elif fits:
                    yield f"{name}-{row.number}", row

    def _fits(self, row: Row) -> bool | InputError:
        for name, wanted in self._where.items():
            value = find(row.values, name)
            if value is ABSENT:
                return explain_absent(row, name, "where", name)
            options = wanted if isinstance(wanted, list) else [wanted]
            # In a CSV file, every value is text.
            if value not in options and not (isinstance(value, str) and value in map(_spell, options)):
                return False
        return True


def _read(reader: RowReader, row: Row, name: str) -> Item | InputError:
    try:
        return reader.read(row, name)
    except InputError as error:
        return error


def _find_files(place: Place) -> Iterator[tuple[str, Path]]:
    """Yield each file, with the name by which ids name its rows."""
    source, wanted = place.source, place.wanted
    if isinstance(source, str):
        files = fetch_files(source.removeprefix(HUB), wanted, place.revision)
        root = next(folder for folder in files[0].parents if all(file.is_relative_to(folder) for file in files))
        yield from ((_name(file.relative_to(root)), file) for file in files)
    elif source.is_dir():
        names = choose_files(list_files(source), wanted, str(source), every_format=True)
        yield from ((_name(Path(name)), source / name) for name in names)
    else:
        yield source.stem, source


def _name(path: Path) -> str:
    return path.with_suffix("").as_posix()


def _spell(value: Plain) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
