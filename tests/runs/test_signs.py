"""Whether a run of another machine goes on, with clocks that differ: told by looking twice, and never by the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from society.cli import main
from society.cli import status as command
from society.core.plain import to_plain
from society.report.run_list import RunList
from society.runs import lease, signs
from society.runs.lease import Lease
from society.runs.locking import LOCK, is_running
from society.runs.state import RunState, read_sessions, write_sessions
from society.runs.status import read_status
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store import Store
from society.store.table import encode_json
from society.view.runs_folder import RunsFolder
from tests.runs.test_status import TEXT, write_state


class Elsewhere:
    """A process of another machine that holds a run. Its disk's clock is `ahead` of that of this machine."""

    def __init__(self, folder: Path, ahead: float) -> None:
        self.folder, self.ahead, self.beats = folder, ahead, 0
        for path in folder.glob(".lease-*"):
            path.unlink()
        self.beat()

    def beat(self, age: float = 0.0, written: float = 0.0) -> None:
        """Rewrite the lease as it was `age` seconds ago. `written`: the time by the holder's clock."""
        self.beats += 1
        path = self.folder / ".lease-9"
        now = Lease("0" * 32, "node-7", "its start", 12, self.beats, 5.0, written=written)
        path.write_bytes(encode_json(to_plain(asdict(now))).encode().ljust(lease.SIZE))
        os.utime(path, (time.time() + self.ahead - age,) * 2)


class Clock:
    """The steady clock of this machine."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = staticmethod(time.time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(signs, "time", found)
    monkeypatch.setattr(signs, "_sights", {})
    return found


@pytest.fixture
def held(scenario: Callable[..., Scenario], tmp_path: Path) -> Path:
    """Return the folder of a run that says that a process works on it."""
    folder = run(scenario(TEXT), tmp_path / "runs" / "held").folder
    write_state(folder, RunState.RUNNING)
    return folder


@pytest.mark.parametrize("ahead", [-7200.0, -300.0, 300.0, 7200.0])
def test_a_run_of_a_machine_with_another_clock_is_unclear_and_then_running(
    held: Path, clock: Clock, ahead: float
) -> None:
    other = Elsewhere(held, ahead)
    first = read_status(held)
    assert (first.state, first.host, first.pid, first.stuck) == ("unclear", "node-7", "12", False)
    assert "last sign of life of process 12 on node-7" in first.reason
    assert RunList(held.parent).read()[0][0].state == "finished", "whole, whoever holds it"
    clock.now += 12
    other.beat()
    clock.now += 3
    now = read_status(held)
    assert (now.state, now.stuck, now.quiet) == ("running", False, pytest.approx(8, abs=4))
    assert f"{'behind' if ahead > 0 else 'ahead of'} that of the run's machine" in now.reason


@pytest.mark.parametrize("ahead", [-7200.0, 0.0, 7200.0])
def test_a_killed_run_is_killed_after_a_look_whatever_clocks_say(held: Path, clock: Clock, ahead: float) -> None:
    Elsewhere(held, ahead).beat(age=200)
    assert read_status(held).state == "unclear"
    clock.now += signs.WATCH / 2
    assert is_running(held) is None
    clock.now += signs.WATCH / 2
    found = read_status(held)
    assert (found.state, found.stuck) == ("killed", False)
    assert "clock of this machine" in found.reason


def test_a_run_that_beat_and_then_stopped_is_killed_by_the_steady_clock(held: Path, clock: Clock) -> None:
    other = Elsewhere(held, 7200)
    is_running(held)
    clock.now += 10
    other.beat()
    assert is_running(held)
    clock.now += lease.PATIENCE + 1
    assert is_running(held) is False


def test_a_lease_that_changed_while_nobody_looked_is_no_sign_of_now(held: Path, clock: Clock) -> None:
    other = Elsewhere(held, -3000)
    assert is_running(held) is None
    other.beat()
    clock.now += 3000
    assert is_running(held) is None


def test_a_lease_of_days_ago_needs_no_look(held: Path, clock: Clock) -> None:
    Elsewhere(held, 0).beat(age=3 * signs.DAY)
    found = read_status(held)
    assert (found.state, found.reason) == (
        "killed",
        "The last sign of life of process 12 on node-7 was 72.0 h ago by the clock of this machine. "
        "If clocks may differ by days: society status --wait 30.",
    )


@pytest.mark.parametrize("days", [-4000, -2, 2, 4000])
def test_clocks_that_differ_by_days_are_told_and_the_run_is_running(held: Path, clock: Clock, days: int) -> None:
    """The clock of the reader, or of the disk and the node, is wrong."""
    other = Elsewhere(held, days * signs.DAY)
    assert read_status(held, twice=True).state == "unclear"
    clock.now += 12
    other.beat()
    clock.now += 3
    now = read_status(held, twice=True)
    assert (now.state, now.stuck, now.quiet) == ("running", False, pytest.approx(8, abs=4))
    assert f"{'behind' if days > 0 else 'ahead of'} that of the run's machine" in now.reason
    assert "-" not in now.reason


@pytest.mark.parametrize("node", [-30, 2])
def test_a_holder_whose_clock_is_not_that_of_the_disk_is_looked_at_twice(held: Path, clock: Clock, node: int) -> None:
    """So a lease that seems days old is not believed."""
    other = Elsewhere(held, -2 * signs.DAY)
    other.beat(written=time.time() + node * signs.DAY)
    assert read_status(held).state == "unclear"
    clock.now += signs.WATCH
    assert read_status(held).state == "killed"


def test_the_command_looks_twice_at_runs_of_days_ago_where_it_is_asked_to(
    held: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Elsewhere(held, -5 * signs.DAY)

    def sleep(seconds: float) -> None:
        clock.now += seconds
        other.beat()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    assert main(["status", str(held)]) == 1
    assert "1 run: 1 killed" in capsys.readouterr().out
    signs._sights.clear()
    assert main(["status", str(held), "--wait", "30"]) == 0
    assert "1 run: 1 running" in capsys.readouterr().out


@pytest.mark.parametrize("days", [-7000, -400, 400])
def test_times_of_a_finished_run_are_never_negative_or_absurd(
    held: Path, capsys: pytest.CaptureFixture[str], days: int
) -> None:
    then = datetime.fromtimestamp(time.time() + days * signs.DAY, UTC).isoformat(timespec="seconds")
    with Store(held / "store.sqlite") as store:
        [call] = read_sessions(store.meta())
        store.set_meta(write_sessions([replace(call, state=RunState.FINISHED, started=then, ended=then, last=then)]))
    found = read_status(held)
    wrong = days != -400  # a run may be a year old
    assert (found.state, found.quiet is None) == ("finished", wrong)
    assert ("differs from that of this one" in found.reason) == wrong
    assert main(["status", str(held)]) == 0
    assert ("differs from that of this one" in capsys.readouterr().out.replace("\n", " ")) == wrong


def test_the_command_watches_until_it_is_clear(
    held: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Elsewhere(held, -7200)
    assert main(["status", str(held), "--wait", "0"]) == 1
    assert "1 run: 1 unclear" in capsys.readouterr().out

    def sleep(seconds: float) -> None:
        clock.now += seconds
        other.beat()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    assert command.POLL < signs.WATCH
    assert main(["status", str(held)]) == 0
    told = capsys.readouterr()
    assert "1 run: 1 running" in told.out
    assert "Watching 1 run" in told.err
    assert main(["status", "--help"]) == 0
    assert "is unclear" in " ".join(capsys.readouterr().out.split()).partition("It is 0")[0]


def test_a_run_that_loads_on_another_machine_is_listed_with_host_and_process(
    held: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    loading = held.parent / "sweep" / "first"
    loading.mkdir(parents=True)
    (loading / LOCK).touch()
    other = Elsewhere(loading, 0)
    assert [row["state"] for row in (RunsFolder(held.parent / "sweep").index() or {})["runs"]] == ["starting"]
    rows = {row.name: row for row in RunList(held.parent).read()[0]}
    assert (rows["sweep/first"].state, rows["sweep/first"].scenario) == ("starting", "")
    assert rows["sweep/first"].reason.startswith("Process 12 on node-7.")
    assert main(["show", str(loading)]) == 2
    assert f"society status {loading}" in capsys.readouterr().err
    other.beat(age=3 * signs.DAY)
    clock.now += 1000
    rows = {row.name: row for row in RunList(held.parent).read()[0]}
    assert rows["sweep/first"].state == "killed"
    assert [status.state for status in map(read_status, (loading,))] == ["killed"]
