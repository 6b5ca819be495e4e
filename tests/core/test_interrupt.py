"""Ctrl-C and SIGTERM: once, what is being said is finished and stored; twice, the run ends at once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from society.cli import main
from society.core.interrupt import Interrupted, Interruption
from society.core.types import Turn
from society.runs.changes import BEGUN
from society.runs.status import find_runs, read_status
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run, run_async
from society.watcher import Watcher
from tests.faults.injection import Counter, Trial, contents

TEXT = """
version: 1
name: interrupted
task: {kind: arithmetic, form: a+b, limit: 6}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.5, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 3}]
concurrency: 2
"""
TURNS = 6 * 3 * 3
AT_ONCE = 2 * 3
"""Turns that are being generated when nothing comes back: two debates of three agents."""
# Replies come when there is a file `go`; each that is asked for leaves a file.
DRIVER = """
import asyncio, itertools, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process may ignore it
from backends.scripted.backend import ScriptedBackend
from society.cli import main
folder, count = Path(sys.argv[-1]), itertools.count()
async def generate(self, request, real=ScriptedBackend.generate):
    (folder.parent / f"asked-{next(count)}").touch()
    while not (folder.parent / "go").exists():
        await asyncio.sleep(0.005)
    return await real(self, request)
ScriptedBackend.generate = generate
sys.exit(main([*sys.argv[1:-1], "--out", str(folder)]))
"""

# The backend never ends to load: in the thread of the event loop, or in another one.
LOADER = """
import asyncio, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from backends.scripted.backend import ScriptedBackend
from society.__main__ import run
folder = Path(sys.argv.pop())
def load():
    (folder.parent / "loads").touch()
    while True:
        time.sleep(0.01)
async def enter(self):
    if "IN_LOOP" == "loop":
        load()
    await asyncio.to_thread(load)
ScriptedBackend.__aenter__ = enter
sys.argv += ["--out", str(folder), "--grace", "GRACE"]
run()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "scenario.yaml"
    file.write_text(TEXT)
    return file


@pytest.fixture
def speaking(path: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a run whose agents are all in the middle of a reply."""
    process = Trial(path, tmp_path / "run", driver=DRIVER).start()
    try:
        while len(list(tmp_path.glob("asked-*"))) < AT_ONCE:
            assert process.poll() is None
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"the run never said {words!r}")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_once_finishes_what_is_being_said_and_begins_nothing(
    speaking: subprocess.Popen[str], path: Path, tmp_path: Path, number: int, status: int
) -> None:
    speaking.send_signal(number)
    assert "finishing 6 replies, for at most 30 s; Ctrl-C again stops at once" in read_until(speaking, "finishing")
    (tmp_path / "go").touch()
    _, said = speaking.communicate(timeout=60)
    assert (speaking.returncode, "--resume" in said) == (status, True)
    assert len(list(tmp_path.glob("asked-*"))) == AT_ONCE
    assert len(contents(tmp_path / "run")["turns"]) == AT_ONCE
    counter = Counter()
    resumed = run(load_scenario(path), tmp_path / "run", resume=True, watcher=counter)
    assert (counter.replayed, counter.fresh) == (AT_ONCE, TURNS - AT_ONCE)
    assert contents(resumed.folder) == contents(run(load_scenario(path), tmp_path / "whole").folder)


def test_twice_ends_at_once(speaking: subprocess.Popen[str], path: Path, tmp_path: Path) -> None:
    """No reply ever comes; what was stored before is there."""
    speaking.send_signal(signal.SIGINT)
    read_until(speaking, "finishing")
    speaking.send_signal(signal.SIGINT)
    speaking.communicate(timeout=60)
    assert speaking.returncode == 130
    assert contents(tmp_path / "run")["turns"] == []
    run(load_scenario(path), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("where", "grace", "signals"),
    [
        ("thread", "86400", [signal.SIGTERM]),
        ("loop", "0", [signal.SIGTERM]),
        ("loop", "86400", [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_a_load_that_never_ends_does_not_delay_the_stop(
    path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
    grace: str,
    signals: list[signal.Signals],
) -> None:
    driver = LOADER.replace("IN_LOOP", where).replace("GRACE", grace)
    process = Trial(path, tmp_path / "run", driver=driver).start()
    try:
        while not (tmp_path / "loads").exists():
            assert process.poll() is None
            time.sleep(0.01)
        [starting] = [read_status(folder) for folder in find_runs(tmp_path)]
        assert (starting.state, starting.host, starting.pid) == ("starting", socket.gethostname(), str(process.pid))
        for number in signals:
            process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 128 + signals[0]
    assert said.count("The run was still loading: no reply was in progress, and nothing is lost.") == 1
    assert read_status(tmp_path / "run").state == ("interrupted" if where == "thread" else "killed")
    command = ["run", str(path), "--out", str(tmp_path / "run"), "--resume"]
    assert main([*command, "--set", "seed=7"]) == 2
    assert "holds a run of another scenario: seed was 0 and is 7" in capsys.readouterr().err
    assert main(command) == 0
    assert not (tmp_path / "run" / BEGUN).exists()


class AfterTurns(Watcher):
    """Sends this process a signal after so many turns, or two of them."""

    def __init__(self, turns: int, number: int = signal.SIGINT, times: int = 1) -> None:
        self.left, self.number, self.times = turns, number, times

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.left -= 1
        for _ in range(self.times if self.left == 0 else 0):
            os.kill(os.getpid(), self.number)


@pytest.fixture
def handlers() -> Iterator[dict[int, object]]:
    """Yield the handlers that Python starts with; afterwards those that were there."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for number, handler in usual.items():
        signal.signal(number, handler)
    yield {number: signal.getsignal(number) for number in usual}
    for number, handler in before.items():
        signal.signal(number, handler)


def now() -> dict[int, object]:
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_python_it_raises_and_gives_the_signals_back(
    scenario: Callable[..., Scenario], tmp_path: Path, handlers: dict[int, object], number: int
) -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        run(scenario(TEXT), tmp_path / "run", watcher=AfterTurns(7, number))
    assert isinstance(stopped.value, Interrupted)
    assert (stopped.value.signal, stopped.value.status) == (number, 128 + number)
    assert now() == handlers
    assert 7 <= len(contents(tmp_path / "run")["turns"]) < TURNS


def test_a_finished_run_gives_the_signals_back(
    scenario: Callable[..., Scenario], tmp_path: Path, handlers: dict[int, object]
) -> None:
    run(scenario(TEXT), tmp_path / "run")
    assert now() == handlers


def test_handlers_of_the_callers_own_are_left_alone(
    scenario: Callable[..., Scenario], tmp_path: Path, handlers: dict[int, object]
) -> None:
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    signal.signal(signal.SIGTERM, note)
    run(scenario(TEXT), tmp_path / "run", watcher=AfterTurns(7, signal.SIGTERM))
    assert heard == [signal.SIGTERM]
    assert len(contents(tmp_path / "run")["turns"]) == TURNS


class Handlers(Watcher):
    """Notes the signal handlers while the run goes on."""

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.seen = now()


def test_in_an_event_loop_of_the_callers_no_signal_is_taken_and_cancelling_stops(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    watcher = Handlers()

    async def cancelled() -> dict[int, object]:
        before = now()
        await run_async(scenario(TEXT), tmp_path / "whole", watcher=watcher)
        task = asyncio.create_task(run_async(scenario(TEXT, "backends.scripted.delay=60"), tmp_path / "run"))
        while not (tmp_path / "run" / "store.sqlite").exists():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return before

    assert asyncio.run(cancelled()) == watcher.seen
    run(scenario(TEXT), tmp_path / "run", resume=True)


def test_in_another_thread_a_run_works_as_ever(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    loaded, done = scenario(TEXT), []
    thread = threading.Thread(target=lambda: done.append(run(loaded, tmp_path / "run")))
    thread.start()
    thread.join(60)
    assert len(contents(done[0].folder)["turns"]) == TURNS


@pytest.mark.usefixtures("handlers")
def test_a_signal_before_the_run_interrupts_no_import_and_stops_the_run() -> None:
    """A module that an exception interrupts stays half-imported, and breaks every later run of the process."""
    imported = []

    async def start() -> None:
        signal.raise_signal(signal.SIGTERM)
        imported.append("whole")
        with interruption.stops_me():
            await asyncio.sleep(0)
            imported.append("never")

    with pytest.raises(Interrupted, match="SIGTERM: the run was still loading"), Interruption() as interruption:
        asyncio.run(start())
    assert imported == ["whole"]


@pytest.mark.usefixtures("handlers")
def test_a_signal_after_the_run_is_not_lost() -> None:
    with pytest.raises(Interrupted), Interruption():
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("handlers")
def test_a_third_signal_ends_even_what_heeds_nothing() -> None:
    async def deaf() -> None:
        with interruption.stops_me():
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted), Interruption() as interruption:
        asyncio.run(deaf())


def test_a_debate_whose_turns_are_all_spoken_is_decided(
    scenario: Callable[..., Scenario], tmp_path: Path, handlers: dict[int, object]
) -> None:
    """The signal comes while the last replies of the first question are generated; the second one needs more."""
    overrides = ["concurrency=1", "task.limit=2", "backends.scripted.delay=0.05"]
    with pytest.raises(Interrupted):
        run(scenario(TEXT, *overrides), tmp_path / "run", watcher=AfterTurns(7))
    stored = contents(tmp_path / "run")
    assert (len(stored["turns"]), len(stored["results"])) == (9, 1)
    counter = Counter()
    resumed = run(scenario(TEXT, *overrides), tmp_path / "run", resume=True, watcher=counter)
    assert (counter.replayed, counter.fresh) == (9, 9)
    assert contents(resumed.folder) == contents(run(scenario(TEXT, *overrides), tmp_path / "whole").folder)
