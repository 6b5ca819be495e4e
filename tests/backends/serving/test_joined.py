"""A server that a run has joined is gone when a training needs it: the run waits, and no turn fails."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.openai.adapters import ServerAdapters
from backends.vllm import VLLM
from backends.vllm.engine import VLLMEngine
from society.core.errors import UnavailableError, WaitedTooLongError
from society.runs.run import Run
from society.runs.state import RunState
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run as run_scenario
from society.simulation.outages import Availability
from tests.backends.serving.conftest import Events
from tests.backends.serving.test_serving import write_scenario

pytest.importorskip("torch")
pytestmark = pytest.mark.slow
STEPS: dict[str, tuple[type, str, str]] = {
    "sleep": (VLLMEngine, "sleep", "lora"),
    "wake": (VLLMEngine, "wake", "lora"),
    "weights": (VLLMEngine, "read_weights", "full"),
    "load": (ServerAdapters, "load", "lora"),
}
"""Class and method of each command to the server, and the method of finetuning that needs it."""


class Joined:
    """A server that others have started, and that they start again."""

    def __init__(self, model: Path, place: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        engine, config = VLLMEngine(), VLLM(model=str(model))
        self.command = [*engine.find_program(), *engine.options(config, model, self.port, place)]
        self.environment = os.environ | engine.environment(config)
        self.process: subprocess.Popen[bytes] | None = None
        self.ends = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start the server unless it runs, and return once it answers."""
        if self.process is None:
            self.process = subprocess.Popen(self.command, env=self.environment)
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health")
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server does not start")

    def end(self) -> None:
        """End the server."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.ends += 1


@pytest.fixture
def joined(model: Path, events: Events, tmp_path: Path) -> Iterator[Joined]:
    server = Joined(model, Path(tempfile.mkdtemp(dir=tmp_path)))
    server.start()
    yield server
    server.end()


def end_before(step: str, server: Joined, monkeypatch: pytest.MonkeyPatch, again: bool = False) -> str:
    """End the server before this command is first sent, and return the method of finetuning that needs it.

    With `again`, it is started again at once.
    """
    place, name, method = STEPS[step]
    real = getattr(place, name)

    async def send(*arguments: Any) -> None:
        if not server.ends:
            server.end()
            if again:
                server.start()
        await real(*arguments)

    monkeypatch.setattr(place, name, send)
    return method


def read_scenario(folder: Path, model: Path, method: str, *changes: str) -> Scenario:
    """Return a scenario that trains. The type of the weights is the server's own choice."""
    path = write_scenario(folder, model, method, "vllm")
    path.write_text(path.read_text().replace(" dtype: float32,", ""))
    return load_scenario(path, changes)


def check_learned(folder: Path) -> None:
    """Check that every turn after the training was generated with what was trained."""
    done = Run(folder)
    turns = [turn for turn in done.turns() if turn.id.iteration == 1]
    assert {turn.status for turn in turns} == {"ok"}
    assert {turn.adapter for turn in turns} == {row.hash for row in done.adapters()}
    assert [call.state for call in done.sessions()] == [RunState.FINISHED]


@pytest.mark.parametrize("step", STEPS)
def test_a_training_waits_for_a_joined_server(
    step: str, joined: Joined, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = end_before(step, joined, monkeypatch)
    fail, lost = Availability.fail, []

    def start(availability: Availability, error: UnavailableError) -> WaitedTooLongError | None:
        lost.append(error)
        joined.start()
        return fail(availability, error)

    monkeypatch.setattr(Availability, "fail", start)
    scenario = read_scenario(tmp_path, model, method, f"backends.tiny.url={joined.url}")
    run_scenario(scenario, tmp_path / "run")
    assert lost
    check_learned(tmp_path / "run")


def test_a_joined_server_that_is_started_again_in_its_sleep_gets_its_adapters(
    joined: Joined, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the adapters of the training just before, and no request shows that it was gone."""
    end_before("wake", joined, monkeypatch, again=True)
    run_scenario(read_scenario(tmp_path, model, "lora", f"backends.tiny.url={joined.url}"), tmp_path / "run")
    assert joined.ends == 1
    check_learned(tmp_path / "run")


@pytest.mark.parametrize("step", ["sleep", "load"])
def test_a_joined_server_that_stays_away_from_a_training_stops_the_run(
    step: str, joined: Joined, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = end_before(step, joined, monkeypatch)
    scenario = read_scenario(tmp_path, model, method, f"backends.tiny.url={joined.url}", "retry.minutes=0")
    with pytest.raises(WaitedTooLongError, match="No server answers"):
        run_scenario(scenario, tmp_path / "run")
    assert [call.state for call in Run(tmp_path / "run").sessions()] == [RunState.EXHAUSTED]
    joined.start()
    run_scenario(scenario, tmp_path / "run", resume=True)
    assert Run(tmp_path / "run").sessions()[-1].state == RunState.FINISHED
