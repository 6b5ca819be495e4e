"""A sweep in parts: over the tasks of an array job, and over processes; variants that fail do not stop the others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from society.cli import main
from society.core.errors import InputError, RunFolderError
from society.core.interrupt import Interrupted
from society.runner import sweep as sweeping
from society.runner.grid import Request, make_points
from society.runner.parts import pass_signals_on
from society.runner.sweep import Variant, sweep
from society.runs.locking import hold
from society.runs.run import Run
from society.runs.status import ERROR
from society.scenario.models.scenario import Scenario
from tests.conftest import rows
from tests.runner.test_sweep import TEXT

VARY = ["phases.debate.topology=complete,ring,star,chain,none"]


@pytest.fixture
def path(scenario: Callable[..., Scenario], tmp_path: Path) -> Path:
    scenario(TEXT.replace("limit: 20", "limit: 4"))
    return tmp_path / "scenario.yaml"


def contents(variants: list[Variant]) -> list[list[dict[str, Any]]]:
    return [[{**row, "reused": 0} for row in rows(variant.run)] for variant in variants]


def test_parts_make_the_whole_sweep(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = sweep(path, VARY, tmp_path / "whole")
    for index in (2, 0, 1):  # the first part here finds no leader, and runs it
        parts = sweep(path, VARY, tmp_path / "parts", index=index, of=3)
        assert len(parts) == 5
    assert not any(variant.missing for variant in parts)
    assert contents(parts) == contents(whole)
    assert [variant.run.count_reused() > 0 for variant in parts] == [False, True, True, True, True]
    status = main(["sweep", str(path), "--vary", VARY[0], "-o", str(tmp_path / "one"), "--index", "1", "--of", "3"])
    said = capsys.readouterr().out
    assert status == 0
    assert "Not in the table: 2 of 5 variants" in said
    assert said.count("has not begun") == 2


def test_a_part_needs_the_number_of_parts(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", str(path), "--vary", VARY[0], "-o", str(tmp_path / "one"), "--index", "0"]
    assert main(command) == 2
    assert "--index 0 needs --of" in capsys.readouterr().err
    assert not (tmp_path / "one").exists()
    assert main([*command, "--of", "1"]) == 0


def test_no_more_processes_than_variants(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(sweeping, "run_processes", lambda *arguments: started.append(arguments[1]))
    sweep(path, VARY, tmp_path / "out", jobs=9)
    assert started == [5]


def test_each_seed_has_a_leader(path: Path, tmp_path: Path) -> None:
    for index in range(2):
        parts = sweep(path, ["phases.debate.rounds=1,2"], tmp_path / "parts", seeds=2, index=index, of=2)
    assert [variant.run.count_reused() > 0 for variant in parts] == [False, True, False, True]


def block(path: Path, out: Path, number: int) -> Path:
    """Put a file where the folder of a variant belongs, and return that folder."""
    folder = make_points(Request(path, VARY, out))[number].folder
    out.mkdir()
    folder.touch()
    return folder


def test_a_variant_that_fails_does_not_stop_the_others(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    once = sweeping.run_async

    async def fail(scenario: Scenario, out: Path, **options: Any) -> Any:
        if "star" in out.name:
            raise RuntimeError("a bug")
        return await once(scenario, out, **options)

    monkeypatch.setattr(sweeping, "run_async", fail)
    command = ["sweep", str(path), "--vary", VARY[0], "-o", str(tmp_path / "out"), "--json"]
    assert main(command) == 1
    found = json.loads(capsys.readouterr().out)
    assert [row["missing"][:21] for row in found] == ["", "", "RuntimeError: a bug (", "", ""]
    assert [row["accuracy"] is None for row in found] == [False, False, True, False, False]
    assert (Path(found[2]["run"]) / ERROR).read_text().startswith("RuntimeError: a bug")
    assert main(["status", str(tmp_path / "out")]) == 1
    assert "a bug" in capsys.readouterr().out
    monkeypatch.setattr(sweeping, "run_async", once)
    assert main(command) == 0
    assert not (Path(found[2]["run"]) / ERROR).exists()


def test_a_run_is_one_line_of_the_status_in_a_pipe(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "out" / ("a-long-name-" * 12)
    sweep(path, ["phases.debate.topology=complete,ring"], place)
    capsys.readouterr()
    assert main(["status", str(place.parents[0])]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [Path(line[0]).parent.name for line in lines[1:-1]] == [place.name] * 2
    assert [line[1] for line in lines[1:-1]] == ["finished"] * 2


def test_if_all_fail_the_first_error_is_raised(path: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(RunFolderError, match="cannot be written"):
        sweep(path, VARY, tmp_path / "out" / "deeper")


def test_a_leader_that_fails_is_shared_by_nobody(path: Path, tmp_path: Path) -> None:
    leader = block(path, tmp_path / "out", 0)
    parts = sweep(path, VARY, tmp_path / "out", index=1, of=2)
    assert [bool(variant.missing) for variant in parts] == [True, False, True, False, True]
    assert parts[1].run.count_reused() == 0
    leader.unlink()


def test_the_exit_status_of_a_part_is_that_of_its_own_variants(path: Path, tmp_path: Path) -> None:
    block(path, tmp_path / "out", 1)
    command = ["sweep", str(path), "--vary", VARY[0], "-o", str(tmp_path / "out"), "--of", "2", "--index"]
    assert [main([*command, index]) for index in "01"] == [0, 1]


def test_a_leader_of_another_process_is_waited_for(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    [leader, *_] = make_points(Request(path, VARY, tmp_path / "out"))
    [first] = sweep(path, ["phases.debate.topology=complete"], tmp_path / "elsewhere")
    leader.folder.mkdir(parents=True)
    waits: list[float] = []
    sleep = asyncio.sleep

    async def finish(seconds: float) -> None:
        if seconds == sweeping.POLL:
            waits.append(seconds)
            if len(waits) == 2:
                held.__exit__(None, None, None)
                for name in ("store.sqlite", "questions.json"):
                    (leader.folder / name).write_bytes((first.run.folder / name).read_bytes())
        await sleep(0)

    monkeypatch.setattr(sweeping.asyncio, "sleep", finish)
    held = hold(leader.folder, None)
    held.__enter__()
    parts = sweep(path, VARY, tmp_path / "out", index=1, of=5)
    assert len(waits) == 2
    assert "Waiting for" in caplog.text
    assert parts[1].run.count_reused() >= 16
    assert Run(leader.folder).count_reused() == 0


@pytest.mark.slow
def test_processes_share_the_work(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = sweep(path, ["phases.debate.topology=complete,ring,star"], tmp_path / "whole")
    command = ["sweep", str(path), "--vary", "phases.debate.topology=complete,ring,star", "--jobs", "2"]
    assert main([*command, "-o", str(tmp_path / "jobs")]) == 0, capsys.readouterr().out
    parts = [Variant((), Run(tmp_path / "jobs" / variant.run.folder.name)) for variant in whole]
    assert contents(parts) == contents(whole)
    assert sorted(log.name for log in (tmp_path / "jobs").glob("*.log")) == ["part-0.log", "part-1.log"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_every_process(number: int) -> None:
    handler = signal.getsignal(number)
    started: list[subprocess.Popen[bytes]] = []

    def work() -> None:
        with pass_signals_on() as parts:
            parts += [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2)]
            started.extend(parts)
            os.kill(os.getpid(), number)
            for part in parts:
                part.wait()

    with pytest.raises(Interrupted) as stopped:
        work()
    assert [part.returncode for part in started] == [-number, -number]
    assert stopped.value.status == 128 + number
    assert signal.getsignal(number) is handler


def test_processes_are_started_from_any_thread(path: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        [one] = threads.submit(sweep, path, ["phases.debate.rounds=1"], tmp_path / "out", jobs=2).result()
    assert not one.missing


@pytest.mark.parametrize(
    "options", [{"index": 3, "of": 3}, {"index": -1, "of": 3}, {"of": 3}, {"jobs": 0}, {"jobs": 2, "index": 0}]
)
def test_parts_that_there_are_not_are_refused(path: Path, tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(InputError):
        sweep(path, VARY, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
