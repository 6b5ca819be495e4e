"""Whether a run store is what it claims to be, before anything is read from it: it may come from a stranger.

A SQLite file can hold triggers, views and functions that run when it is read or written, text where numbers belong,
and damage made to crash its reader. So its schema must be ours, its pages sound, and every value of the kind, size
and shape that this program writes. A file that a run writes to, or takes turns from, is looked at whole when it is
first opened; that takes about as long as reading it once. Whoever reads a few turns has each of them checked as it is
read.
"""

from __future__ import annotations

import json
import re
import sqlite3
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath, PureWindowsPath

from society.core.errors import RunFolderError
from society.store.migrate import VERSION, schema_file
from society.store.tokens import RULE as TOKENS_RULE

LONGEST_VALUE = 50_000_000
"""Bytes of one text in a store."""
_COUNTS = "0 AND 9007199254740991"  # whole numbers that JavaScript can hold too
_TEXTS = {
    "meta": ("name", "value"),
    "texts": ("text",),
    "turns": ("item", "phase", "agent", "key", "status", "error", "chat", "text", "finish_reason", "reads"),
    "results": ("item", "split", "question", "gold", "reason", "tied", "verdicts"),
    "adapters": ("learner", "agent", "path", "base", "left_out", "losses", "trained_on"),
    "examples": ("learner", "agent", "item", "phase", "speaker", "rule"),
}
_MAYBE_TEXTS = {"turns": ("answer", "adapter"), "results": ("answer",), "adapters": ("hash",)}
_NUMBERS = {
    "turns": (
        "iteration",
        "sample",
        "round",
        "prompt_tokens",
        "generated_tokens",
        "cached_tokens",
    ),
    "results": ("iteration", "sample"),
    "adapters": ("iteration", "examples", "tokens"),
    "examples": ("iteration", "number", "sample", "round"),
}
_FLAGS = {"turns": ("reused", "replied"), "results": ("correct",)}
_LEAST, _MOST = "-1e300", "1e12"
_FLOATS = {
    "turns": (("logprob", _LEAST, "0"), ("confidence", "0", "1"), ("seconds", "0", _MOST)),
    "results": (("support", "0", "1"),),
    "adapters": (("seconds", "0", _MOST),),
}
"""Columns of real numbers, with the lowest and the highest value of each."""
_RULES = {
    "texts": ["typeof(key) = 'blob'"],
    "turns": [
        "status IN ('ok', 'failed')",
        "json_type(chat) = 'array'",
        "NOT EXISTS (SELECT 1 FROM json_each(chat) AS m WHERE m.type != 'array' OR json_array_length(m.value) != 2"
        " OR json_type(m.value, '$[0]') != 'text' OR json_type(m.value, '$[1]') != 'text'"
        " OR json_extract(m.value, '$[1]') GLOB '*[^0-9a-f]*' OR length(json_extract(m.value, '$[1]')) % 2)",
        "json_type(reads) = 'array'",
        "NOT EXISTS (SELECT 1 FROM json_each(reads) AS r WHERE r.type != 'array' OR json_array_length(r.value) != 3"
        " OR json_type(r.value, '$[0]') != 'text' OR json_type(r.value, '$[1]') != 'integer'"
        " OR json_type(r.value, '$[2]') != 'text')",
    ],
    "results": [
        "json_type(tied) = 'array'",
        "NOT EXISTS (SELECT 1 FROM json_each(tied) AS t WHERE t.type != 'text')",
        "json_type(verdicts) = 'object'",
        "NOT EXISTS (SELECT 1 FROM json_each(verdicts) AS v WHERE v.type NOT IN ('true', 'false'))",
    ],
}
_BLOBS = {"turns": (("tokens", TOKENS_RULE),)}
ROWWISE = ("turns", "texts")
"""Tables of which readers check each row that they read."""
_seen: set[tuple[str, int, int, bool]] = set()


def distrust(db: sqlite3.Connection) -> None:
    """Let the schema of the file call nothing that is not harmless, and no value be huge; to be done first."""
    db.execute("PRAGMA trusted_schema=OFF")
    db.execute("PRAGMA cell_size_check=ON")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * LONGEST_VALUE)


def is_ours(db: sqlite3.Connection, table: str) -> bool:
    """Whether the file has this table and has it as our schema does: no view, nothing that is computed when read."""
    found = _plain(db, f"SELECT type, name, sql FROM sqlite_master WHERE name = '{table}'")
    return [(kind, _bare(str(sql))) for kind, _, sql in found] == [("table", _schema()["table", table])]


def validate(db: sqlite3.Connection, path: Path, version: str = VERSION, whole: bool = True) -> None:
    """Look through a file of this version if this process sees it for the first time; unless `whole`, not its turns
    and texts.

    Raises `RunFolderError`, saying what is wrong, for a file that this program did not write.
    """
    status = path.stat()
    place = (str(path.resolve()), status.st_dev, status.st_ino)
    if (*place, True) in _seen or (*place, whole) in _seen:
        return
    tables = _check_schema(db, path, version)
    if not tables:  # just made
        return
    try:
        _check_pages(db, path)
        for table in tables:
            if whole or table not in ROWWISE:
                check_table(db, path, table)
    except (sqlite3.DataError, sqlite3.OperationalError) as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed JSON" not in str(error):
            raise  # locked, or the disk
        raise _refusal(path, f"it holds values that cannot be read: {error}") from error
    _seen.add((*place, whole))


def _refusal(path: Path, fault: str) -> RunFolderError:
    return RunFolderError(
        f"{path} is no run store that society wrote: {fault}.",
        "Nothing was taken from it. If the run is your own, restore its folder from a copy.",
    )


def _check_schema(db: sqlite3.Connection, path: Path, version: str) -> list[str]:
    """The names of the tables. A table may be missing, which whoever reads it will say; nothing may be added."""
    tables = []
    for kind, name, sql in _plain(db, "SELECT type, name, sql FROM sqlite_master"):
        if str(name).startswith("sqlite_autoindex_") and sql is None:
            continue
        if _schema(version).get((kind, name)) != _bare(str(sql)):
            raise _refusal(path, f"it has the {kind!s:.20} {str(name)!r:.60}, which is not ours")
        if kind == "table":
            tables.append(str(name))
    return tables


@cache
def _schema(version: str = VERSION) -> dict[tuple[object, object], str]:
    """Return the SQL of every object of our schema of this version, by type and name."""
    ours = sqlite3.connect(":memory:")
    ours.executescript((files("society.store") / schema_file(version)).read_text())
    rows = ours.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    ours.close()
    return {(kind, name): _bare(sql) for kind, name, sql in rows}


def _bare(sql: str) -> str:
    """SQL without comments and spacing."""
    return " ".join(re.sub(r"--[^\n]*", " ", sql).split())


def _check_pages(db: sqlite3.Connection, path: Path) -> None:
    found = _plain(db, "PRAGMA quick_check(1)")
    if found != [("ok",)]:
        raise _refusal(path, f"it is damaged: {str(found[0][0])!r:.200}")


def check_table(db: sqlite3.Connection, path: Path, table: str) -> None:
    """Raise `RunFolderError` for the first row of a table that breaks a rule."""
    columns = {str(row[1]) for row in _plain(db, f"PRAGMA table_info({table})")}
    rules = [rule for column, rule in _column_rules(table) if column in columns] + _RULES.get(table, [])
    if rules and not _hold(db, table, *rules):
        broken = next((rule for rule in rules if not _hold(db, table, rule)), "")
        raise _refusal(path, f"a row of {table} breaks the rule: {broken.split(' AS ')[0]:.90}")
    if table == "adapters":
        _check_adapters(db, path)


@cache
def sound(table: str) -> str:
    """Return SQL that is 1 for each row of this table whose values are as this program writes them, else 0."""
    rules = [rule for _, rule in _column_rules(table)] + _RULES.get(table, [])
    return " AND ".join(f"({rule}) IS 1" for rule in rules)


def refuse_row(db: sqlite3.Connection, path: Path, table: str) -> RunFolderError:
    """Return the error for a table with a row that is not `sound`: which rule it breaks."""
    try:
        check_table(db, path, table)
    except RunFolderError as error:
        return error
    except sqlite3.Error as error:
        return _refusal(path, f"it holds values that cannot be read: {error}")
    return _refusal(path, f"a row of {table} is not as it should be")


_ORPHANS = """
SELECT 1 FROM examples AS e WHERE NOT EXISTS (
  SELECT 1 FROM turns AS t WHERE t.iteration = e.iteration AND t.item = e.item AND t.sample = e.sample
  AND t.phase = e.phase AND t.round = e.round AND t.agent = e.speaker
) OR NOT EXISTS (
  SELECT 1 FROM adapters AS a WHERE a.iteration = e.iteration AND a.learner = e.learner AND a.agent = e.agent
) LIMIT 1
"""


def check_examples(db: sqlite3.Connection, path: Path) -> None:
    """Raise `RunFolderError` for a training row without the turn that it comes from, or without its adapter."""
    if _plain(db, _ORPHANS):
        raise _refusal(path, "a training row has no turn that it comes from, or no adapter that learned it")


def _hold(db: sqlite3.Connection, table: str, *rules: str) -> bool:
    """Whether all rules hold of every row."""
    all_of = " AND ".join(f"({rule}) IS 1" for rule in rules)
    return not _plain(db, f"SELECT 1 FROM {table} WHERE NOT ({all_of}) LIMIT 1")


def _column_rules(table: str) -> list[tuple[str, str]]:
    small = f"length(CAST({{0}} AS BLOB)) <= {LONGEST_VALUE}"
    return [
        *((c, f"typeof({c}) = 'text' AND {small.format(c)}") for c in _TEXTS.get(table, ())),
        *((c, f"typeof({c}) IN ('null', 'text') AND {small.format(c)} IS NOT 0") for c in _MAYBE_TEXTS.get(table, ())),
        *((c, f"typeof({c}) = 'integer' AND {c} BETWEEN {_COUNTS}") for c in _NUMBERS.get(table, ())),
        *_BLOBS.get(table, ()),
        *((c, f"typeof({c}) = 'integer' AND {c} IN (0, 1)") for c in _FLAGS.get(table, ())),
        *_float_rules(table),
    ]


def _float_rules(table: str) -> list[tuple[str, str]]:
    """Return one rule for each column of real numbers; a missing number is left to the schema."""
    kind = "typeof({0}) IN ('null', 'real') AND ({0} BETWEEN {1} AND {2}) IS NOT 0"
    return [(column, kind.format(column, low, high)) for column, low, high in _FLOATS.get(table, ())]


def _check_adapters(db: sqlite3.Connection, path: Path) -> None:
    """Adapters lie within the run's folder, whatever system the path is read on, and have numbers to them."""
    for text, left_out, losses in _plain(db, "SELECT path, left_out, losses FROM adapters"):
        for kind in (PurePosixPath, PureWindowsPath):
            if kind(str(text)).is_absolute() or kind(str(text)).drive or ".." in kind(str(text)).parts:
                raise _refusal(path, f"the path of an adapter leads out of the run's folder: {str(text)!r:.90}")
        try:
            counts, numbers = json.loads(str(left_out)).values(), json.loads(str(losses))
            sound = isinstance(numbers, list) and all(isinstance(n, int | float) for n in (*counts, *numbers))
        except (ValueError, AttributeError, RecursionError):
            sound = False
        if not sound:
            raise _refusal(path, "what it says of a training is no list of numbers")


def _plain(db: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    """Rows as tuples, whatever the connection makes of them."""
    cursor = db.cursor()
    cursor.row_factory = None
    return cursor.execute(query).fetchall()
