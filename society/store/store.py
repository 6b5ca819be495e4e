"""The SQLite file of a run, written in grouped commits.

Turns that finish at the same moment are committed together before any of them is returned. So a killed process loses
nothing that anything depended on; a power cut may lose the last moments, never consistency.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from society.core.errors import RunFolderError, StoreError
from society.core.identity import text_key
from society.core.types import GenerateOutput, Turn, TurnId
from society.store.migrate import VERSION
from society.store.opening import open_database, prepare
from society.store.reader import EVALUATION, StoreReader, explain
from society.store.rows import (
    ADAPTERS,
    DERIVED,
    EXAMPLES,
    META,
    RESULTS,
    TEXTS,
    TURNS,
    AdapterRow,
    ExampleRow,
    MetaRow,
    ResultRow,
    Row,
    TextRow,
    read_turn,
    write_derived,
    write_turn,
)

_UPDATE_DERIVED = f"UPDATE turns SET {', '.join(f'{column}=?' for column in DERIVED)} WHERE {TURNS.where_key}"
_UPDATE_ERROR = f"UPDATE turns SET error=? WHERE {TURNS.where_key}"
_DELETE_TURN = f"DELETE FROM turns WHERE {TURNS.where_key}"
_INSERT_TEXT = TEXTS.insert.replace("REPLACE", "IGNORE")
_DELETE_EXAMPLES = "DELETE FROM examples WHERE iteration=? AND learner=? AND agent=?"
_DELETE_ADAPTER = "DELETE FROM adapters WHERE iteration=? AND learner=? AND agent=?"
_DELETE_LOST_TEXTS = (
    "DELETE FROM texts WHERE lower(hex(key)) NOT IN"
    " (SELECT DISTINCT json_extract(message.value, '$[1]') FROM turns, json_each(turns.messages) AS message)"
)
_COPIED_ROWS = 5_000
"""Number of copied rows that are committed together."""
_KNOWN_TEXTS = 200_000
"""Maximum number of text keys remembered as written, which saves writing their texts again."""


def _key(turn: TurnId) -> tuple[int, str, int, str, int, str]:
    """Return the values of the primary key of `turns`."""
    return turn.iteration, turn.item, turn.sample, turn.phase, turn.round, turn.agent


def _read_without_prompt(row: Row) -> Turn:
    return read_turn({**row, "messages": "[]"}, str)


def _read_reply(row: Row) -> Turn:
    """Return a turn without its prompt and the turns that it was shown: those are of another run."""
    return read_turn({**row, "messages": "[]", "reads": "[]"}, str)


class Store(StoreReader):
    """One run's turns, results and trainings. Use it as a context manager; writing needs a running event loop.

    A store of an older version is migrated at the first write. Before that, the file stays as it is.

    `reuse` names other runs' stores whose replies are reused where everything that shaped them is equal. `on_change` is
    called before the first turn is added or changed, `on_training` after each stored training.
    Unless `whole`, only the rows that are read are checked, and not all: for counts and single debates.
    """

    def __init__(
        self,
        path: Path,
        reuse: Sequence[Path] = (),
        read_only: bool = False,
        on_change: Callable[[], object] | None = None,
        on_training: Callable[[], object] = lambda: None,
        whole: bool = True,
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._on_training = on_training
        self._reuse_paths = reuse
        self._read_only, self._whole = read_only, whole
        self._prepared = read_only
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._known: set[bytes] = set()
        self._debates: dict[tuple[int, str, int], dict[TurnId, Turn]] = {}

    def __enter__(self) -> Self:
        if self._read_only and not self._path.exists():
            raise RunFolderError(
                f"{self._path.parent} holds no run.", "Name the folder of a run (--out; Python: `out`)."
            )
        self._opened = ExitStack()
        path = self._path
        try:
            self._db = self._opened.enter_context(closing(open_database(path, self._read_only, whole=self._whole)))
            self._others = []
            for path in self._reuse_paths:
                db = self._opened.enter_context(closing(open_database(path, read_only=True, resumable=True)))
                self._others.append((path, db))
            path = self._path
            self._resuming = self._one("SELECT EXISTS (SELECT 1 FROM turns)") == 1
        except BaseException as error:
            self._opened.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise explain(path, error, path == self._path) from error
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc_type is None or not issubclass(exc_type, StoreError):
                self.commit()
        finally:
            self._opened.close()

    # -- writing

    async def add(self, turn: Turn, reused: bool = False) -> None:
        """Commit a finished turn, together with all that is finished at this moment.

        Raises `StoreError` when it cannot be written; nothing written before is lost.
        """
        self._announce_change()
        keys = [self._add_text(message.content) for message in turn.messages]
        self._pending.append((TURNS.insert, write_turn(turn, keys, reused)))
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        committed = loop.create_future()
        self._waiting.append(committed)
        await committed

    def _announce_change(self) -> None:
        if self._on_change is not None:
            on_change, self._on_change = self._on_change, None
            on_change()

    def add_result(self, result: ResultRow) -> None:
        """Store how a debate ended. It is committed with the next turns, at the latest when the store is closed."""
        self._pending.append((RESULTS.insert, RESULTS.write(result)))

    def add_training(self, adapter: AdapterRow, examples: Sequence[ExampleRow]) -> None:
        """Store a finished training and the origin of its rows, at once, in place of an earlier one."""
        try:
            self._pending.append((ADAPTERS.insert, ADAPTERS.write(adapter)))
        except ValueError as error:
            raise explain(self._path, error) from error
        self._pending.append((_DELETE_EXAMPLES, (adapter.iteration, adapter.learner, adapter.agent)))
        self._pending += [(EXAMPLES.insert, EXAMPLES.write(row)) for row in examples]
        self._db.execute("PRAGMA synchronous=FULL")  # training took long: not even a power cut may lose it
        self.commit()
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._on_training()

    def remove_trainings(self, adapters: Sequence[AdapterRow]) -> None:
        """Delete finished trainings and the origin of their rows, at once."""
        if not adapters:
            return
        self._announce_change()
        for row in adapters:
            place = (row.iteration, row.learner, row.agent)
            self._pending += [(_DELETE_EXAMPLES, place), (_DELETE_ADAPTER, place)]
        self.commit()
        self._on_training()

    def remove_debates(self, after: int, keep: int) -> None:
        """Delete all turns and results of the iterations after this one, except those of the iteration `keep`."""
        if not self.count(f"iteration > {after:d} AND iteration <> {keep:d}"):
            return
        self._announce_change()
        for table in ("turns", "results"):
            self._pending.append((f"DELETE FROM {table} WHERE iteration > ? AND iteration <> ?", (after, keep)))
        self.commit()

    def remove_evaluation(self, iteration: int) -> None:
        """Delete all turns and results of an iteration about evaluation questions."""
        self._announce_change()
        for table in ("turns", "results"):
            self._pending.append((f"DELETE FROM {table} WHERE iteration=? AND {EVALUATION}", (iteration,)))
        self.commit()

    def set_meta(self, values: dict[str, str]) -> None:
        """Store facts about the run, at once."""
        self._pending += [(META.insert, META.write(MetaRow(name, value))) for name, value in values.items()]
        self.commit()

    def note(self, values: Mapping[str, str]) -> None:
        """Store facts about the run, at once. A store of an older version is not migrated for them."""
        if self._prepared:
            self.set_meta(dict(values))
            return
        try:
            with self._db:
                self._db.execute("BEGIN")
                self._db.executemany("INSERT OR REPLACE INTO main.meta (name, value) VALUES (?, ?)", values.items())
        except (sqlite3.Error, OSError) as error:
            raise explain(self._path, error) from error

    def migrate(self) -> str:
        """Migrate an older store to the present version, at once, and return its earlier version."""
        version = self.meta()["store_version"]
        try:
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise explain(self._path, error) from error
        return version

    def copy_debates(self, other: StoreReader) -> None:
        """Copy all turns and results of another store, and the texts that they refer to."""
        for table in (TEXTS, TURNS, RESULTS):
            for row in other.raw_rows(table):
                names = [name for name in table.columns if name in row]
                insert = (
                    f"INSERT OR IGNORE INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
                )
                self._pending.append((insert, tuple(row[name] for name in names)))
                if len(self._pending) >= _COPIED_ROWS:
                    self.commit()
        self.commit()

    def forget(self, item: str, facts: Mapping[str, str]) -> None:
        """Delete all turns, results and training rows of an item, and every text that nothing refers to any more.

        Their bytes are overwritten. `facts` about the run are stored in the same transaction.
        """
        try:
            self._prepare()
            self._db.execute("PRAGMA secure_delete=ON")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("DELETE FROM turns WHERE item=?", (item,))
                self._db.execute("DELETE FROM results WHERE item=?", (item,))
                self._db.execute("DELETE FROM examples WHERE source_item=?", (item,))
                self._db.execute(_DELETE_LOST_TEXTS)
                for name, value in facts.items():
                    self._db.execute(META.insert, META.write(MetaRow(name, value)))
            with suppress(sqlite3.OperationalError):  # frees space, and needs as much for a moment
                self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (sqlite3.Error, OSError) as error:
            raise explain(self._path, error) from error

    def commit(self) -> None:
        """Commit all that is pending. Raises `StoreError` when it cannot be written."""
        if not self._pending:
            return
        try:
            self._prepare()
            with self._db:
                self._db.execute("BEGIN")
                for statement, values in self._pending:
                    self._db.execute(statement, values)
        except (sqlite3.Error, OSError, ValueError, OverflowError) as error:  # the last: a number over 64 bits
            self._known.clear()
            raise explain(self._path, error) from error
        except RunFolderError:
            self._pending.clear()
            raise
        self._pending.clear()

    def _prepare(self) -> None:
        """Make the file ready for the first write. Raises `RunFolderError` for an older one with a wrong row."""
        if self._prepared:
            return
        version = self.meta()["store_version"]
        if version != VERSION:
            self.check_rows()
        prepare(self._db, version)
        self._prepared = True

    def _add_text(self, text: str) -> bytes:
        key = text_key(text)
        if key not in self._known:
            if len(self._known) >= _KNOWN_TEXTS:
                self._known.clear()
            self._known.add(key)
            self._pending.append((_INSERT_TEXT, TEXTS.write(TextRow(key, text))))
        return key

    def _flush(self) -> None:
        """Commit, and wake up the debates that wait for their turns."""
        waiting, self._waiting = self._waiting, []
        failure: Exception | None = None
        try:
            self.commit()
        except Exception as error:  # whatever it is, no debate may wait for ever
            failure = error
        for turn in waiting:
            if turn.done():  # its debate was cancelled
                continue
            if failure is None:
                turn.set_result(None)
            else:
                turn.set_exception(failure)

    # -- reusing what is stored

    def find(self, turn: TurnId, key: str) -> GenerateOutput | None:
        """Return the stored reply of this turn if everything that shaped it is the same (`key`), else None.

        Only the reply is returned: the caller derives answer, confidence and status again.
        """
        if not self._resuming:
            return None
        debate = (turn.iteration, turn.item, turn.sample)
        if debate not in self._debates:
            query = "SELECT * FROM turns WHERE iteration=? AND item=? AND sample=?"
            turns = self._read(_read_without_prompt, query, debate)
            self._debates[debate] = {found.id: found for found in turns}
        found = self._debates[debate].get(turn)
        return found.reply if found and found.key == key else None

    def find_reusable(self, key: str) -> GenerateOutput | None:
        """Return the reply of a turn of another run that was shaped by exactly the same things, or None."""
        query = "SELECT * FROM turns WHERE key=? AND replied=1 LIMIT 1"
        for other in self._others:
            turns = list(self._read(_read_reply, query, (key,), other))
            if turns:
                return turns[0].reply
        return None

    def update_derived(self, turn: Turn) -> None:
        """Store what this run derives from a reply that `find` returned, and what the turn was shown, if it changed."""
        i = turn.id
        values = write_derived(turn)
        if values != write_derived(self._debates[i.iteration, i.item, i.sample][i]):
            self._announce_change()
            self._pending.append((_UPDATE_DERIVED, (*values, *_key(i))))

    def annotate(self, turn: TurnId, text: str) -> None:
        """Store a note in `error` of a turn that did not fail; committed with the next turns."""
        self._pending.append((_UPDATE_ERROR, (text, *_key(turn))))

    def finish_debate(self, iteration: int, item: str, sample: int, spoken: Iterable[TurnId]) -> None:
        """Free the memory of a finished debate, and delete its stored turns that are not among those `spoken`.

        Once failed turns are generated again, a debate may take another course and end earlier.
        """
        stored = self._debates.pop((iteration, item, sample), {})
        for turn in stored.keys() - set(spoken) if stored else ():
            self._pending.append((_DELETE_TURN, _key(turn)))
