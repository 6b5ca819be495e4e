"""Faults of a run: SIGKILL, power cuts, full disks, read-only folders, clocks, copies and other versions.

`make torture` repeats a part of them many times (tests/faults/torture.py).
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from society.core.errors import RunFolderError
from society.runs.run import Run
from society.runs.state import RunState
from society.runs.status import read_status
from society.scenario import load_scenario
from society.session import run
from society.store import Store
from tests.faults.injection import (
    CHECKPOINTS,
    DRIVER,
    Counter,
    Recorded,
    Trial,
    check,
    contents,
    execute,
    preload,
    restore,
)

TEXT = """
version: 1
name: faults
task: {kind: arithmetic, form: a+b, limit: 12}
backends:
  scripted: {kind: scripted, delay: 0.001, rules: [{calculate: {skill: 0.5, wrong: spread}}]}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 4}]
concurrency: 2
"""
TURNS = 12 * 3 * 4

WAITING = """
import asyncio, itertools, sys
from pathlib import Path
from backends.scripted.backend import ScriptedBackend
go, replies = Path(sys.argv[-1]).parent / "go", itertools.count()
async def generate(self, request, real=ScriptedBackend.generate):
    while next(replies) > 30 and not go.exists():
        await asyncio.sleep(0.01)
    return await real(self, request)
ScriptedBackend.generate = generate
"""
"""Makes a run wait after its first replies until a file exists beside its folder."""

needs_preload = pytest.mark.skipif(preload() is None, reason="needs Linux and a C compiler (cc)")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("faults") / "scenario.yaml"
    file.write_text(TEXT)
    return file


@pytest.fixture(scope="module")
def whole(path: Path) -> Path:
    """Return the folder of an undisturbed run."""
    folder = run(load_scenario(path), path.with_name("whole")).folder
    assert len(contents(folder)["turns"]) == TURNS
    return folder


@pytest.fixture(scope="module")
def recorded(path: Path) -> Recorded:
    """Return the changes of one undisturbed run to the disk."""
    return Trial(path, path.with_name("recorded"), driver=CHECKPOINTS + DRIVER).record(path.with_name("log"))


@needs_preload
@pytest.mark.parametrize("seed", range(4))
def test_killed_anywhere_and_resumed_equals_uninterrupted(
    path: Path, whole: Path, recorded: Recorded, tmp_path: Path, seed: int
) -> None:
    """SIGKILL before a random change to the disk, every other time again during the resume."""
    luck, trial = Random(seed), Trial(path, tmp_path / "run", driver=CHECKPOINTS + DRIVER)
    for _ in range(1 + seed % 2):
        resume = (trial.folder / "store.sqlite").exists()
        status, said = trial.run(resume, kill=luck.randint(1, len(recorded.changes)))
        assert status in (0, -9), said
        check(trial.folder)
    before = _turns(trial.folder)
    counter = Counter()
    run(load_scenario(path), trial.folder, resume=_begun(trial.folder), watcher=counter)
    assert contents(trial.folder) == contents(whole)
    assert (counter.replayed, counter.fresh) == (len(before), TURNS - len(before))
    assert set(before) <= set(_turns(trial.folder))


def _begun(folder: Path) -> bool:
    return (folder / "store.sqlite").exists() or (folder / ".lock").exists()


def _turns(folder: Path) -> list[tuple[object, ...]]:
    if not (folder / "store.sqlite").exists():
        return []
    db = sqlite3.connect(folder / "store.sqlite")
    found = db.execute("SELECT rowid, * FROM turns ORDER BY rowid").fetchall()
    db.close()
    return found


@needs_preload
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_power_cut_costs_the_last_moments_and_never_consistency(
    path: Path, whole: Path, recorded: Recorded, tmp_path: Path, share: float
) -> None:
    """The disk after a cut has everything that was synced and any part of the rest.

    Its turns are those stored up to some moment, and the run continues from there.
    """
    luck = Random(int(share * 10))
    every = _turns(path.with_name("recorded"))
    for number in range(6):
        cut = luck.randint(0, len(recorded.changes))
        folder = restore(recorded.disk(cut, luck, share), tmp_path / str(number))
        check(folder)
        found = _turns(folder)
        assert found == every[: len(found)]
        counter = Counter()
        if number < 2:
            run(load_scenario(path), folder, resume=_begun(folder), watcher=counter)
            assert contents(folder) == contents(whole)
            assert counter.fresh == TURNS - len(found)


@needs_preload
def test_the_power_cut_is_a_hard_one(recorded: Recorded, tmp_path: Path) -> None:
    """The cuts of the test above lose turns: those that were only in memory."""
    total, left = len(recorded.changes), {0.0: 0, 1.0: 0}
    for cut in range(total // 8, total, total // 8):
        for share in left:
            folder = restore(recorded.disk(cut, Random(0), share), tmp_path / f"{cut} {share}")
            left[share] += len(_turns(folder))
    assert left[0.0] < left[1.0]
    synced = [change.path for change in recorded.changes if change.kind == "s"]
    assert sum(path.endswith("/store.sqlite-wal") for path in synced) > 3  # checkpoints, on the way too


@needs_preload
@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.3, 0.6])
def test_a_disk_that_is_full_from_any_write_on_loses_nothing(
    path: Path, whole: Path, recorded: Recorded, tmp_path: Path, fraction: float
) -> None:
    trial = Trial(path, tmp_path / "run", driver=CHECKPOINTS + DRIVER)
    status, said = trial.run(full=1 + int(fraction * len(recorded.changes)))
    assert status == 3, said
    if fraction in (0.1, 0.3):  # the disk is full in the middle of the debates
        state = RunState(read_status(trial.folder).state)
        assert state in (RunState.ABORTED, RunState.KILLED)
        assert "full" in state.meaning
    assert "full" in said or "No space" in said
    assert "--resume" in said
    assert "Traceback" not in said
    check(trial.folder)
    before = len(_turns(trial.folder))
    counter = Counter()
    run(load_scenario(path), trial.folder, resume=True, watcher=counter)
    assert contents(trial.folder) == contents(whole)
    assert counter.fresh == TURNS - before


_POWERLESS = """
import ctypes, os, sys
from society.cli import main
if os.geteuid() == 0:  # root writes everywhere, unless it gives that up
    class Head(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
    class Sets(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]
    assert ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(Head(0x20080522, 0)), (Sets * 2)()) == 0
folder = sys.argv[-1]
sys.exit(main([*sys.argv[1:-1], "--out", folder]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="gives up root's powers as Linux has them")
def test_a_folder_that_cannot_be_written_is_named(path: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    status, said = Trial(path, closed / "run", driver=_POWERLESS).run()
    assert (status, "cannot be written" in said, "--out" in said) == (2, True, True), said
    assert not list(closed.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="gives up root's powers as Linux has them")
def test_a_run_in_a_read_only_folder_can_be_read_and_not_resumed(path: Path, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    shutil.copy(whole / "store.sqlite", folder)
    before = (folder / "store.sqlite").read_bytes()
    (folder / "store.sqlite").chmod(0o444)
    folder.chmod(0o555)
    status, said = Trial(path, folder, driver=_POWERLESS).run(resume=True)
    assert (status, "cannot be written" in said, "--out" in said) == (2, True, False), said
    reading = _POWERLESS.partition("folder =")[0] + "sys.exit(main(['show', sys.argv[-1], '--item', '1']))"
    shown = subprocess.run([sys.executable, "-c", reading, str(folder)], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "solver-1" in shown.stdout
    assert (folder / "store.sqlite").read_bytes() == before
    assert [file.name for file in folder.iterdir()] == ["store.sqlite"]


def test_a_clock_that_goes_backwards_changes_nothing(
    path: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [2e9]

    def back() -> float:
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", back)
    monkeypatch.setattr(time, "time_ns", lambda: int(back() * 1e9))
    folder = run(load_scenario(path, ["task.limit=12"]), tmp_path / "run").folder
    for name in ("turns", "results"):
        execute(folder, f"DELETE FROM {name} WHERE item IN (SELECT item FROM {name} ORDER BY item LIMIT 40)")
    run(load_scenario(path), folder, resume=True)
    assert contents(folder) == contents(whole)


JSONL = """
version: 1
name: copied
task: {kind: jsonl, path: sums.jsonl, answer: {equal: numeric}}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.5, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""


def _write_sums(folder: Path, last: str = "4") -> Path:
    folder.mkdir()
    lines = [f'{{"question": "What is {i} + {i}?", "answer": "{2 * i}"}}\n' for i in (1, 2)]
    (folder / "sums.jsonl").write_text("".join(lines).replace('"4"', f'"{last}"'))
    (folder / "scenario.yaml").write_text(JSONL)
    return folder / "scenario.yaml"


def test_a_run_that_was_copied_goes_on_and_is_read_elsewhere(tmp_path: Path) -> None:
    """The scenario and its files are in other places too; those of the first machine are gone."""
    here = _write_sums(tmp_path / "here")
    folder = run(load_scenario(here), tmp_path / "run").folder
    expected = contents(folder)
    execute(folder, "DELETE FROM results")
    execute(folder, "DELETE FROM turns WHERE round = 2")
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(folder)
    shutil.rmtree(here.parent)
    assert len(Run(copy).turns()) == 6
    there = _write_sums(tmp_path / "there")
    counter = Counter()
    run(load_scenario(there), copy, resume=True, watcher=counter)
    assert (counter.replayed, counter.fresh) == (6, 6)
    found = contents(copy)
    for table in ("turns", "results", "texts"):
        assert found[table] == expected[table]


def test_a_run_does_not_go_on_with_other_questions_of_the_same_name(tmp_path: Path) -> None:
    run(load_scenario(_write_sums(tmp_path / "here")), tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"task\.path are not those"):
        run(load_scenario(_write_sums(tmp_path / "there", last="5")), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("version", "remedy"), [("0", "No society wrote"), ("99", "newer society"), ("x", "No society wrote")]
)
def test_a_store_of_another_version_is_refused_and_stays_as_it_was(
    path: Path, whole: Path, tmp_path: Path, version: str, remedy: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(whole / "store.sqlite", folder)
    execute(folder, f"UPDATE meta SET value='{version}' WHERE name='store_version'")
    execute(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    before = (folder / "store.sqlite").read_bytes()
    for attempt in (
        lambda: run(load_scenario(path), folder, resume=True),
        lambda: Run(folder).turns(),
        lambda: Store(folder / "store.sqlite").__enter__(),
        lambda: run(load_scenario(path), tmp_path / "new", reuse=[folder]),
    ):
        with pytest.raises(RunFolderError, match=f"of version '{version}'") as refused:
            attempt()
        assert remedy in refused.value.remedy
    assert (folder / "store.sqlite").read_bytes() == before


@pytest.mark.slow
def test_two_processes_on_one_folder(path: Path, whole: Path, tmp_path: Path) -> None:
    """The second is refused, and the first continues undisturbed. The first waits for a file in mid-debate."""
    second = load_scenario(path)
    first = Trial(path, tmp_path / "run", driver=WAITING + DRIVER).start()
    try:
        while not _turns(tmp_path / "run"):
            assert first.poll() is None
            time.sleep(0.01)
        with pytest.raises(RunFolderError, match="in use by a run under way, in this process or another"):
            run(second, tmp_path / "run", resume=True)
        (tmp_path / "go").touch()
        _, said = first.communicate(timeout=120)
    finally:
        first.kill()
        first.communicate()
    assert first.returncode == 0, said
    assert contents(tmp_path / "run") == contents(whole)
