"""Runs on shared disks: the store is written on a local one, copied whole, and one machine works on a run at a time."""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from society.core import disks
from society.core.errors import InputError, RunFolderError, StoreError
from society.core.plain import to_plain
from society.core.types import Turn
from society.runs import lease, mirror
from society.runs.folder import RunFolder
from society.runs.lease import Holder, Lease, find_lease
from society.runs.locking import LOCK, is_running, wait_for
from society.runs.places import find_store
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store.table import encode_json
from society.watcher import Watcher
from tests.conftest import rows
from tests.faults.injection import compile_library
from tests.faults.machines import Machine

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 6}
backends:
  scripted:
    kind: scripted
    delay: DELAY
    rules: [{calculate: {skill: 0.5, wrong: spread}}]
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 4}]
concurrency: 2
"""
TURNS = 6 * 3 * 4


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that counts as one on NFS, where SQLite has to get along without locks and shared memory."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (tmp_path / "mountinfo").write_text(f"1 0 8:1 / / rw - ext4 x rw\n2 1 0:1 / {folder} rw - nfs4 x rw\n")
    monkeypatch.setattr(disks, "MOUNTS", tmp_path / "mountinfo")
    monkeypatch.setenv(disks.SCRATCH, str(tmp_path / "scratch"))
    return folder


@pytest.fixture
def alone(scenario: Callable[..., Scenario], tmp_path: Path) -> list[dict[str, Any]]:
    """Return the rows of an undisturbed run."""
    return rows(run(scenario(TEXT.replace("DELAY", "0.001")), tmp_path / "alone"))


def list_scratch(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]


class Look(Watcher):
    """Looks at the run in the middle of it, and may end it."""

    def __init__(self, folder: Path, after: int, end: BaseException | None = None) -> None:
        self.folder, self.left, self.end = folder, after, end
        self.seen: list[Any] = []

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.left -= 1
        if self.left == 0:
            self.seen = [find_store(self.folder), Run(self.folder).count_turns(), is_running(self.folder)]
            if self.end is not None:
                raise self.end


def test_a_run_on_a_shared_disk_is_written_beside_it(
    scenario: Callable[..., Scenario], shared: Path, tmp_path: Path, alone: list[dict[str, Any]]
) -> None:
    look = Look(shared / "run", 20)
    done = run(scenario(TEXT.replace("DELAY", "0.001")), shared / "run", watcher=look)
    store, count, running = look.seen
    assert store.is_relative_to(tmp_path / "scratch")
    assert count >= 20
    assert running
    assert rows(done) == alone
    assert not list_scratch(tmp_path)
    assert find_store(done.folder) == done.folder / "store.sqlite"
    assert not is_running(done.folder)
    assert done.folder.joinpath("store.sqlite").read_bytes()[18:20] == b"\1\1", "no WAL, so no shared memory"
    assert sorted(path.name for path in done.folder.iterdir()) == [
        ".lease-1",
        ".lock",
        "questions.json",
        "store.sqlite",
    ]
    reused = run(scenario(TEXT.replace("DELAY", "0.001")), shared / "again", reuse=done)
    assert reused.count_reused() == TURNS
    assert not list_scratch(tmp_path)


def test_without_a_local_disk_the_run_is_refused(
    scenario: Callable[..., Scenario], shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(disks.SCRATCH, str(shared / "scratch"))
    with pytest.raises(InputError, match=r"shared disk \(nfs4\)") as error:
        run(scenario(TEXT.replace("DELAY", "0.001")), shared / "run")
    assert disks.SCRATCH in error.value.remedy
    assert not (shared / "run").exists()


def test_an_error_leaves_a_whole_copy(
    scenario: Callable[..., Scenario], shared: Path, tmp_path: Path, alone: list[dict[str, Any]]
) -> None:
    loaded = scenario(TEXT.replace("DELAY", "0.001"))
    with pytest.raises(ZeroDivisionError):
        run(loaded, shared / "run", watcher=Look(shared / "run", 30, ZeroDivisionError()))
    shutil.rmtree(tmp_path / "scratch")  # as on another machine
    assert 30 <= Run(shared / "run").count_turns() < TURNS
    assert rows(run(loaded, shared / "run", resume=True)) == alone


def test_a_full_quota_is_an_error_and_loses_nothing(
    scenario: Callable[..., Scenario], shared: Path, alone: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*paths: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    loaded = scenario(TEXT.replace("DELAY", "0.001"))
    with monkeypatch.context() as full:
        full.setattr(mirror.shutil, "copyfile", fail)  # type: ignore[attr-defined]
        with pytest.raises(StoreError, match=r"cannot be copied to .*quota") as error:
            run(loaded, shared / "run")
    assert "--resume on this machine" in error.value.remedy
    assert find_lease(shared / "run").open  # type: ignore[union-attr]
    assert Run(shared / "run").count_turns() == TURNS
    made: list[bool] = []

    class Count(Watcher):
        def turn(self, turn: Turn, replayed: bool) -> None:
            made.append(not replayed)

    assert rows(run(loaded, shared / "run", resume=True, watcher=Count())) == alone
    assert not any(made)


def test_a_run_moved_to_a_shared_disk_and_back_keeps_what_its_wal_holds(
    scenario: Callable[..., Scenario], shared: Path, tmp_path: Path, alone: list[dict[str, Any]]
) -> None:
    loaded = scenario(TEXT.replace("DELAY", "0.001"))
    run(loaded, tmp_path / "local")
    with closing(sqlite3.connect(tmp_path / "local" / "store.sqlite")) as db:
        db.execute("DELETE FROM turns WHERE rowid > 40")
        db.commit()
        shutil.copytree(tmp_path / "local", shared / "run")  # with a WAL, as after a kill
    assert (shared / "run" / "store.sqlite-wal").stat().st_size
    assert Run(shared / "run").count_turns() == 40
    wal = (shared / "run" / "store.sqlite-wal").read_bytes()
    done = run(loaded, shared / "run", resume=True)
    assert rows(done) == alone
    assert not (shared / "run" / "store.sqlite-wal").exists()
    shutil.copytree(shared / "run", tmp_path / "back")
    (tmp_path / "back" / "store.sqlite-wal").write_bytes(wal)  # a power cut kept the old one
    assert Run(tmp_path / "back").count_turns() == TURNS
    assert rows(run(loaded, tmp_path / "back", resume=True)) == alone


def write_lease(folder: Path, number: int, **changes: Any) -> Path:
    """Write a lease of another machine."""
    other = replace(Lease("0" * 32, "other", "another start", 7), **changes)
    path = folder / f".lease-{number}"
    path.write_bytes(encode_json(to_plain(asdict(other))).encode().ljust(lease.SIZE))
    return path


@pytest.mark.parametrize("locks", [True, False])
def test_a_lease_of_another_machine_is_watched_before_it_is_taken_over(
    tmp_path: Path, locks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 0.2)
    monkeypatch.setattr(lease, "BEAT", 0.05)
    path = write_lease(tmp_path, 4)
    if locks:
        (tmp_path / LOCK).touch()
    with pytest.raises(RunFolderError, match="process 7 on other"):
        Holder(tmp_path).acquire(None, locks)
    seen = asyncio.run(wait_for(tmp_path))
    held = Holder(tmp_path).acquire(seen, locks)
    assert held.previous is not None
    assert held.previous.host == "other"
    assert not path.exists()
    with pytest.raises(RunFolderError, match="in use"):
        Holder(tmp_path).acquire(None, locked=False)
    write_lease(tmp_path, 6)  # another machine did not see ours, and took the lease over
    with pytest.raises(StoreError, match="taken over"):
        held.check()
    held.release()
    assert find_lease(tmp_path).lease.host == "other"  # type: ignore[union-attr]


def test_a_lease_that_changes_while_it_is_watched_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 30.0)
    monkeypatch.setattr(lease, "BEAT", 0.05)
    write_lease(tmp_path, 1)

    async def watch() -> None:
        waiting = asyncio.ensure_future(wait_for(tmp_path))
        await asyncio.sleep(0.05)
        write_lease(tmp_path, 1, beat=2)
        await waiting

    with pytest.raises(RunFolderError, match="process 7 on other"):
        asyncio.run(watch())


def test_a_hostile_lease_is_not_followed_and_controls_no_terminal(tmp_path: Path) -> None:
    write_lease(tmp_path, 1, host="\x1b[2J")
    found = find_lease(tmp_path)
    assert found is not None
    assert found.lease is None
    (tmp_path / "other").write_bytes((tmp_path / ".lease-1").read_bytes())
    (tmp_path / ".lease-2").symlink_to(tmp_path / "other")
    assert not is_running(tmp_path)
    with pytest.raises(RunFolderError, match="is a link"):
        find_store(tmp_path)


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff" * 2000])
def test_a_lease_that_cannot_be_read_counts_as_held_on_a_shared_disk(shared: Path, raw: bytes) -> None:
    path = write_lease(shared, 1)
    path.write_bytes(raw)
    assert is_running(shared)
    with pytest.raises(RunFolderError, match="in use"):
        Holder(shared).acquire(None, locked=True)
    old = time.time() - 2 * lease.PATIENCE
    os.utime(path, (old, old))
    assert not is_running(shared)


@pytest.mark.parametrize("changes", [{}, {"host": platform.node(), "machine": "an earlier start"}])
def test_after_a_power_cut_a_local_run_is_taken_over_at_once(tmp_path: Path, changes: dict[str, str]) -> None:
    path = write_lease(tmp_path, 1, **changes)
    if not changes:
        path.write_bytes(b"")
        (tmp_path / LOCK).touch()
    seen = asyncio.run(wait_for(tmp_path))
    Holder(tmp_path).acquire(seen, locked=True).release()


def test_of_many_that_see_the_same_lease_one_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE", 0.0)
    write_lease(tmp_path, 3)
    seen = asyncio.run(wait_for(tmp_path))
    got = []
    for _ in range(5):
        try:
            got.append(Holder(tmp_path).acquire(seen, locked=False))
        except RunFolderError:
            continue
    assert len(got) == 1
    got[0].release()
    assert not find_lease(tmp_path).open  # type: ignore[union-attr]


def test_a_store_is_not_copied_once_another_machine_works_on_the_run(
    scenario: Callable[..., Scenario], shared: Path
) -> None:
    loaded = scenario(TEXT.replace("DELAY", "0.001"))

    class Steal(Watcher):
        def result(self, result: object) -> None:
            write_lease(shared / "run", 9)

    with pytest.raises(StoreError, match="taken over"):
        run(loaded, shared / "run", watcher=Steal())
    assert find_lease(shared / "run").lease.host == "other"  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.skipif(compile_library("shared_disk.c") is None, reason="no C compiler, or not Linux")
def test_two_machines_on_a_disk_that_lies(
    scenario: Callable[..., Scenario], tmp_path: Path, alone: list[dict[str, Any]]
) -> None:
    """Locks of a machine are unknown to the other, SQLite's shared memory does not work, and clocks differ."""
    one = Machine(tmp_path / "one", tmp_path / "disk")
    two = Machine(tmp_path / "two", tmp_path / "disk", clock=-4000)
    folder = tmp_path / "disk" / "run"
    command = ["run", tmp_path / "scenario.yaml", "-o", folder]
    killed = one.start(*command, "--set", "backends.scripted.delay=0.5")
    wait(killed, lambda: (folder / "store.sqlite").exists() and Run(folder).count_turns() >= 12)
    killed.kill()
    killed.communicate()
    copied = Run(folder).count_turns()
    assert 12 <= copied < TURNS
    held = one.start(*command, "--resume", "--set", "backends.scripted.delay=1000")
    wait(held, lambda: (folder / ".lease-2").exists())
    status, said = two.run(*command, "--resume")
    assert status == 2, said
    assert f"process {held.pid} on one" in said
    status, said = two.run("migrate", folder)
    assert status == 2, said
    assert f"process {held.pid} on one" in said
    status, said = two.run("show", folder)
    assert status == 0, said
    assert "Unfinished" in said
    status, said = two.run("status", folder)
    assert status == 0, said
    assert "1 run: 1 running" in said
    assert "behind that of the run's machine or disk" in said
    assert held.poll() is None
    held.kill()
    held.communicate()
    status, said = two.run("status", folder)
    assert status == 1, said
    assert "1 run: 1 killed" in said
    status, said = two.run(*command, "--resume")
    assert status == 0, said
    assert f"is held by process {held.pid} on one" in said
    assert rows(Run(folder)) == alone


def wait(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Wait until a process has reached something."""
    while not reached():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_a_folder_that_is_held_here_is_refused_at_once(scenario: Callable[..., Scenario], shared: Path) -> None:
    loaded = scenario(TEXT.replace("DELAY", "0.001"))
    with RunFolder(loaded, shared / "run", resume=False):
        with pytest.raises(RunFolderError, match=f"process {os.getpid()} on"):
            RunFolder(loaded, shared / "run", resume=False).__enter__()
        assert is_running(shared / "run")
    assert not (shared / "run").exists()
