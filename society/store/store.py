"""The SQLite file of a run: opened, written in grouped commits, read back.

Turns that are finished in the same moment are committed together, once, before any of them is returned: a killed
process loses nothing that anything depended on; a power cut may cost the last moments, never consistency.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from society.core.errors import RunFolderError, StoreError
from society.core.identity import text_key
from society.core.types import GenerateOutput, Turn, TurnId
from society.store.adapters import (
    AdapterRow,
    ExampleRow,
    adapter_values,
    example_values,
    read_adapter,
    read_example,
)
from society.store.migrate import VERSION
from society.store.opening import open_database, outdated
from society.store.rows import (
    DERIVED_COLUMNS,
    TURN_COLUMNS,
    ResultRow,
    derived_values,
    read_result,
    read_turn,
    result_row,
    turn_row,
)
from society.store.validate import check_examples, check_table, refuse_row, sound

_INSERT_TURN = f"INSERT OR REPLACE INTO turns ({', '.join(TURN_COLUMNS)}) VALUES ({', '.join('?' * len(TURN_COLUMNS))})"
_PLACE = "iteration=? AND item=? AND sample=? AND phase=? AND round=? AND agent=?"
_UPDATE_DERIVED = f"UPDATE turns SET {', '.join(f'{column}=?' for column in DERIVED_COLUMNS)} WHERE {_PLACE}"
_UPDATE_ERROR = f"UPDATE turns SET error=? WHERE {_PLACE}"
_DELETE_TURN = f"DELETE FROM turns WHERE {_PLACE}"
_INSERT_RESULT = f"INSERT OR REPLACE INTO results VALUES ({', '.join('?' * 12)})"
_INSERT_ADAPTER = f"INSERT OR REPLACE INTO adapters VALUES ({', '.join('?' * 12)})"
_DELETE_EXAMPLES = "DELETE FROM examples WHERE iteration=? AND learner=? AND agent=?"
_INSERT_EXAMPLE = f"INSERT OR REPLACE INTO examples VALUES ({', '.join('?' * 10)})"
_INSERT_TEXT = "INSERT OR IGNORE INTO texts VALUES (?, ?)"
_KNOWN_TEXTS = 200_000
"""So many text keys are remembered as written, to save writing them again."""


def _lender(path: Path) -> sqlite3.Connection:
    """Open another run's store to take replies from."""
    return open_database(path, read_only=True, older=False)


def _place(turn: TurnId) -> tuple[int, str, int, str, int, str]:
    """The values of `_PLACE`."""
    return turn.iteration, turn.item, turn.sample, turn.phase, turn.round, turn.agent


class Store:
    """One run's turns and results. Use it as a context manager; writing needs a running event loop."""

    def __init__(
        self,
        path: Path,
        reuse: Sequence[Path] = (),
        read_only: bool = False,
        on_change: Callable[[], object] | None = None,
    ) -> None:
        """`reuse` names other runs' stores whose replies are taken over where everything that shaped them is equal.
        `on_change` is called before the first turn is added, or read otherwise than it was."""
        self._path = path
        self._on_change = on_change
        self._reuse_paths = reuse
        self._read_only = read_only
        self._sought = False  # a text was missing, and all of them have been checked
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._known: dict[bytes, None] = {}
        self._debates: dict[tuple[int, str, int], dict[TurnId, Turn]] = {}

    def __enter__(self) -> Self:
        if self._read_only and not self._path.exists():
            raise RunFolderError(f"{self._path.parent} holds no run.", "Name the folder of a run (see `--out`).")
        self._opened = ExitStack()
        try:
            self._db = self._opened.enter_context(closing(self._open()))
            self._others = [self._opened.enter_context(closing(_lender(path))) for path in self._reuse_paths]
            self._resuming = self._one("SELECT EXISTS (SELECT 1 FROM turns)") == 1
        except BaseException as error:
            self._opened.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise self._trouble(error) from error
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc_type is None or not issubclass(exc_type, StoreError):
                self._write()
        finally:
            self._opened.close()

    def _open(self) -> sqlite3.Connection:
        return open_database(self._path, self._read_only, whole=not self._read_only)

    def require_present(self) -> None:
        """Raise `RunFolderError` if an older society wrote this store, so that no run can go on with it."""
        version = self.meta()["store_version"]
        if version != VERSION:
            raise outdated(self._path, version)

    # -- writing

    async def add(self, turn: Turn, reused: bool = False) -> None:
        """Commit a finished turn, together with whatever else is finished at this moment.

        Raises `StoreError` when it cannot be written; nothing written before is lost.
        """
        self._change()
        keys = [self._add_text(message.content) for message in turn.messages]
        self._pending.append((_INSERT_TURN, turn_row(turn, keys, reused)))
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        committed = loop.create_future()
        self._waiting.append(committed)
        await committed

    def _change(self) -> None:
        if self._on_change is not None:
            on_change, self._on_change = self._on_change, None
            on_change()

    def add_result(self, result: ResultRow) -> None:
        """Store how a debate ended; committed with the next turns, at the latest when the store is closed."""
        self._pending.append((_INSERT_RESULT, result_row(result)))

    def add_training(self, adapter: AdapterRow, examples: Sequence[ExampleRow]) -> None:
        """Store a finished training and where its rows come from, at once, in place of an earlier one."""
        self._pending.append((_INSERT_ADAPTER, adapter_values(adapter)))
        self._pending.append((_DELETE_EXAMPLES, (adapter.iteration, adapter.learner, adapter.agent)))
        self._pending += [(_INSERT_EXAMPLE, example_values(row)) for row in examples]
        self._db.execute("PRAGMA synchronous=FULL")  # not even a power cut may cost a training, which took long
        self._write()
        self._db.execute("PRAGMA synchronous=NORMAL")

    def set_meta(self, values: dict[str, str]) -> None:
        """Store facts about the run, at once."""
        self._pending += [("INSERT OR REPLACE INTO meta VALUES (?, ?)", pair) for pair in values.items()]
        self._write()

    def commit(self) -> None:
        """Commit whatever is still waiting. Raises `StoreError` when it cannot be written."""
        self._write()

    def _add_text(self, text: str) -> bytes:
        key = text_key(text)
        if key not in self._known:
            if len(self._known) >= _KNOWN_TEXTS:
                self._known.clear()
            self._known[key] = None
            self._pending.append((_INSERT_TEXT, (key, text.encode("utf-8", "replace").decode())))
        return key

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        failure: StoreError | RunFolderError | None = None
        try:
            self._write()
        except (StoreError, RunFolderError) as error:
            failure = error
        for turn in waiting:
            if turn.done():  # its debate was cancelled
                continue
            if failure is None:
                turn.set_result(None)
            else:
                turn.set_exception(failure)

    def _write(self) -> None:
        if not self._pending:
            return
        try:
            with self._db:
                self._db.execute("BEGIN")
                for statement, values in self._pending:
                    self._db.execute(statement, values)
        except (sqlite3.Error, OSError) as error:
            self._known.clear()
            raise self._trouble(error) from error
        self._pending.clear()

    # -- what is there already

    def find(self, turn: TurnId, key: str) -> GenerateOutput | None:
        """Return the reply of this turn, if it is stored and was shaped by the same things.

        What was read in the reply is left behind: whoever takes it over reads it again.
        """
        if not self._resuming:
            return None
        debate = (turn.iteration, turn.item, turn.sample)
        if debate not in self._debates:
            rows = self._db.execute("SELECT * FROM turns WHERE iteration=? AND item=? AND sample=?", debate)
            self._debates[debate] = {t.id: t for t in (read_turn({**row, "chat": "[]"}, str) for row in rows)}
        found = self._debates[debate].get(turn)
        return found.reply if found and found.key == key else None

    def finish_debate(self, iteration: int, item: str, sample: int, spoken: Iterable[TurnId]) -> None:
        """Free the memory of a finished debate, and delete its stored turns that are not among those `spoken`
        this time: once failed turns are mended, a debate may take another course and end earlier."""
        stored = self._debates.pop((iteration, item, sample), {})
        for turn in stored.keys() - set(spoken) if stored else ():
            self._pending.append((_DELETE_TURN, _place(turn)))

    def update_derived(self, turn: Turn) -> None:
        """Store what this run reads in a reply that `find` returned, and what it was shown, where that has changed."""
        i = turn.id
        values = derived_values(turn)
        if values != derived_values(self._debates[i.iteration, i.item, i.sample][i]):
            self._change()
            self._pending.append((_UPDATE_DERIVED, (*values, *_place(i))))

    def annotate(self, turn: TurnId, text: str) -> None:
        """Store with a turn that did not fail what could not be made of it; committed with the next turns."""
        self._pending.append((_UPDATE_ERROR, (text, *_place(turn))))

    def find_reusable(self, key: str) -> GenerateOutput | None:
        """Return the reply of a turn of another run that was shaped by exactly the same things."""
        for other in self._others:
            row = other.execute("SELECT * FROM turns WHERE key=? AND replied=1 LIMIT 1", (key,)).fetchone()
            if row is not None:
                return read_turn({**row, "chat": "[]", "reads": "[]"}, str).reply
        return None

    # -- reading

    def turns(self, where: str = "1", values: Sequence[object] = ()) -> Iterator[Turn]:
        """Turns, in the order of iteration, item, sample and then as committed; `where` is SQL over the columns."""
        text_of = lru_cache(maxsize=10_000)(self._text)
        query = f"SELECT *, {sound('turns')} AS sound FROM turns WHERE {where} ORDER BY iteration, item, sample, rowid"
        return (read_turn(row, text_of) for row in self._sound_rows("turns", query, values))

    def count(self, where: str = "1") -> int:
        """How many turns there are; `where` is SQL over the columns."""
        return int(str(self._one(f"SELECT count(*) FROM turns WHERE {where}")))

    def results(self, where: str = "1", values: Sequence[object] = ()) -> Iterator[ResultRow]:
        """How each debate ended, in the order of iteration, item and sample; `where` is SQL over the columns."""
        query = f"SELECT * FROM results WHERE {where} ORDER BY iteration, item, sample"
        return (read_result(row) for row in self._rows(query, values))

    def position(self) -> tuple[int, int]:
        """The last row ids of turns and results: whatever is written from now on has these or higher ones."""
        last = [self._one(f"SELECT coalesce(max(rowid), 0) FROM {table}") for table in ("turns", "results")]
        return int(str(last[0])), int(str(last[1]))

    def adapters(self) -> list[AdapterRow]:
        """Every training, in the order of iteration, learner and agent."""
        return [read_adapter(row) for row in self._rows("SELECT * FROM adapters ORDER BY iteration, learner, agent")]

    def examples(self, where: str = "1", values: Sequence[object] = ()) -> list[ExampleRow]:
        """Where training rows come from, in the order of iteration, learner, agent and number."""
        check_examples(self._db, self._path)
        query = f"SELECT * FROM examples WHERE {where} ORDER BY iteration, learner, agent, number"
        return [read_example(row) for row in self._rows(query, values)]

    def meta(self) -> dict[str, str]:
        """Facts about the run: resolved scenario, versions, model hashes."""
        return {row["name"]: row["value"] for row in self._rows("SELECT * FROM meta")}

    def debates(self, split: str) -> list[tuple[int, str, int]]:
        """Iteration, item and sample of each debate of a split that has ended, in the order of `results`."""
        query = "SELECT iteration, item, sample FROM results WHERE split=? ORDER BY iteration, item, sample"
        return [(row["iteration"], row["item"], row["sample"]) for row in self._rows(query, (split,))]

    def _sound_rows(self, table: str, query: str, values: Sequence[object]) -> Iterator[dict[str, Any]]:
        """The rows of a query with a column `sound`. Raises `RunFolderError` at one that is not."""
        try:
            for row in self._rows(query, values):
                if not row["sound"]:
                    raise refuse_row(self._db, self._path, table)
                yield row
        except sqlite3.Error as error:
            if "malformed JSON" in str(error) or isinstance(error, sqlite3.DataError):
                raise refuse_row(self._db, self._path, table) from error
            raise self._trouble(error) from error

    def _rows(self, query: str, values: Sequence[object] = ()) -> Iterable[dict[str, Any]]:
        return self._db.execute(query, values)

    def _text(self, key: bytes) -> str:
        query = f"SELECT text, {sound('texts')} AS sound FROM texts WHERE key=?"
        row = next(self._sound_rows("texts", query, (key,)), None)
        if row is None and not self._sought:
            self._sought = True
            check_table(self._db, self._path, "texts")  # its key may be of another kind
        return str(row["text"]) if row else "(this text is missing from the store)"

    def _one(self, query: str) -> object:
        row: dict[str, Any] | None = self._db.execute(query).fetchone()
        return next(iter(row.values())) if row else None

    # -- trouble

    def _trouble(self, error: Exception) -> StoreError | RunFolderError:
        if "not a database" in str(error) or "no such table" in str(error) or "malformed" in str(error):
            return RunFolderError(f"{self._path} is no run store: {error}.", "Name another folder with --out.")
        return StoreError(
            f"The run store {self._path} cannot be used: {error}.",
            "Check free space and permissions, then run again with --resume: what was stored is safe.",
        )
