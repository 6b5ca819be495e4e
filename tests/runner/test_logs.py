"""Logs have times and levels, on request as JSON lines; a run without a terminal shows its counts every minute."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from society.cli import main
from society.core.interrupt import Interrupted
from society.runner import logs
from society.runner.displays import Display, Logged
from society.runner.logs import OWN, set_logs
from society.runner.progress import Progress
from society.scenario.models.scenario import Scenario
from society.session import run_async
from tests.simulation.virtual_time import run_in_virtual_time

TEXT = """
version: 1
name: logged
task: {kind: arithmetic, form: a+b, limit: 9}
backends: {scripted: {kind: scripted, delay: 30, rules: [{say: "It is 4."}]}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 1}}
phases: [{name: debate, rounds: 1}]
concurrency: 1
"""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, levels = list(root.handlers), {name: logging.getLogger(name).level for name in OWN}
    yield
    root.handlers[:] = before
    logs.as_json = False
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def read(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_text_has_time_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    set_logs("info", json_lines=False)
    set_logs("info", json_lines=False)  # the second call adds no second line
    logging.getLogger("society.x").info("Hello\x1b[31m %s", "you")
    logging.getLogger("society.x").debug("Not this.")
    logging.getLogger("other").info("Nor this.")
    said = capsys.readouterr().err
    time, level, name, *message = said.split()
    assert datetime.fromisoformat(time).tzinfo is not None
    assert (level, name, message[-1]) == ("info", "society.x:", "you")
    assert "\x1b" not in said


def test_json_has_facts_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    set_logs("debug", json_lines=True)
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("backends").error("It\nfailed.", exc_info=True, extra={"facts": {"turns": 3}})
    [line] = read(capsys.readouterr().err)
    assert (line["level"], line["message"], line["turns"]) == ("error", "It\nfailed.", 3)
    assert "ValueError: wrong" in line["traceback"]


def test_an_interrupted_command_logs_json_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise Interrupted(signal.SIGTERM, tmp_path)

    monkeypatch.setattr("society.session.run", stop)
    (tmp_path / "scenario.yaml").write_text(TEXT)
    command = ["run", str(tmp_path / "scenario.yaml"), "-o", str(tmp_path / "run")]
    assert main([*command, "--log-json"]) == 143
    said = capsys.readouterr()
    assert said.out == ""
    assert "Interrupted." in read(said.err)[-1]["message"]


@pytest.mark.parametrize("display", [Display, Logged])
def test_the_counts_are_shown_every_minute(
    display: type[Display], scenario: Callable[..., Scenario], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine replies of 30 s, one after another: four whole minutes."""
    set_logs("info", json_lines=True)
    run_in_virtual_time(run_async(scenario(TEXT), tmp_path / "run", watcher=Progress(display())))
    said = capsys.readouterr().err
    if display is Logged:
        assert [line["turns"] for line in read(said) if "turns" in line] == [1, 3, 5, 7]
    else:
        assert len([line for line in said.splitlines() if "/9 debates" in line]) == 4


def test_the_command_logs_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scenario.yaml").write_text(TEXT.replace("delay: 30, ", ""))
    command = ["run", str(tmp_path / "scenario.yaml"), "-o", str(tmp_path / "run"), "--log-json", "--json"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["debates"] == 9
    assert "9 debates" in read(said.err)[0]["message"]


def test_errors_of_the_command_are_json_lines_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scenario.yaml").write_text(TEXT.replace("delay: 30, ", ""))
    command = ["run", str(tmp_path / "scenario.yaml"), "-o", str(tmp_path / "run"), "--log-json"]
    assert main([*command, "--set", "limits.tokens=10"]) == 5
    assert "limits.tokens" in read(capsys.readouterr().err)[-1]["message"]


@pytest.mark.parametrize("command", ["run", "sweep"])
def test_the_highest_level_still_has_the_error_that_ends_the_command(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--seeds", "2"] if command == "sweep" else []
    logged = [*more, "--log-json", "--log-level", "error"]
    assert main([command, str(tmp_path / "nosuch.yaml"), *logged]) == 2
    [line] = read(capsys.readouterr().err)
    assert line["level"] == "error"
    (tmp_path / "scenario.yaml").write_text(TEXT.replace("delay: 30, ", ""))
    words = [command, str(tmp_path / "scenario.yaml"), "-o", str(tmp_path / "run"), *logged]
    assert main([*words, "--set", "limits.tokens=10", "--json"]) == 5
    said = capsys.readouterr()
    lines = read(said.err)
    assert {line["level"] for line in lines} == {"error"}
    assert "`limits.tokens` allows 10" in lines[-1]["message"]
    if command == "run":
        numbers = json.loads(said.out)
        assert numbers["unfinished"].endswith("of 9 debates finished")
        used = numbers["stored"]["prompt_tokens"] + numbers["stored"]["generated_tokens"]
        assert f"has used {used:,} tokens" in numbers["reason"]
    assert main([*words, "--resume", "--set", "limits.tokens=10000"]) == 0  # what the error advises


def test_a_display_outside_an_event_loop_has_no_clock() -> None:
    with Progress(Display()) as progress:
        assert progress.counts()["turns"] == 0
