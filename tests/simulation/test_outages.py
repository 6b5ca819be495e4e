"""A server that is gone pauses the run, and no turn fails; a server that stays away stops the run, which can resume.

The event loop's clock jumps, so minutes of waiting take no time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from backends.base import Backend
from backends.openai.opening import NoHostError, NoServerError
from backends.scripted.backend import Scripted
from society.core.errors import InputError, TransientError, UnavailableError, WaitedTooLongError
from society.core.interrupt import Interruption
from society.core.types import GenerateOutput, GenerateRequest, Usage
from society.results import Run
from society.runs.lease import Holder
from society.runs.session_log import SessionLog
from society.runs.state import RunState
from society.runs.status import ERROR, read_status
from society.scenario.models.scenario import Scenario
from society.session import run_async
from society.simulation.outages import LONGEST_PROBE
from society.watcher import Watcher
from tests.conftest import rows
from tests.simulation.virtual_time import run_in_virtual_time

QUESTIONS, AGENTS, ROUNDS, SECONDS = 30, 3, 2, 2.0
TURNS = QUESTIONS * AGENTS * ROUNDS
TEXT = f"""
task: {{kind: arithmetic, form: a+b, limit: {QUESTIONS}}}
roles: {{solver: {{prompt: "{{% for m in heard %}}{{{{ m.text }}}} {{% endfor %}}{{{{ question }}}}"}}}}
agents: {{solver: {{count: {AGENTS}}}}}
phases: [{{name: debate, topology: complete, rounds: {ROUNDS}}}]
concurrency: 10
"""
ANSWERED = GenerateOutput("The answer is 7.", usage=Usage(3, 4))


class Server(Backend):
    """Answers after some seconds, but not within its outages, which also break off the requests in flight."""

    model_hash = "server"

    def __init__(self, *outages: tuple[float, float], error: TransientError | None = None) -> None:
        self.outages = outages
        self.error = error or UnavailableError("No server answers.", "Start the server.")
        self.refused: list[float] = []
        self.answered: list[float] = []

    def _check(self) -> None:
        now = asyncio.get_running_loop().time()
        if any(start <= now < end for start, end in self.outages):
            self.refused.append(now)
            raise self.error

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        self._check()
        await asyncio.sleep(SECONDS)
        self._check()
        self.answered.append(asyncio.get_running_loop().time())
        return ANSWERED


class Heard(Watcher):
    def __init__(self) -> None:
        self.outages: list[tuple[str, float]] = []

    def outage(self, backend: str, cause: str, seconds: float) -> None:
        self.outages.append((cause, seconds))


Play = Callable[..., tuple[Run, float]]


@pytest.fixture
def play(scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that runs TEXT on a server in virtual time: the run and the virtual seconds."""

    def played(server: Server, *overrides: str, folder: str = "run", **options: Any) -> tuple[Run, float]:
        monkeypatch.setattr(Scripted, "open", lambda config: server)
        return run_in_virtual_time(run_async(scenario(TEXT, *overrides), tmp_path / folder, **options))

    return played


def test_no_turn_is_lost_in_an_outage_of_ten_minutes(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    server, heard = Server((5, 605)), Heard()
    done, seconds = play(server, watcher=heard)
    whole, undisturbed = play(Server(), folder="whole")
    assert rows(done) == rows(whole)
    assert len(server.answered) == TURNS
    assert done.count_failed() == 0
    assert seconds < 600 + undisturbed + LONGEST_PROBE + 10 * SECONDS
    [session] = done.sessions()
    assert session.state == RunState.FINISHED
    assert 595 <= float(session.paused) <= 600 + LONGEST_PROBE
    assert heard.outages[0][0] == "No server answers."
    assert heard.outages[-1][0] == ""
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "is paused" in text] == [
        "The run is paused until the backend 'scripted' answers: No server answers."
    ]
    assert sum("goes on" in text for text in said) == 1


def test_one_request_at_a_time_probes_a_server_that_is_gone(play: Play) -> None:
    server = Server((5, 605))
    play(server)
    first, *probes = sorted(set(server.refused))
    assert len(server.refused) < 10 * AGENTS + 40
    later = [time for time in probes if time > first + 60]
    assert all(right - left >= LONGEST_PROBE - 1 for left, right in pairwise(later))
    assert len(later) == len([time for time in server.refused if time > first + 60])


def test_all_go_on_together_when_the_server_is_back(play: Play) -> None:
    server = Server((5, 100))
    play(server)
    back = [time for time in server.answered if time >= 100]
    assert len([time for time in back if time <= back[0] + SECONDS]) >= 5


def test_the_store_says_that_the_run_waits(play: Play) -> None:
    states = []

    class Looks(Heard):
        def started(self, society: Any, items: Any, folder: Path, iteration: int, split: str) -> None:
            self.folder = folder

        def outage(self, backend: str, cause: str, seconds: float) -> None:
            states.append((bool(cause), Run(self.folder).sessions()[-1]))

    play(Server((5, 105)), watcher=Looks())
    waiting, over = states[0][1], states[-1][1]
    assert (waiting.state, waiting.reason) == (RunState.PAUSED, "scripted: No server answers.")
    assert (over.state, over.reason) == (RunState.RUNNING, "")


def test_a_server_that_stays_away_stops_the_run_without_failed_turns(play: Play, tmp_path: Path) -> None:
    with pytest.raises(WaitedTooLongError, match=r"unavailable for 2 min, .* at most 2 minutes") as error:
        play(Server((5, 1e9)), "retry.minutes=2")
    assert error.value.status == RunState.EXHAUSTED.status == 4
    assert "--resume" in error.value.remedy
    run = Run(tmp_path / "run")
    assert [(session.state, run.count_failed()) for session in run.sessions()] == [(RunState.EXHAUSTED, 0)]
    stored = run.count_turns()
    assert 0 < stored < TURNS
    server = Server()
    resumed, _ = play(server, resume=True)
    assert len(server.answered) == TURNS - stored
    assert rows(resumed) == rows(play(Server(), folder="whole")[0])
    assert [session.state for session in resumed.sessions()] == [RunState.EXHAUSTED, RunState.FINISHED]


class Late(Server):
    """A server that cannot be opened before some time."""

    def __init__(self, opens: float, kind: type[NoServerError] = NoServerError) -> None:
        super().__init__()
        self.opens, self.kind = opens, kind

    async def __aenter__(self) -> Self:
        if asyncio.get_running_loop().time() < self.opens:
            raise self.kind("No server answers.", "Start the server.")
        return self


@pytest.mark.parametrize("resumed", [False, True])
def test_a_run_waits_for_its_server_at_its_start(
    play: Play, tmp_path: Path, caplog: pytest.LogCaptureFixture, resumed: bool
) -> None:
    if resumed:
        with pytest.raises(WaitedTooLongError):
            play(Server((5, 1e9)), "retry.minutes=1")
    done, seconds = play(Late(100), resume=resumed)
    assert seconds >= 100
    assert rows(done) == rows(play(Server(), folder="whole")[0])
    said = [record.getMessage() for record in caplog.records]
    assert "for at most 30 minutes (`retry.minutes`). Start the server." in "".join(said)
    assert done.sessions()[-1].state == RunState.FINISHED
    assert 100 <= float(done.sessions()[-1].paused) <= 130


def test_a_new_run_whose_server_does_not_come_can_be_resumed(play: Play, tmp_path: Path) -> None:
    folder, seen = tmp_path / "run", []

    class Looks(Watcher):
        def outage(self, backend: str, cause: str, seconds: float) -> None:
            seen.append(read_status(folder))

    with pytest.raises(WaitedTooLongError):
        play(Late(1e9), "retry.minutes=1", watcher=Looks())
    assert {(now.state, now.reason) for now in seen} == {("paused", "scripted: No server answers.")}
    for text in ("", "It failed."):
        if text:
            (folder / ERROR).write_text(text)
        found = read_status(folder)
        assert found.state == RunState.EXHAUSTED
        assert "No server answers" in found.reason
        assert "--resume" in found.reason
    with pytest.raises(WaitedTooLongError):
        play(Late(1e9), "retry.minutes=1", resume=True)
    assert read_status(folder).state == RunState.EXHAUSTED
    assert rows(play(Late(100), resume=True)[0]) == rows(play(Server(), folder="whole")[0])


def test_a_stop_ends_the_wait_of_a_new_run(play: Play, tmp_path: Path) -> None:
    class Stops(Watcher):
        def outage(self, backend: str, cause: str, seconds: float) -> None:
            if seconds > 60:
                raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        play(Late(1e9), watcher=Stops())
    assert read_status(tmp_path / "run").state == RunState.INTERRUPTED
    assert play(Late(100), resume=True)[0].count_failed() == 0


@pytest.mark.parametrize(
    ("kind", "minutes", "waits"), [(NoHostError, 30, True), (NoServerError, 0, True), (NoServerError, 30, False)]
)
def test_a_new_run_does_not_wait_for_a_name_without_a_host_or_without_patience(
    play: Play, tmp_path: Path, kind: type[NoServerError], minutes: int, waits: bool
) -> None:
    with pytest.raises(NoServerError, match="No server answers"):
        play(Late(100, kind), f"retry.minutes={minutes}", waits=waits)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", [UnavailableError, NoServerError])
def test_a_run_waits_for_a_server_that_is_gone_between_its_start_and_its_first_turn(
    play: Play, kind: type[UnavailableError]
) -> None:
    class Gone(Server):
        """A server that is gone when options are tried."""

        async def check(self, requests: Any) -> None:
            if asyncio.get_running_loop().time() < 100:
                raise kind("No server answers.", "Start the server.")

    done, seconds = play(Gone())
    assert (seconds >= 100, done.count_failed()) == (True, 0)


def test_a_call_that_ends_within_an_outage_has_waited(play: Play, tmp_path: Path) -> None:
    class Ends(Watcher):
        def outage(self, backend: str, cause: str, seconds: float) -> None:
            if seconds > 60:
                raise ZeroDivisionError

    with pytest.raises(WaitedTooLongError):
        play(Server((5, 1e9)), "retry.minutes=0.1")
    with pytest.raises(ZeroDivisionError):
        play(Server((5, 1e9)), watcher=Ends(), folder="other")
    late, ended = (Run(tmp_path / name).sessions()[-1] for name in ("run", "other"))
    assert (late.state, float(late.paused)) == (RunState.EXHAUSTED, pytest.approx(6, abs=1))
    assert (ended.state, float(ended.paused)) == (RunState.ABORTED, pytest.approx(75, abs=20))


def test_a_call_that_waits_for_its_server_is_paused_and_is_listed_when_it_ends(play: Play, tmp_path: Path) -> None:
    folder, seen = tmp_path / "run", []

    class Looks(Watcher):
        def outage(self, backend: str, cause: str, seconds: float) -> None:
            seen.append(read_status(folder))

    with pytest.raises(WaitedTooLongError):
        play(Server((5, 1e9)), "retry.minutes=1")
    first = Run(folder).sessions()
    with pytest.raises(WaitedTooLongError):
        play(Late(1e9), "retry.minutes=2", resume=True, watcher=Looks())
    assert {(now.state, now.reason) for now in seen} == {("paused", "scripted: No server answers.")}
    assert [call.state for call in seen[0].sessions] == [RunState.EXHAUSTED, RunState.PAUSED]
    stopped = Run(folder).sessions()
    assert stopped[:-1] == first
    assert (stopped[-1].state, stopped[-1].paused) == (RunState.EXHAUSTED, "120")
    assert "2 min" in read_status(folder).reason
    seen.clear()
    done, _ = play(Late(100), resume=True, watcher=Looks())
    assert [now.state for now in seen][-2:] == ["paused", "starting"]
    assert 100 <= float(done.sessions()[-1].paused) <= 130
    assert [call.state for call in done.sessions()] == [RunState.EXHAUSTED] * 2 + [RunState.FINISHED]


def test_an_input_that_cannot_be_used_is_no_call_unless_it_waited(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Late):
        """A server that comes back with another model."""

        async def __aenter__(self) -> Self:
            await super().__aenter__()
            raise InputError("Another model.")

    play(Server())
    for opens, states in ((0.0, ["finished"]), (100.0, ["finished", "aborted"])):
        with pytest.raises(InputError, match="Another model"):
            play(Other(opens), resume=True)
        assert [call.state for call in Run(tmp_path / "run").sessions()] == states


def test_a_run_is_paused_until_all_backends_answer(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    log = SessionLog(Holder(tmp_path / "run"), Interruption(), lambda: ("", ""))

    async def outages() -> list[tuple[bool, float]]:
        seen = []
        for backend, cause, seconds in (("a", "gone", 5.0), ("b", "gone", 5.0), ("a", "", 15.0), ("b", "", 20.0)):
            log.outage(backend, cause, seconds)
            seen.append((log.is_out(""), log._paused()))
            await asyncio.sleep(10)
        return seen

    seen, _ = run_in_virtual_time(outages())
    assert seen == [(True, 5), (True, 15), (True, 25), (False, 35)]


def test_without_patience_the_run_stops_at_once(play: Play) -> None:
    server = Server((0, 1e9))
    with pytest.raises(WaitedTooLongError):
        play(server, "retry.minutes=0")
    assert set(server.refused) == {0.0}


def test_a_server_that_asks_for_hours_stops_the_run_at_once(play: Play) -> None:
    server = Server((0, 1e9), error=UnavailableError("Quota.", "Wait.", after=7200))
    with pytest.raises(WaitedTooLongError, match=r"asks to be left alone for 2\.0 h"):
        play(server)
    assert set(server.refused) == {0.0}


def test_a_server_that_says_when_it_is_back_is_not_asked_before(play: Play) -> None:
    server = Server((0, 90), error=UnavailableError("Busy.", after=100))
    done, _ = play(server)
    assert done.count_failed() == 0
    assert set(server.refused) == {0.0}
    assert min(server.answered) >= 100


def test_a_server_that_is_busy_for_an_instant_is_not_announced(play: Play) -> None:
    heard = Heard()
    done, _ = play(Server((5, 6), (11, 12)), watcher=heard)
    assert (heard.outages, done.count_failed()) == ([], 0)


def test_an_outage_that_ends_between_two_probes_is_announced_at_its_end(play: Play) -> None:
    """Probes come after 0.5, 1.5, 3.5 and 7.5 seconds."""
    heard = Heard()
    done, _ = play(Server((5, 11)), watcher=heard)
    assert [cause for cause, _ in heard.outages] == ["No server answers.", ""]
    assert all(seconds >= 6 for _, seconds in heard.outages)
    assert (done.count_failed(), float(done.sessions()[-1].paused) >= 6) == (0, True)


def test_turns_that_fail_while_the_server_answers_are_bounded_by_tries(play: Play) -> None:
    server = Server((0, 1e9), error=TransientError("A crash."))
    done, _ = play(server, "retry={tries: 2, failures: 1000}")
    assert done.count_failed() == TURNS
    assert len(server.refused) == 2 * TURNS
