"""Reads the SQLite file of a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from society.core.errors import RunFolderError, StoreError
from society.core.types import Turn, Usage
from society.store.opening import require_resumable
from society.store.rows import (
    ADAPTERS,
    EXAMPLES,
    META,
    RESULTS,
    TEXTS,
    TURNS,
    AdapterRow,
    ExampleRow,
    ResultRow,
    Row,
    Split,
    read_adapter,
    read_result,
    read_turn,
)
from society.store.table import Table
from society.store.validate import LARGEST_VALUE, NO_STORE, TOO_LARGE, check_examples, check_values, refuse

EVALUATION = "item IN (SELECT item FROM results WHERE split = 'evaluation')"
"""Condition of rows about evaluation questions. Iteration 0 always has them."""
_Record = TypeVar("_Record")


def _read_without_texts(row: Row) -> Turn:
    return read_turn(row, lambda key: "")


class StoreReader:
    """The turns, results and trainings of an open store.

    In the methods, `where` is SQL over the columns of the table, and `values` are its parameters.
    """

    _path: Path
    _db: sqlite3.Connection
    _whole: bool
    """Whether the store was checked when it was opened. Otherwise, rows are checked before they are read."""

    def require_resumable(self) -> None:
        """Raise `RunFolderError` if the store is of a version whose runs can be read but not resumed."""
        require_resumable(self._path, self.meta()["store_version"])

    def turns(self, where: str = "1", values: Sequence[object] = ()) -> Iterator[Turn]:
        """Return turns in the order of iteration, item and sample, then as committed."""
        self._check(TURNS, where, values)
        text_of = lru_cache(maxsize=10_000)(self._text)
        query = f"SELECT * FROM turns WHERE {where} ORDER BY iteration, item, sample, rowid"
        return self._read(lambda row: read_turn(row, text_of), query, values)

    def count(self, where: str = "1") -> int:
        """Return the number of turns."""
        return int(str(self._one(f"SELECT count(*) FROM turns WHERE {where}")))

    def spent(self) -> list[tuple[str, str, Usage]]:
        """Return the tokens of turns that this run generated, by phase and agent."""
        counts = ("prompt_tokens", "generated_tokens", "cached_tokens")
        sums = ", ".join(f"total({name}) AS {name}" for name in counts)
        query = f"SELECT phase, agent, {sums} FROM turns WHERE reused = 0 GROUP BY phase, agent"

        def read(row: Row) -> tuple[str, str, Usage]:
            return (
                row["phase"],
                row["agent"],
                Usage(int(row["prompt_tokens"]), int(row["generated_tokens"]), int(row["cached_tokens"])),
            )

        return list(self._read(read, query))

    def totals(self) -> tuple[int, int, float]:
        """Return the number of turns, their generated tokens and their seconds of a backend."""
        query = "SELECT count(*) AS turns, total(generated_tokens) AS tokens, total(seconds) AS seconds FROM turns"
        [found] = self._read(lambda row: (int(row["turns"]), int(row["tokens"]), float(row["seconds"])), query)
        return found

    def count_debates(self, split: Split) -> dict[int, int]:
        """Return the number of finished debates of a split by iteration."""
        query = "SELECT iteration, count(*) AS debates FROM results WHERE split=? GROUP BY iteration ORDER BY iteration"
        return dict(self._read(lambda row: (int(row["iteration"]), int(row["debates"])), query, (split,)))

    def evaluated_with(self, iteration: int) -> set[tuple[str, str, str | None]]:
        """Return phase, agent and adapter hash of the stored turns about evaluation questions of an iteration."""
        query = f"SELECT DISTINCT phase, agent, adapter FROM turns WHERE iteration=? AND {EVALUATION}"
        return set(self._read(lambda row: (row["phase"], row["agent"], row["adapter"]), query, (iteration,)))

    def failed_iterations(self) -> list[int]:
        """Return the iterations with a failed turn."""
        query = "SELECT DISTINCT iteration FROM turns WHERE status = 'failed' ORDER BY iteration"
        return list(self._read(lambda row: int(row["iteration"]), query))

    def results(self, where: str = "1", values: Sequence[object] = ()) -> Iterator[ResultRow]:
        """Return how each debate ended, in the order of iteration, item and sample."""
        self._check(RESULTS, where, values)
        query = f"SELECT * FROM results WHERE {where} ORDER BY iteration, item, sample"
        return self._read(read_result, query, values)

    def position(self) -> tuple[int, int]:
        """Return the last row ids of turns and results. Rows that are written later have these or higher ones."""
        last = [self._one(f"SELECT coalesce(max(rowid), 0) FROM {table}") for table in ("turns", "results")]
        return int(str(last[0])), int(str(last[1]))

    def adapters(self) -> list[AdapterRow]:
        """Return every training, in the order of iteration, learner and agent."""
        self._check(ADAPTERS)
        query = "SELECT * FROM adapters ORDER BY iteration, learner, agent"
        return list(self._read(read_adapter, query))

    def examples(self, where: str = "1", values: Sequence[object] = ()) -> list[ExampleRow]:
        """Return the origin of training rows, in the order of iteration, learner, agent and number."""
        self._check(EXAMPLES, where, values)
        check_examples(self._db, self._path)
        query = f"SELECT * FROM examples WHERE {where} ORDER BY iteration, learner, agent, number"
        return list(self._read(EXAMPLES.read, query, values))

    def meta(self) -> dict[str, str]:
        """Return facts about the run by name: resolved scenario, versions, model hashes."""
        self._check(META)
        return {fact.name: fact.value for fact in self._read(META.read, "SELECT * FROM meta")}

    def debates(self, split: str) -> list[tuple[int, str, int]]:
        """Return iteration, item and sample of each finished debate of a split, in the order of `results`."""
        self._check(RESULTS, "split=?", (split,))
        query = "SELECT iteration, item, sample FROM results WHERE split=? ORDER BY iteration, item, sample"
        return list(self._read(lambda row: (row["iteration"], row["item"], row["sample"]), query, (split,)))

    def raw_rows(self, table: Table[Any]) -> Iterator[Row]:
        """Yield the values of each row of a table as they are stored, by column, in the order of insertion."""
        return self._read(lambda row: row, f"SELECT * FROM {table.name}" + " ORDER BY rowid" * table.ordered)

    def recalling(self, item: str) -> list[str]:
        """Return the items with a turn whose prompt showed a memory of this item."""
        query = (
            "SELECT DISTINCT item FROM turns WHERE EXISTS ("
            "SELECT 1 FROM json_each(turns.recalls) AS past WHERE json_extract(past.value, '$[0]') = ?)"
        )
        return list(self._read(lambda row: str(row["item"]), query, (item,)))

    def quoting(self, texts: Sequence[str], calls: bool = False) -> list[str]:
        """Return the items with a turn whose prompt or reply contains one of these texts. `calls`: or a call of it."""
        query = (
            "SELECT DISTINCT item FROM turns WHERE instr(text, ?1) OR instr(thought, ?1) OR EXISTS ("
            "SELECT 1 FROM json_each(turns.messages) AS message JOIN texts"
            " ON lower(hex(texts.key)) = json_extract(message.value, '$[1]') WHERE instr(texts.text, ?1))"
        )
        if calls:
            query += " OR EXISTS (SELECT 1 FROM json_tree(turns.calls) AS part WHERE instr(part.atom, ?1))"
        found = [item for text in texts for item in self._read(lambda row: str(row["item"]), query, (text,))]
        return list(dict.fromkeys(found))

    def is_reply(self, text: str) -> bool:
        """Return whether a turn has exactly this text or thought."""
        query = "SELECT 1 AS found FROM turns WHERE text = ?1 OR thought = ?1 LIMIT 1"
        return bool(list(self._read(lambda row: row["found"], query, (text,))))

    def check_rows(self) -> None:
        """Read every row. Raises `RunFolderError` for one that this program did not write."""
        readers: dict[str, Callable[[Row], object]] = {
            "texts": TEXTS.read,
            "turns": _read_without_texts,
            "results": read_result,
            "adapters": read_adapter,
            "examples": EXAMPLES.read,
        }
        for table, read in readers.items():
            for _ in self._read(read, f"SELECT * FROM {table}"):
                pass

    def _read(
        self,
        read: Callable[[Row], _Record],
        query: str,
        values: Sequence[object] = (),
        other: tuple[Path, sqlite3.Connection] | None = None,
    ) -> Iterator[_Record]:
        """Yield the record of each row of a query on this run's store, or on that of another run.

        Raises `RunFolderError` at a row that this program did not write.
        """
        path, db = other or (self._path, self._db)
        try:
            for row in db.execute(query, values):
                yield read(row)
        except sqlite3.DataError as error:
            raise refuse(path, TOO_LARGE) from error
        except (ValueError, KeyError, RecursionError) as error:
            raise refuse(path, str(error)) from error
        except sqlite3.Error as error:
            raise explain(path, error, other is None) from error

    def _text(self, key: bytes) -> str:
        self._check(TEXTS, "key=?", (key,))
        texts = list(self._read(TEXTS.read, "SELECT * FROM texts WHERE key=?", (key,)))
        return texts[0].text if texts else "(this text is missing from the store)"

    def _one(self, query: str) -> object:
        found = list(self._read(lambda row: next(iter(row.values())), query))
        return found[0] if found else None

    def _check(self, table: Table[Any], where: str = "1", values: Sequence[object] = ()) -> None:
        """Raise `RunFolderError` for a wrong value in these rows, unless the whole store was checked."""
        if self._whole:
            return
        try:
            check_values(self._db, self._path, table, where, values)
        except sqlite3.DataError as error:
            raise refuse(self._path, TOO_LARGE) from error
        except sqlite3.Error as error:
            raise explain(self._path, error) from error


def explain(path: Path, error: Exception, of_this_run: bool = True) -> StoreError | RunFolderError:
    """Return the error of a store for people. A store of another run is only read."""
    if "not a database" in str(error) or "no such table" in str(error) or "malformed" in str(error):
        return RunFolderError(f"{path} is no run store: {error}.", NO_STORE)
    if "decode to UTF-8" in str(error):
        return refuse(path, "it holds a text that is not UTF-8")
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | ValueError | OverflowError):
        size = f" (the maximum size is {LARGEST_VALUE:,} bytes)" * isinstance(error, sqlite3.DataError)
        return StoreError(
            f"The run store {path} refused a value: {error}{size}.",
            "The backend or the task returned a value out of its bounds; report it. What was stored is safe.",
        )
    if not of_this_run:
        return RunFolderError(
            f"The run store {path}, whose turns are reused, cannot be read: {error}.",
            "Check its permissions, leave its folder out of --reuse, or move it out of the folder earlier/.",
        )
    if not path.exists():
        return StoreError(
            f"The run store {path} cannot be made: {error}.", "Check free space and permissions, then run again."
        )
    return StoreError(
        f"The run store {path} cannot be used: {error}.",
        "Check free space and permissions, then try again; a run goes on with --resume (Python: resume=True). "
        "What was stored is safe.",
    )
