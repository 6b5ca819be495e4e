"""Stores of version 1: read as they are, never written, and refused where a run would go on with them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from society.cli import main
from society.core.errors import RunFolderError
from society.runs.records import load_records
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store import Store
from society.store.migrate import READABLE, VERSION
from society.store.tokens import pack_tokens, unpack_tokens
from tests.conftest import rows

DUMP = Path(__file__).parents[1] / "data" / "store_v1.sql"
ADAPTER = (
    "INSERT INTO adapters VALUES (0, 'critic', '*', 'h', 'adapters/1/critic/shared', 'b', 1, '{}', '[0.5]', 9, 1.5)"
)
TEXT = """
name: sums
task: {kind: arithmetic, form: a+b, limit: 3}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""


def write_v1(folder: Path, *more: str) -> Path:
    """Write a run folder as the first version of the store left it."""
    folder.mkdir()
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.executescript(DUMP.read_text() + ";".join(more))
    db.close()
    return folder


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_an_old_store_is_read_and_not_written(tmp_path: Path) -> None:
    folder = write_v1(tmp_path / "old", ADAPTER)
    before = digest(folder)
    found = Run(folder)
    assert [(turn.tokens, turn.replied, turn.status) for turn in found.turns()] == [(None, True, "ok")] * 18
    assert {record.result.item: record.result.correct for record in load_records(found)} == {
        "2+26": True,
        "19+11": True,
        "29+15": False,
    }
    assert [(row.trained_on, row.losses) for row in found.adapters()] == [("", [0.5])]
    with Store(folder / "store.sqlite", read_only=True) as store:
        assert store.position() == (18, 3)
    assert digest(folder) == before


@pytest.mark.parametrize(
    "command",
    [
        ["show", "OLD", "--item", "1"],
        ["report", "OLD", "-o", "OUT.html"],
        ["compare", "OLD", "OTHER"],
        ["export", "OLD", "--to", "OUT"],
        ["plot", "OLD", "-o", "OUT"],
    ],
)
def test_commands_that_read_runs_read_old_ones(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"OLD": write_v1(tmp_path / "old"), "OTHER": write_v1(tmp_path / "other")}
    before = digest(places["OLD"])
    words = [str(places.get(word, word)).replace("OUT", str(tmp_path / "out")) for word in command]
    assert main(words) == 0, capsys.readouterr().err
    assert digest(places["OLD"]) == before


@pytest.mark.parametrize("resume", [True, False])
def test_an_old_run_is_not_gone_on_with(scenario: Callable[..., Scenario], tmp_path: Path, resume: bool) -> None:
    folder = write_v1(tmp_path / "old")
    before = digest(folder)
    with pytest.raises(
        RunFolderError, match=r"version 1, which an older society wrote.*no run can go on with it"
    ) as told:
        run(scenario(TEXT), folder, resume=resume)
    assert "--out" in told.value.remedy
    assert {name: said for name, said in digest(folder).items() if name != ".lock"} == before
    with pytest.raises(RunFolderError, match="no run can go on with it"), Store(folder / "store.sqlite"):
        pass


def test_no_turn_is_taken_from_an_old_run(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    folder = write_v1(tmp_path / "old")
    with pytest.raises(RunFolderError, match="take turns from it"):
        run(scenario(TEXT), tmp_path / "new", reuse=[folder])


def test_a_new_run_says_what_the_old_one_said(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """Columns that both versions have mean the same in both."""
    old = rows(write_v1(tmp_path / "old"))
    new = rows(run(scenario(TEXT), tmp_path / "new"))
    for row in new:
        for added in ("tokens", "replied"):
            row.pop(added, None)
    for row in (*old, *new):
        row.pop("key", None)
    assert new == old


@pytest.mark.parametrize("said", ["3", "99", "x", ""])
def test_another_version_is_refused(tmp_path: Path, said: str) -> None:
    folder = write_v1(tmp_path / "old", f"UPDATE meta SET value = '{said}' WHERE name = 'store_version'")
    with pytest.raises(RunFolderError, match="this program reads version"):
        Run(folder).turns()


def test_a_store_that_is_not_of_the_version_that_it_says_is_refused(tmp_path: Path) -> None:
    folder = write_v1(tmp_path / "old", f"UPDATE meta SET value = '{VERSION}' WHERE name = 'store_version'")
    with pytest.raises(RunFolderError, match="not ours"):
        Run(folder).turns()
    assert set(READABLE) == {"1", VERSION}


@pytest.mark.parametrize("tokens", [None, (), (0,), (1, 65535), (65536, 3), (2**31 - 1,)])
def test_token_ids_are_stored_as_they_are(tokens: tuple[int, ...] | None) -> None:
    packed = pack_tokens(tokens)
    assert unpack_tokens(packed) == tokens
    if packed is not None and tokens:
        assert len(packed) == 1 + len(tokens) * (2 if max(tokens) < 65536 else 4)


@pytest.mark.parametrize("blob", ["x''", "x'03000000'", "x'02010203'", "x'0400'", "'text'", "7"])
def test_token_ids_from_strangers_are_checked(scenario: Callable[..., Scenario], tmp_path: Path, blob: str) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "store.sqlite").write_bytes((done.folder / "store.sqlite").read_bytes())
    with sqlite3.connect(copy / "store.sqlite") as db:
        db.execute(f"UPDATE turns SET tokens = {blob} WHERE agent = 'solver-1'")
    db.close()
    with pytest.raises(RunFolderError, match="breaks the rule"):
        Run(copy).turns()
