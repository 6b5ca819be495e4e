"""The state of runs: finished, running, killed, stuck, unreadable, and of earlier versions."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from society.cli import main
from society.core.interrupt import Interruption
from society.core.plain import to_plain
from society.core.types import Turn
from society.runs import lease, signs
from society.runs.folder import RunFolder
from society.runs.locking import LOCK, hold
from society.runs.run import Run
from society.runs.session_log import SessionLog
from society.runs.state import RunState, Session, write_sessions
from society.runs.status import RunStatus, read_status
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store import Store
from society.store.table import encode_json
from society.watcher import Watcher

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 3}
samples: 2
backends: {scripted: {kind: scripted, rules: [{calculate: {}}]}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 2}}
phases: [{name: debate, topology: none, rounds: 1}]
"""


@pytest.fixture
def finished(scenario: Callable[..., Scenario], tmp_path: Path) -> Path:
    return run(scenario(TEXT), tmp_path / "runs" / "done").folder


def write_state(folder: Path, state: RunState, reason: str = "") -> None:
    with Store(folder / "store.sqlite") as store:
        store.set_meta(write_sessions([Session(state=state, host="node-7", pid="12", reason=reason)]))


def test_a_finished_run(finished: Path) -> None:
    found = read_status(finished)
    assert (found.state, found.done, found.planned, found.turns, found.failed) == ("finished", 6, 6, 12, 0)
    assert found.progress == "6 of 6 debates"
    assert found.whole
    assert not found.stuck
    assert found.host


def test_a_run_in_the_middle_of_it(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    seen: list[RunStatus] = []

    class Look(Watcher):
        def turn(self, turn: Turn, replayed: bool) -> None:
            seen.append(read_status(tmp_path / "run"))

    run(scenario(TEXT), tmp_path / "run", watcher=Look())
    assert {found.state for found in seen} == {"running"}
    assert (seen[0].pid, seen[0].stuck, seen[0].whole) == (str(os.getpid()), False, False)
    assert seen[0].quiet is not None


@pytest.mark.parametrize(("quiet", "age", "stuck"), [(5.0, 0, False), (700.0, 0, True), (5.0, 300, True)])
def test_a_run_without_progress_or_signs_is_stuck(finished: Path, quiet: float, age: float, stuck: bool) -> None:
    write_state(finished, RunState.RUNNING)
    with hold(finished, None) as holder:
        holder.last_progress = lambda: time.monotonic() - quiet
        holder._write()
        file = next(finished.glob(".lease-*"))
        os.utime(file, (time.time() - age,) * 2)
        found = read_status(finished)
        assert (found.state, found.stuck) == ("running", stuck)
        assert ("no sign of life" in found.reason) == (age > lease.PATIENCE)
        assert main(["status", str(finished)]) == stuck
    assert read_status(finished).state == "killed"
    assert main(["status", str(finished)]) == 1


def test_a_paused_run_is_not_stuck(finished: Path) -> None:
    write_state(finished, RunState.PAUSED, "local: no answer")
    with hold(finished, None) as holder:
        holder.last_progress = lambda: time.monotonic() - 5000
        holder._write()
        found = read_status(finished)
    assert (found.state, found.stuck, found.reason) == ("paused", False, "local: no answer")


def test_a_run_that_stored_no_state_is_judged_by_its_debates(finished: Path) -> None:
    with Store(finished / "store.sqlite") as store:
        store._db.execute("DELETE FROM meta WHERE name = 'sessions'")
    assert read_status(finished).state == "finished"
    with Store(finished / "store.sqlite") as store:
        store._db.execute("DELETE FROM results WHERE sample = 1")
    found = read_status(finished)
    assert (found.state, found.progress) == ("interrupted", "3 of 6 debates")


def test_a_table_of_many_runs(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(finished, finished.parent / "sweep" / "first")
    write_state(finished.parent / "sweep" / "first", RunState.ABORTED, "the disk is full")
    (finished.parent / "empty").mkdir()
    shutil.copytree(finished, finished.parent / "broken")
    (finished.parent / "broken" / "store.sqlite").write_bytes(b"no store")
    assert main(["status", str(finished.parent)]) == 1
    said = capsys.readouterr().out
    assert "3 runs: 1 not readable, 1 finished, 1 aborted" in said
    assert "the disk is full" in said
    assert main(["status", str(finished.parent), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [Path(row["run"]).name for row in found] == ["broken", "done", "first"]
    assert found[1]["progress"] == "6 of 6 debates"
    assert main(["status", str(finished)]) == 0
    assert main(["status", str(finished.parent / "empty")]) == 2


def test_stray_folders_are_no_runs(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished.parent / "plots").mkdir()
    (finished.parent / "plots" / "accuracy.svg").touch()
    assert main(["status", str(finished.parent)]) == 0
    assert "1 run: 1 finished" in capsys.readouterr().out
    (finished.parent / "begun").mkdir()
    (finished.parent / "begun" / LOCK).touch()
    assert main(["status", str(finished.parent)]) == 1
    assert "begun" in capsys.readouterr().out


@pytest.mark.parametrize("state", [state for state in RunState if not state.is_live and state != RunState.UNCLEAR])
def test_the_exit_status_is_documented(finished: Path, state: RunState, capsys: pytest.CaptureFixture[str]) -> None:
    write_state(finished, state)
    fault = state in (RunState.ABORTED, RunState.KILLED, RunState.EXHAUSTED)
    assert main(["status", str(finished)]) == int(fault)
    assert main(["status", "--help"]) == 0
    words = {RunState.ABORTED: "ended with an error", RunState.EXHAUSTED: "waited too long", RunState.KILLED: "killed"}
    words |= {RunState.FAILED_TURNS: "finished", RunState.LIMITED: "reached a limit"}
    help_text = " ".join(capsys.readouterr().out.split())
    faults, _, fine = help_text.partition("It is 0")
    assert words.get(state, state) in (faults if fault else fine)


def test_counts_do_not_read_the_whole_store(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("the whole store was read")

    with ExitStack() as stack:
        patch = stack.enter_context(monkeypatch.context())
        patch.setattr("society.store.opening.check_contents", fail)
        assert read_status(finished).whole


def test_the_calls_that_worked_on_a_run_are_listed(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = Session(state=RunState.KILLED, host="n1", pid="7", started="2026-01-01", gpus="H100", versions="torch 9")
    with Store(finished / "store.sqlite") as store:
        store.set_meta(write_sessions([call, Session(RunState.FINISHED, host="n2", pid="8", workers="n3 (no GPU)")]))
    assert main(["status", str(finished), "--calls"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{finished}: ")]
    assert "made with society" in lines[0]
    assert lines[1].endswith("2026-01-01 to ?: killed; process 7 on n1; GPUs: H100; other versions: torch 9")
    assert lines[2].endswith("finished; process 8 on n2; workers: n3 (no GPU)")
    main(["status", str(finished), "--json"])
    [row] = json.loads(capsys.readouterr().out)
    assert [one["host"] for one in row["sessions"]] == ["n1", "n2"]
    assert row["versions"]["society"]


def test_a_call_without_an_end_was_killed_once_a_later_one_worked(finished: Path) -> None:
    calls = [Session(RunState.PAUSED), Session(RunState.RUNNING), Session(RunState.FINISHED, ended="2026-01-01")]
    for number, states in ((2, ["killed"] * 2), (3, ["killed", "killed", "finished"])):
        with Store(finished / "store.sqlite") as store:
            store.set_meta(write_sessions(calls[:number]))
        assert [call.state for call in Run(finished).sessions()] == states
        assert [call.state for call in read_status(finished).sessions] == states


def leave_lease(folder: Path, runs: bool, written: float = 0.0, quiet: float = 0.0) -> None:
    """Write the lease of a process of another machine that was killed days ago."""
    left = lease.Lease("a" * 32, "node-7", "its start", 12, runs=runs, written=written, quiet=quiet)
    path = folder / ".lease-9"
    signs._sights.clear()
    path.write_bytes(encode_json(to_plain(asdict(left))).encode().ljust(lease.SIZE))
    os.utime(path, (time.time() - 3 * signs.DAY,) * 2)


@pytest.mark.parametrize("stored", [True, False])
def test_a_call_that_was_killed_before_it_stored_anything_is_listed(finished: Path, stored: bool) -> None:
    """A run on a shared disk, whose first copy of the store has no calls, or only earlier ones."""
    if not stored:
        with Store(finished / "store.sqlite") as store:
            store._db.execute("DELETE FROM meta WHERE name = 'sessions'")
    leave_lease(finished, runs=False)
    assert read_status(finished).state == "finished", "only a deletion or migration was killed"
    leave_lease(finished, runs=True)
    found = read_status(finished)
    assert (found.state, found.host, found.pid) == ("killed", "node-7", "12")
    assert [call.state for call in found.sessions] == ["finished"] * stored + ["killed"]
    assert Run(finished).sessions() == list(found.sessions)
    assert main(["status", str(finished)]) == 1


def test_the_first_copy_of_a_store_has_the_call(
    scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Session]] = []
    monkeypatch.setattr(RunFolder, "copy_soon", lambda folder: seen.append(Run(folder.path).sessions()))
    run(scenario(TEXT), tmp_path / "run")
    assert [(call.state, call.pid) for call in seen[0]] == [("running", str(os.getpid()))]


def test_a_killed_call_stays_listed_when_the_run_goes_on(finished: Path, scenario: Callable[..., Scenario]) -> None:
    leave_lease(finished, runs=True)
    for path in finished.glob(".lease-[1-8]"):
        path.unlink()
    found = lease.find_lease(finished)
    with hold(finished, found) as holder:
        log = SessionLog(holder, Interruption(), lambda: ("", ""))
        with Store(finished / "store.sqlite") as store:
            store.set_meta(log.begin(store))
    states = [call.state for call in Run(finished).sessions()]
    assert states == ["finished", "killed", "killed"]


def test_the_last_turn_has_its_own_time_and_not_that_of_a_file(
    finished: Path, scenario: Callable[..., Scenario], capsys: pytest.CaptureFixture[str]
) -> None:
    [call] = Run(finished).sessions()
    assert call.started <= call.last <= call.ended
    before = datetime.fromtimestamp(time.time() - 7200, UTC).isoformat(timespec="seconds")
    with Store(finished / "store.sqlite") as store:
        store.set_meta(write_sessions([replace(call, last=before)]))
    shutil.copytree(finished, finished.parent / "copy")
    assert read_status(finished.parent / "copy").quiet == pytest.approx(7200, abs=600)
    run(scenario(TEXT), finished, resume=True)
    assert [one.last for one in Run(finished).sessions()] == [before] * 2, "no new turn"
    assert read_status(finished).quiet == pytest.approx(7200, abs=600)
    for last in ("", "nonsense", "0001-01-01"):
        with Store(finished / "store.sqlite") as store:
            store.set_meta(write_sessions([replace(call, last=last)]))
        quiet = read_status(finished).quiet
        assert quiet is None or quiet > 1e9
    assert main(["status", str(finished)]) == 0
    leave_lease(finished, runs=True, written=time.time() - 3600, quiet=3600)
    assert read_status(finished).quiet == pytest.approx(7200, abs=600), "that of a killed call"


def test_what_cannot_be_read_hides_no_other_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["status", str(finished), str(tmp_path / "missing")]) == 1
    said = capsys.readouterr().out
    assert "1 finished, 1 not readable" in said
    locked = finished.parent / "locked"
    locked.mkdir()
    monkeypatch.setattr("society.runs.status.os.access", lambda path, mode: path != locked)
    monkeypatch.setattr(
        "society.runs.status.is_running", lambda folder, twice=False: denied() if folder == locked else False
    )
    assert main(["status", str(finished.parent)]) == 1
    assert "1 finished, 1 not readable" in capsys.readouterr().out


def denied() -> bool:
    raise PermissionError(errno.EACCES, "Permission denied")
