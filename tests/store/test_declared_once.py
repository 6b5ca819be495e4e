"""A field of a turn is declared once: with one line more in `Turn`, it is in the store, the tables and the report."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from society.core.columns import list_columns, make_builder
from society.core.errors import StoreError
from society.core.types import Turn, TurnId, Usage
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store import Store
from society.store.rows import TABLES, TURNS, AdapterRow, ExampleRow, ResultRow, TurnRow
from tests.store.test_versions import TEXT

ROOT = Path(__file__).parents[2]
NEW_FIELD = '    mood: Literal["calm", "glad"] = "calm"\n    topics: tuple[str, ...] = ()\n'

SCRIPT = """
import asyncio, json, sqlite3, sys
from dataclasses import replace
from pathlib import Path
from society.core.errors import StoreError
from society.metrics.frames import turns_table
from society.report.data import build_index, read_runs
from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run
from society.store import Store

folder = Path(sys.argv[1])
before = [turn.mood for turn in Run(folder / "run").turns()]
run(load_scenario(folder / "scenario.yaml"), folder / "run", resume=True)
glad = replace(Run(folder / "run").turns()[0], mood="glad", topics=("a", "b"))

async def add(turn):
    with Store(folder / "run" / "store.sqlite") as store:
        await store.add(turn)

asyncio.run(add(glad))
try:
    asyncio.run(add(replace(glad, mood="sad")))
    refused = ""
except StoreError as error:
    refused = error.cause
found = Run(folder / "run")
table = turns_table(found)
index = build_index(read_runs([found]))
at = index["turn"].index("mood")
stored = sqlite3.connect(folder / "run" / "store.sqlite").execute("SELECT mood, topics FROM turns").fetchall()
print(json.dumps({
    "before": before,
    "refused": refused,
    "stored": stored,
    "read": found.turns()[0] == glad,
    "table": [table["mood"].tolist(), table["topics"].tolist(), str(table["mood"].dtype)],
    "report": [turn[at:at + 2] for row in index["runs"][0]["debates"] for turn in row["turns"]],
}))
"""


def add_to_turn(code: str, lines: str) -> str:
    """Return the code of a module with these lines after the last field of its class `Turn`."""
    [turn] = [node for node in ast.parse(code).body if isinstance(node, ast.ClassDef) and node.name == "Turn"]
    last = [node for node in turn.body if isinstance(node, ast.AnnAssign)][-1]
    present = code.splitlines(keepends=True)
    return "".join([*present[: last.end_lineno], lines, *present[last.end_lineno :]])


@pytest.fixture
def found(scenario: Callable[..., Scenario], tmp_path: Path) -> Any:
    """Return what a society with two more fields reads from a run of the present one, and writes into it."""
    run(scenario(TEXT), tmp_path / "run")
    code = tmp_path / "code"
    for package in ("society", "backends", "topologies"):
        shutil.copytree(ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    types = code / "society" / "core" / "types" / "turns.py"
    text = types.read_text()
    types.write_text(add_to_turn(text, NEW_FIELD))
    environment = os.environ | {"PYTHONPATH": str(code)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_one_line_puts_a_field_into_store_table_and_report(found: Any) -> None:
    assert found["before"] == ["calm"] * 18  # from a store without the column
    assert found["stored"].count(["calm", "[]"]) == 17
    assert found["stored"].count(["glad", '["a","b"]']) == 1
    assert found["read"]
    assert "CHECK constraint failed: mood IN ('calm', 'glad')" in found["refused"]
    assert found["table"] == [["glad"] + ["calm"] * 17, ['["a","b"]'] + ["[]"] * 17, "string"]
    assert found["report"].count(["calm", []]) == 17
    assert found["report"].count(["glad", ["a", "b"]]) == 1


def test_every_table_reads_what_it_writes(tmp_path: Path) -> None:
    """The names of columns are those of fields, so that a record is found again from its columns alone."""
    assert {table.record for table in TABLES.values()} > {TurnRow, ResultRow, AdapterRow, ExampleRow}
    for table in TABLES.values():
        assert [column.path.rpartition(".")[2] for column in table.columns.values()] == [
            name.removeprefix("source_") for name in table.columns
        ]


def test_a_missing_value_takes_the_default_and_an_unknown_one_is_ignored() -> None:
    needed = {
        "iteration": 0,
        "item": "q",
        "phase": "p",
        "round": 1,
        "agent": "a",
        "key": "k",
        "messages": (),
        "text": "",
    }
    build = make_builder(Turn)
    turn = build({**needed, "answer": None, "generated_tokens": 7, "colour": "red"})
    assert (turn.usage.generated_tokens, turn.usage.seconds, turn.status, turn.id.sample) == (7, 0.0, "ok", 0)
    with pytest.raises(KeyError, match="answer"):
        build(needed)
    assert {column.name for column in list_columns(Turn)} < set(TURNS.columns)


@pytest.mark.parametrize("error", [OverflowError("too large"), RuntimeError("a fault")])
def test_no_turn_waits_for_ever_whatever_the_commit_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    turn = Turn(TurnId(0, "q", "p", 1, "a"), "key", (), "sure", None)

    async def add() -> None:
        with Store(tmp_path / "s.sqlite") as store:
            monkeypatch.setattr(store, "_prepare", partial(_raise, error))
            async with asyncio.timeout(20):
                with pytest.raises((StoreError, RuntimeError)):
                    await store.add(turn)
            monkeypatch.undo()

    asyncio.run(add())


def test_a_number_over_64_bits_is_refused(tmp_path: Path) -> None:
    async def add() -> None:
        turn = Turn(TurnId(0, "q", "p", 1, "a"), "key", (), "sure", None, usage=Usage(generated_tokens=10**23))
        with Store(tmp_path / "s.sqlite") as store:
            async with asyncio.timeout(20):
                await store.add(turn)

    with pytest.raises(StoreError, match="refused a value"):
        asyncio.run(add())


def _raise(error: Exception) -> None:
    raise error


def test_rounding_beyond_a_bound_is_absorbed_and_more_is_refused(tmp_path: Path) -> None:
    """A sum of log-probabilities can exceed 0 by rounding."""
    turn = Turn(TurnId(0, "q", "p", 1, "a"), "key", (), "sure", None, logprob=1e-8, usage=Usage(seconds=2e-7))

    async def add(*turns: Turn) -> None:
        with Store(tmp_path / "s.sqlite") as store:
            await asyncio.gather(*map(store.add, turns))

    asyncio.run(add(turn))
    with Store(tmp_path / "s.sqlite", read_only=True) as store:
        assert list(store.turns()) == [replace(turn, logprob=0.0)]
    with pytest.raises(StoreError, match="refused a value: CHECK constraint failed: logprob"):
        asyncio.run(add(replace(turn, logprob=0.5)))
