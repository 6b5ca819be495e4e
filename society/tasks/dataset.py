"""Questions of a named data set, from the Hugging Face hub or from files on this machine.

{kind: dataset, name: gsm8k, limit: 100}
{kind: dataset, name: mmlu, config: anatomy}
{kind: dataset, name: math, path: MATH/test}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from society.answers.format import AnswerFormat
from society.components.facts import Reasons, TaskFacts
from society.core.errors import InputError
from society.core.paths import HUB, ReadablePath, Revision
from society.core.types import Item
from society.tasks.data_files import Wanted
from society.tasks.datasets import DATASETS, Named
from society.tasks.file import RowTask, explain_unused
from society.tasks.layout import Layout
from society.tasks.readers import Row
from society.tasks.row_source import Place, RowSource


def _known(name: str) -> str:
    if name not in DATASETS:
        raise PydanticCustomError("unknown_dataset", "unknown data set")
    return name


Name = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(DATASETS)})]


class Dataset(RowTask):
    """Questions of a named data set. Its fields, split and rules for answers are known.

    Without `path`, the data set is downloaded from the Hugging Face hub, once. Repeated questions are used once.
    """

    kind: Literal["dataset"] = "dataset"
    name: Name
    """Name of the data set, such as gsm8k."""
    path: ReadablePath | None = None
    """File or folder with the data set, as on the hub or as its authors publish it. By default the hub's."""
    config: str | None = None
    """Configuration, such as a subject; "*" for all. By default that of the table of data sets."""
    split: str | None = None
    """Split, such as train. By default that of the table of data sets."""
    revision: Revision | None = None
    """Branch, tag or commit on the hub. By default main."""

    @property
    def named(self) -> Named:
        """The entry of the table of data sets."""
        return DATASETS[self.name]

    @property
    def standard(self) -> AnswerFormat:  # type: ignore[override]  # one of each data set, and not of the class
        """Default rules that parse and compare the answers of this data set."""
        return self.named.answer

    @property
    def licence(self) -> str:
        return self.named.licence

    @property
    def lists_answers(self) -> bool:
        return self.named.layouts[0].has_options

    @property
    def uses_seed(self) -> bool:
        return super().uses_seed or any(layout.draws_options for layout in self.named.layouts)

    @property
    def place(self) -> Place:
        config, split = self.config or self.named.config, self.split or self.named.split
        if self.path is None:
            return Place(f"{HUB}{self.named.hub}", Wanted(config, split), self.revision)
        return Place(self.path, Wanted(self.config, split, usual=self.named.config))

    def open(self) -> RowSource:
        return RowSource(self.place, self.named.shapes, self._layout_of, self.where, decimal=self.format.sign)

    def _layout_of(self, row: Row) -> Layout:
        for layout in self.named.layouts:
            if layout.fits(row):
                return layout
        raise InputError(
            f"{row.where}: these are not the fields of {self.name}: {', '.join(map(str, row.values)):.300}.",
            "Correct `task.path` or `task.name`, or describe the fields with `kind: file`.",
        )

    def flaws(self, seed: int) -> Iterator[InputError]:
        return map(self._describe, super().flaws(seed))

    def questions(self, seed: int) -> Iterable[Item]:
        try:
            yield from super().questions(seed)
        except InputError as error:
            raise self._describe(error) from None

    def _describe(self, error: InputError) -> InputError:
        """Return the error of a row with a remedy that this task has: the fields of a named data set cannot be set."""
        named = re.findall(r"`task\.(\w+)", error.remedy)
        if all(key in type(self).model_fields for key in named):
            return error
        remedy = f"Correct or remove the row, or describe the fields with `kind: file` and `{named[0]}`."
        return InputError(error.cause, remedy, self.locate(None))

    def idle(self, facts: TaskFacts) -> Reasons:
        return explain_unused(self.path, self)
