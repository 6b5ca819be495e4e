"""Questions from files: CSV, TSV, JSON, JSONL, Parquet, a folder of these, or a data set of the hub.

{kind: file, path: trivia.csv}
{kind: file, path: exam.tsv, choices: [A, B, C, D], gold: key}
{kind: file, path: results.json, rows: data.examples, question: input, gold: "answers[0].text"}
{kind: file, path: "hub:openai/gsm8k", config: main, split: test, gold_extract: [hash], answer: {equal: numeric}}

By default an answer is parsed from a sentence and compared word by word. `answer.equal` selects numbers, mathematics or
choices instead. `society.tasks.dataset` has named data sets, whose fields are known.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from society.answers.equal import Equality
from society.answers.extract import Extractor
from society.answers.format import AnswerFormat, AnswerOptions
from society.components.facts import Reasons, TaskFacts
from society.core.errors import InputError
from society.core.hub_cache import commit_of
from society.core.paths import HUB, DataPath, ReadablePath, Revision
from society.core.types import Item
from society.tasks.base import Task
from society.tasks.data_files import Wanted, list_files, split_of
from society.tasks.hub import cached_files, describe_source
from society.tasks.layout import Layout, Names
from society.tasks.readers import Format, Shape, explain_absent, find_form
from society.tasks.remarks import remark_golds, remark_options, remark_unscored
from society.tasks.row_source import Place, Plain, RowSource
from society.tasks.signs import asks_for_sign

CHOICE = AnswerFormat(extract=("choice", "boxed", "candidates"), equal="choice")
STATEMENT = AnswerFormat(extract=("boxed", "hash", "statement"), equal="words")
_EXTRACTORS: Mapping[Equality, tuple[Extractor, ...]] = {
    "numeric": ("boxed", "hash", "last_number"),
    "math": ("boxed", "hash", "line"),
    "choice": ("choice", "boxed"),
}
"""Default extractors, by how answers are compared."""


class RowTask(Task):
    """A task whose questions are rows of files.

    A question that several rows repeat is used once. Repeated questions with different answers are an error.
    """

    where: dict[str, Plain | list[Plain]] = Field(default_factory=dict)
    """Filter: use only rows whose fields have this value, or one of these values."""

    @property
    @abstractmethod
    def place(self) -> Place:
        """The place of the data."""

    @abstractmethod
    def open(self) -> RowSource:
        """Return the rows, after a download if necessary. Raises `InputError` if they cannot be read."""

    @property
    def origin(self) -> str:
        source, _, revision = self.place
        return str(source) if isinstance(source, Path) else describe_source(source, revision)

    @property
    def missing(self) -> str:
        source, wanted, revision = self.place
        if isinstance(source, Path) or cached_files(source.removeprefix(HUB), wanted, revision):
            return ""
        return f"{self.origin} is not in the local cache, so its questions are not checked; `society run` downloads it"

    def find_commit(self) -> str:
        source, wanted, revision = self.place
        files = [] if isinstance(source, Path) else cached_files(source.removeprefix(HUB), wanted, revision)
        return commit_of(files[0]) if files else ""

    def questions(self, seed: int) -> Iterable[Item]:
        """Yield the rows that match `where`, in the order of the files.

        Raises `InputError`, with file and line, for an invalid row.
        """
        try:
            for item in self.open().items(seed, self.answer.secret):
                if isinstance(item, InputError):
                    raise item
                yield item
        except InputError as error:
            self._place(error)
            raise

    def find_hidden(self) -> Mapping[str, str]:
        judged = "is for the rule of `task.answer`, and prompts may not show it; remove it here"
        return dict.fromkeys(self.answer.secret, judged) | self.open().layout.hidden

    def flaws(self, seed: int) -> Iterator[InputError]:
        """Yield the error of each row that cannot be used."""
        found = self.open().items(seed, self.answer.secret)
        return (self._place(item) for item in found if isinstance(item, InputError))

    def locate(self, item: Item | None) -> tuple[str | int, ...]:
        return ("name",) if getattr(self, "path", None) is None else ("path",)

    def _place(self, error: InputError) -> InputError:
        """Return the error, at the path of the data if it names no field."""
        error.below = error.below or self.locate(None)
        return error

    def remarks(self, items: Sequence[Item]) -> Iterator[str]:
        """Yield each likely mistake in how the true answers and the options are given, with the remedy."""
        source = self.open()
        if source.layout.gold is not None:
            yield from remark_unscored(self, source.layout.gold, items)
        if source.layout.has_options:
            yield from remark_options(source, items)
            yield from super().remarks(items)
        else:
            yield from remark_golds(self, items, "`gold_extract: [statement]` finds it in a sentence")
            yield from source.signs.remarks()


def find_format(choices: bool, given: AnswerOptions) -> AnswerFormat:
    """Return the rules of questions of any kind: with `choices`, those of options; else by the comparison `given`."""
    if choices:
        return CHOICE.override(given)
    extract = _EXTRACTORS.get(given.equal) if given.equal is not None else None
    standard = STATEMENT.model_copy(update={"extract": extract}) if extract else STATEMENT
    return standard.override(given)


class LaidOutTask(Layout, RowTask):
    """A task whose scenario says which fields hold the question, the options and the true answer."""

    standard: ClassVar[AnswerFormat] = STATEMENT
    lenient: ClassVar[bool] = False
    """Whether an index counts from 0 where the data leave that open."""

    @cached_property
    def format(self) -> AnswerFormat:
        """Rules that parse and compare answers, by `choices` and `answer`."""
        return find_format(self.has_options, self.answer)

    @property
    def shape(self) -> Shape:
        """The shape of the files."""
        return Shape()

    @property
    def lists_answers(self) -> bool:
        return self.has_options

    @property
    def uses_seed(self) -> bool:
        return super().uses_seed or self.draws_options

    def open(self) -> RowSource:
        """Return the rows. Raises `InputError`, too, for a field in `gold` or `hide` that no row has."""
        source = RowSource(
            self.place,
            [self.shape],
            lambda row: self,
            self.where,
            self.lenient,
            open_signs=asks_for_sign(self),
            decimal=self.format.sign,
        )
        if "gold" in self.model_fields_set and self.gold is not None and (row := source.first_without(self.gold)):
            raise explain_absent(row, self.gold, "gold")
        for i, field in enumerate(self.hide):
            if (row := source.first_without(field)) is not None:
                raise explain_absent(row, field, "hide", i)
        return source

    def idle(self, facts: TaskFacts) -> Reasons:
        says = "has no effect"
        if not self.has_options:
            unused = [name for name in ("gold_as", "labels", "shuffle_choices", "max_choices") if getattr(self, name)]
            return dict.fromkeys(unused, f"{says}: the questions have no `choices`; remove it")
        reasons: dict[str, str] = {}
        if self.labels and not isinstance(self.choices, str):
            reasons["labels"] = f"{says}: the options are no list in one field; remove it"
        if self.gold_extract:
            why = f"{says}: of a question with `choices` the true answer is an index, a letter or an option"
            reasons["gold_extract"] = f"{why}; remove it"
        if self.gold_as and self.gold_is_option:
            reasons["gold_as"] = f"{says}: the field `gold` is the right option itself; remove it"
        if "{" in self.question and not self._shows_options and not facts.choices_shown:
            why = "is shown to nobody: neither `question` nor a prompt has it"
            name = self.choices if isinstance(self.choices, str) else "choices"
            reasons["choices" if self.choices else "options"] = f"{why}; write {{{name}}} in `question`"
        return reasons

    @property
    def _shows_options(self) -> bool:
        return "{choices}" in self.question or f"{{{self.choices}}}" in self.question


class File(LaidOutTask):
    """Questions from a file (CSV, TSV, JSON, JSONL or Parquet), a folder of files, or a data set of the hub.

    Questions without a true answer are asked and not scored. A question that several rows repeat is used once.
    """

    kind: Literal["file"] = "file"
    path: DataPath
    """Path of the file or folder, relative to the scenario, or hub:OWNER/NAME for a data set of the hub."""
    read_as: Format | None = None
    """Format of the file: csv, tsv, json, jsonl or parquet. By default by the ending of its name."""
    rows: str | None = None
    """Path of the list of rows in a JSON file, such as data.examples. By default the whole file, or its only list."""
    columns: Names = ()
    """Names of the columns of a CSV or TSV file without a header line."""
    config: str | None = None
    """Configuration of a data set: its folder or the beginning of its file's name; "*" for all."""
    split: str | None = None
    """Split of a data set, such as test, by the names of its files."""
    revision: Revision | None = None
    """Branch, tag or commit of a data set of the hub. By default main."""

    @property
    def place(self) -> Place:
        return Place(self.path, Wanted(self.config, self.split), self.revision)

    def locate(self, item: Item | None) -> tuple[str | int, ...]:
        """Return the path of the data, or `read_as` if it is another format than that of the file's name."""
        form = find_form(self.path) if isinstance(self.path, Path) else None
        return super().locate(item) if self.read_as is None or form in (None, self.read_as) else ("read_as",)

    @property
    def shape(self) -> Shape:
        return Shape(self.read_as, self.rows, self.columns)

    def idle(self, facts: TaskFacts) -> Reasons:
        reasons = {**super().idle(facts), **explain_unused(self.path, self)}
        form = self.read_as or (find_form(self.path) if isinstance(self.path, Path) and self.path.is_file() else None)
        for field, forms in (("columns", ("csv", "tsv")), ("rows", ("json",))):
            if getattr(self, field) and form is not None and form not in forms:
                reasons[field] = f"has no effect: the rows of a {form} file are found without it; remove it"
        return reasons


def explain_unused(path: Path | str | None, task: RowTask) -> Reasons:
    """Return why `revision`, `config` and `split` of a task have no effect where `path` names files of this machine."""
    local = isinstance(path, Path)
    reasons = {"revision": "has no effect: `path` is no data set of the hub; remove it"} if local else {}
    if isinstance(path, Path) and path.is_file():
        why = "has no effect: `path` is one file, which is read whole; give its folder, or remove it"
        reasons |= dict.fromkeys(("config", "split"), why)
    elif isinstance(path, Path) and path.is_dir() and not any(map(split_of, list_files(path))):
        reasons["split"] = (
            "has no effect: no name of a file in the folder shows a split; rename the files, or remove it"
        )
    return {name: why for name, why in reasons.items() if getattr(task, name) is not None}


class Jsonl(LaidOutTask):
    """Questions from a JSONL file: one JSON object per line. The same as `file`, for this format alone.

    A question that several rows repeat is used once. Repeated questions with different answers are an error.
    """

    kind: Literal["jsonl"] = "jsonl"
    path: ReadablePath
    """Path of the file, relative to the scenario."""

    lenient: ClassVar[bool] = True

    @property
    def place(self) -> Place:
        return Place(self.path, Wanted())

    @property
    def shape(self) -> Shape:
        return Shape("jsonl")
