"""A stop reaches every run of a sweep: those that run one after another, and those that share an executor."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.scripted.backend import ScriptedBackend
from society.core.interrupt import Interrupted
from society.core.types import GenerateOutput, GenerateRequest
from society.executors.local import Local, LocalExecutor
from society.runner.sweep import sweep
from society.runs.run import Run
from society.runs.state import RunState
from society.scenario.models.scenario import Scenario
from tests.faults.injection import contents

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 20}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.5, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}}
agents: {solver: {count: 2}}
phases: [{name: debate, topology: complete, rounds: 2}]
concurrency: 2
"""
BEFORE = 3 * 80 // 2
"""Replies before the signal, of 80 in each of three variants."""


@pytest.fixture(autouse=True)
def _handled() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


class Calls:
    """Counts the replies that were begun, and sends SIGTERM at one of them."""

    def __init__(self) -> None:
        self.count, self.real = 0, ScriptedBackend.generate
        self.limit: int | None = BEFORE

    async def generate(self, backend: ScriptedBackend, request: GenerateRequest) -> GenerateOutput:
        self.count += 1
        if self.count == self.limit:
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.001)
        return await self.real(backend, request)


@pytest.mark.parametrize("shared", [False, True], ids=["in turn", "side by side"])
def test_a_signal_stops_every_run_and_loses_nothing(
    scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    calls = Calls()
    monkeypatch.setattr(ScriptedBackend, "generate", lambda backend, request: calls.generate(backend, request))
    monkeypatch.setattr(Local, "shares_runs", shared)
    monkeypatch.setattr(LocalExecutor, "count_runs", lambda executor, needs: 3)
    scenario(TEXT)
    path = tmp_path / "scenario.yaml"

    def play(out: str) -> Any:
        return sweep(path, ("seed=0,1,2",), tmp_path / out)

    with pytest.raises(Interrupted):
        play("runs")
    begun = [folder for folder in (tmp_path / "runs").iterdir() if (folder / "store.sqlite").exists()]
    stored = sum(Run(folder).count_turns() for folder in begun)
    assert stored == calls.count  # each reply that was begun is stored
    assert BEFORE <= stored < 3 * 80
    states = sorted(Run(folder).sessions()[-1].state for folder in begun)
    assert set(states) <= {RunState.FINISHED, RunState.INTERRUPTED}
    assert states.count(RunState.INTERRUPTED) >= 1 + shared
    calls.limit = None
    again, whole = play("runs"), play("whole")
    for one, other in zip(again, whole, strict=True):
        assert contents(one.run.folder)["results"] == contents(other.run.folder)["results"]
    assert all(not variant.missing for variant in again)
