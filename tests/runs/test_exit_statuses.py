"""Every end of a run, resumed with every other end: the exit status is that of the documented state."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from backends.base import Backend
from backends.scripted.backend import Scripted
from society.cli import main
from society.core.errors import BackendError, UnavailableError
from society.core.types import GenerateOutput, GenerateRequest, Usage
from society.runs import session_log
from society.runs.run import Run
from society.runs.state import RunState, Session, write_sessions
from society.runs.status import read_status
from society.scenario.models.scenario import Scenario
from society.store import Store

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 6}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 2}}
phases: [{name: debate, rounds: 1}]
retry: {minutes: 0, tries: 1, failures: 3}
concurrency: 1
"""
TURNS, EACH = 12, 10
"""Number of turns of a run, and tokens of a reply."""
LIMIT = 3 * EACH
ENDS = {
    RunState.FINISHED: 0,
    RunState.FAILED_TURNS: 1,
    RunState.ABORTED: 3,
    RunState.EXHAUSTED: 4,
    RunState.LIMITED: 5,
    RunState.INTERRUPTED: 143,
}
"""States in which a call can end, with their exit statuses after SIGTERM."""


@dataclass
class Server(Backend):
    """A server whose replies lead a run to this end."""

    end: RunState = RunState.FINISHED
    asked: int = 0
    model_hash: str = "server"

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        self.asked += 1
        if self.end == RunState.EXHAUSTED:
            raise UnavailableError("No server answers.", "Start the server.")
        if self.end == RunState.ABORTED or (self.end == RunState.FAILED_TURNS and self.asked % 2):
            raise BackendError("It failed.")
        if self.end == RunState.INTERRUPTED and self.asked == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return GenerateOutput("The answer is 7.", usage=Usage(EACH - 1, 1))


Play = Callable[..., tuple[int, RunState]]


@pytest.fixture(autouse=True)
def _handled() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def play(scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that leads the command to an end, and returns its exit status and the run's state."""
    scenario(TEXT)

    def played(end: RunState, *options: str, limit: int = LIMIT) -> tuple[int, RunState]:
        monkeypatch.setattr(Scripted, "open", lambda config: Server(end))
        limits = ["--set", f"limits.tokens={limit}"] if end == RunState.LIMITED else []
        command = ["run", str(tmp_path / "scenario.yaml"), "-o", str(tmp_path / "run"), *limits, *options]
        return main(command), RunState(read_status(tmp_path / "run").state)

    return played


@pytest.mark.parametrize(("first", "second"), [*product(ENDS, ENDS)])
def test_a_resumed_run_has_the_status_of_its_new_end(play: Play, first: RunState, second: RunState) -> None:
    assert play(first) == (ENDS[first], first)
    status, state = play(second, "--resume")
    if first == RunState.FINISHED:  # no reply is needed
        second = RunState.FINISHED
    assert status == ENDS[second]
    refused = (first, second) == (RunState.FAILED_TURNS, RunState.LIMITED)
    assert state == (first if refused else second)
    assert play(RunState.FINISHED, "--resume") == (0, RunState.FINISHED)


def test_a_limit_that_is_spent_is_told_with_its_remedy(
    play: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play(RunState.LIMITED)
    for limit, status, turns in ((LIMIT, 5, 3), (2 * LIMIT, 5, 6), (1000, 0, TURNS)):
        capsys.readouterr()
        assert play(RunState.LIMITED, "--resume", limit=limit)[0] == status
        assert Run(tmp_path / "run").count_turns() == turns
        said = capsys.readouterr().err
        assert ("Raise the limit to go on: --resume --set limits.tokens=" in said) == (status == 5)
        assert (f"has used {limit} tokens, and `limits.tokens` allows {limit}" in said) == (status == 5)


def test_a_spent_limit_of_minutes_is_told_with_what_was_used(
    play: Play, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play(RunState.LIMITED)
    with Store(tmp_path / "run" / "store.sqlite") as store:
        times = {"started": "2026-01-01T10:00:00+00:00", "ended": "2026-01-01T10:45:00+00:00"}
        store.set_meta(write_sessions([Session(RunState.LIMITED, **times)]))
    assert play(RunState.FINISHED, "--resume", "--set", "limits.minutes=30")[0] == 5
    assert "has used 45 minutes, and `limits.minutes` allows 30" in capsys.readouterr().err
    assert play(RunState.FINISHED, "--resume", "--set", "limits.minutes=60") == (0, RunState.FINISHED)


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.INTERRUPTED, RunState.ABORTED])
def test_a_run_that_was_stopped_after_its_last_reply_is_finished_whatever_its_limit(
    play: Play, tmp_path: Path, state: RunState
) -> None:
    """Only the replay can tell that no further reply is needed."""
    play(RunState.FINISHED)
    with Store(tmp_path / "run" / "store.sqlite") as store:
        store.set_meta(write_sessions([Session(state)]))
    assert play(RunState.LIMITED, "--resume") == (0, RunState.FINISHED)


def test_a_clock_that_is_set_during_a_run_counts_no_minutes(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call is measured by a steady clock; its times are those of the machine's clock then."""
    times = iter(["2026-01-01T00:00:00+00:00", "2026-01-04T00:00:00+00:00"])
    monkeypatch.setattr(session_log, "now", lambda: next(times, "2026-01-04T00:00:00+00:00"))
    play(RunState.LIMITED)
    [call] = Run(tmp_path / "run").sessions()
    assert call.ended > call.started
    assert 0 <= float(call.seconds) < 3600
    assert play(RunState.FINISHED, "--resume", "--set", "limits.minutes=600") == (0, RunState.FINISHED)
