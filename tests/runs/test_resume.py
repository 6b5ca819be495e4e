"""A run that is killed anywhere and resumed ends as one that was not, and no turn is generated twice."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from society.core.errors import RunFolderError, StoreError
from society.core.types import Item, Turn
from society.runs.folder import RunFolder
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import Society
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Watcher
from tests.conftest import rows

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 12}
backends:
  scripted:
    kind: scripted
    delay: 0.004
    rules: [{calculate: {skill: 0.5, wrong: spread}}]
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 4}]
concurrency: 2
"""
TURNS = 12 * 3 * 4


class Counter(Watcher):
    def __init__(self) -> None:
        self.fresh = self.replayed = 0

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.replayed += replayed
        self.fresh += not replayed


def count_turns(folder: Path) -> int:
    try:
        db = sqlite3.connect(f"file:{folder / 'store.sqlite'}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return 0
    try:
        [(count,)] = db.execute("SELECT count(*) FROM turns").fetchall()
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()
    return int(count)


def kill_when_stored(command: list[str], folder: Path, turns: int) -> None:
    """Start the command, and SIGKILL it as soon as that many turns are in the store."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and count_turns(folder) < turns and time.monotonic() < deadline:
        time.sleep(0.002)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


@pytest.mark.parametrize("stored", [0, 1, 17, 60, 110])
def test_killed_and_resumed_equals_uninterrupted(
    scenario: Callable[..., Scenario], tmp_path: Path, stored: int
) -> None:
    loaded = scenario(TEXT)
    whole = rows(run(loaded, tmp_path / "whole"))
    folder = tmp_path / "killed"
    path = tmp_path / "scenario.yaml"
    kill_when_stored([sys.executable, "-m", "society", "run", str(path), "--out", str(folder)], folder, stored)
    before = count_turns(folder)
    counter = Counter()
    begun = (folder / ".lock").exists()
    resumed = run(load_scenario(path), folder, resume=begun, watcher=counter)
    assert rows(resumed) == whole
    assert counter.replayed == before
    assert counter.fresh == TURNS - before


def test_a_folder_without_a_run_is_not_resumed(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    loaded = scenario(TEXT)
    for folder in (tmp_path / "mistyped", tmp_path):
        with pytest.raises(RunFolderError, match=rf"{folder} holds no run to continue\.") as error:
            run(loaded, folder, resume=True)
        assert "--out" in error.value.remedy
    assert not (tmp_path / "mistyped").exists()


def test_a_run_that_was_killed_before_its_first_turn_is_resumed(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".lock").touch()
    counter = Counter()
    run(scenario(TEXT), tmp_path / "killed", resume=True, watcher=counter)
    assert counter.fresh == TURNS


def test_twice_the_same_run_is_bit_for_bit_equal(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    loaded = scenario(TEXT)
    assert rows(run(loaded, tmp_path / "one")) == rows(run(loaded, tmp_path / "two"))


class Committed(Watcher):
    """Counts turns that are announced before another process could read them."""

    early = heard = 0

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self.db = sqlite3.connect(f"file:{folder / 'store.sqlite'}?mode=ro", uri=True)

    def turn(self, turn: Turn, replayed: bool) -> None:
        i, query = turn.id, "SELECT 1 FROM turns WHERE item=? AND round=? AND agent=? AND text=?"
        self.early += not self.db.execute(query, (i.item, i.round, i.agent, turn.text)).fetchall()
        self.heard += 1


def test_a_turn_is_committed_before_anybody_hears_of_it(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    watcher = Committed()
    run(scenario(TEXT, "concurrency=12"), tmp_path / "run", watcher=watcher)
    watcher.db.close()
    assert (watcher.early, watcher.heard) == (0, TURNS)


def test_concurrency_changes_nothing(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    one = run(scenario(TEXT, "concurrency=1"), tmp_path / "one")
    many = run(scenario(TEXT, "concurrency=50"), tmp_path / "many")
    assert rows(one) == rows(many)


def test_resume_retries_failed_turns_only(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    loaded = scenario(TEXT.replace("rounds: 4", "rounds: 1"))
    done = run(loaded, tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "store.sqlite") as db:
        db.execute("UPDATE turns SET status='failed', text='', answer=NULL, replied=0 WHERE agent='solver-2'")
    db.close()
    counter = Counter()
    before = rows(run(loaded, tmp_path / "whole"))
    assert rows(run(loaded, done.folder, resume=True, watcher=counter)) == before
    assert (counter.fresh, counter.replayed) == (12, 24)


def test_turns_of_another_run_are_taken_over_where_nothing_differs(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    first = run(scenario(TEXT), tmp_path / "complete")
    counter = Counter()
    ring = scenario(TEXT, "phases.debate.topology={kind: ring, directed: true}")
    done = run(ring, tmp_path / "ring", reuse=[first.folder], watcher=counter)
    assert counter.replayed >= 36  # every first-round turn
    assert rows(run(ring, tmp_path / "alone")) == [
        {**row, **({"reused": 0} if "reused" in row else {})} for row in rows(done)
    ]


def test_a_second_process_is_refused(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    loaded = scenario(TEXT)
    with (
        RunFolder(loaded, tmp_path / "run", resume=False),
        pytest.raises(RunFolderError, match="in use by a run under way, in this process or another"),
    ):
        run(loaded, tmp_path / "run")


def test_a_folder_of_another_scenario_is_refused_and_kept(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    before = rows(done)
    with pytest.raises(RunFolderError, match="seed was 0 and is 1"):
        run(scenario(TEXT, "seed=1"), tmp_path / "run", resume=True)
    with pytest.raises(RunFolderError, match="--resume"):
        run(scenario(TEXT), tmp_path / "run")
    assert rows(done) == before


def test_tuning_options_do_not_make_another_scenario(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    run(scenario(TEXT), tmp_path / "run")
    run(scenario(TEXT, "concurrency=7"), tmp_path / "run", resume=True)


def test_a_file_that_is_no_store_is_refused(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "store.sqlite").write_text("this is not a database, but long enough to look at" * 100)
    with pytest.raises(RunFolderError, match="no run store"):
        run(scenario(TEXT), tmp_path / "run", resume=True)
    with pytest.raises(RunFolderError, match="no run"):
        Run(tmp_path / "nothing").results()


def test_a_full_disk_ends_the_run_and_loses_nothing(
    scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's page limit makes the store full as a disk would; without it the run goes on from there."""
    from society.store import opening

    connect = opening._connect

    def small(path: Path, read_only: bool) -> sqlite3.Connection:
        db = connect(path, read_only)
        db.execute("PRAGMA max_page_count = 24")
        return db

    loaded = scenario(TEXT)
    whole = rows(run(loaded, tmp_path / "whole"))
    monkeypatch.setattr(opening, "_connect", small)
    with pytest.raises(StoreError, match="full") as error:
        run(loaded, tmp_path / "run")
    assert "--resume" in error.value.remedy
    monkeypatch.undo()
    before = count_turns(tmp_path / "run")
    assert 0 < before < TURNS
    counter = Counter()
    assert rows(run(loaded, tmp_path / "run", resume=True, watcher=counter)) == whole
    assert counter.fresh == TURNS - before


class Move(Watcher):
    """Moves the folder of the run after some debates, and may put another run in its place."""

    def __init__(self, folder: Path, after: int, other: Path | None = None) -> None:
        self.folder, self.left, self.other = folder, after, other

    def result(self, result: object) -> None:
        self.left -= 1
        if not self.left:
            self.folder.rename(self.folder.with_name("moved"))
            if self.other:
                shutil.copytree(self.other, self.folder)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("after", [1, 12])
def test_a_folder_that_is_moved_away_is_named_as_the_cause(
    scenario: Callable[..., Scenario], tmp_path: Path, after: int, resume: bool
) -> None:
    loaded, folder = scenario(TEXT), tmp_path / "run"
    if resume:
        run(loaded, folder)
        with closing(sqlite3.connect(folder / "store.sqlite")) as db, db:
            db.execute("DELETE FROM turns WHERE round > 1")
    with pytest.raises(StoreError, match="was removed or moved while the run went on") as error:
        run(loaded, folder, resume=resume, watcher=Move(folder, after))
    assert "--resume --out NEW" in error.value.remedy
    assert error.value.status == 3
    assert not folder.exists()
    again = run(loaded, tmp_path / "moved", resume=True)
    assert rows(again) == rows(run(loaded, tmp_path / "alone"))


def test_a_run_that_takes_the_place_of_a_moved_one_is_left_alone(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    loaded, folder = scenario(TEXT), tmp_path / "run"
    other = tmp_path / "other"
    other.mkdir()
    (other / ".lease-2").write_bytes(b"that of another")
    with pytest.raises(StoreError, match="taken over"):
        run(loaded, folder, watcher=Move(folder, 1, other))
    assert [path.name for path in folder.iterdir()] == [".lease-2"]
