"""Interrupting a real `society run` with its own Ray: running replies are stored, and Ray stops."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from society.executors.cluster_connection import ClusterConnection, restrict_to_loopback
from society.scenario import load_scenario
from society.session import run
from tests.faults.injection import Counter, contents
from tests.processes import command, descendants

TEXT = """
version: 1
name: stopped
task: {kind: arithmetic, form: a+b, limit: 40}
backends: {scripted: {kind: scripted, delay: 0.2, rules: [{calculate: {skill: 0.6, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 3}]
concurrency: 2
executor: {kind: ray, generate: {cpus: 0.5}}
"""
TURNS, AT_ONCE = 40 * 3 * 3, 2 * 3
HERE = ["executor={kind: local}", "backends.scripted.delay=0"]
# Each reply that is asked for leaves a file. When the run is asked to stop, it says how many turns are stored.
DRIVER = """
import itertools, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process may ignore it
from society.cli import main
from society.executors.remote import RemoteBackend
from society.core.interrupt import Interruption
from society.store import Store
folder, count, stored = Path(sys.argv[-1]).parent, itertools.count(), itertools.count()
async def generate(self, request, real=RemoteBackend.generate):
    (folder / f"asked-{next(count)}").touch()
    return await real(self, request)
async def add(self, *arguments, real=Store.add, **options):
    await real(self, *arguments, **options)
    next(stored)
def report(self, real=Interruption._report):
    print("stored", next(stored), file=sys.stderr)
    real(self)
RemoteBackend.generate, Store.add, Interruption._report = generate, add, report
sys.exit(main(sys.argv[1:]))
"""


class Speaking:
    """A run in its own process group, started when its agents generate a given number of replies."""

    def __init__(self, folder: Path, replies: int, *overrides: str) -> None:
        self.folder, self.path, self.out = folder, folder / "scenario.yaml", folder / "run"
        self.path.write_text(TEXT)
        self.temporary = Path(tempfile.mkdtemp(prefix="r"))  # short, because paths of sockets are limited
        changes = [part for override in overrides for part in ("--set", override)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, "run", str(self.path), *changes, "--out", str(self.out)],
            env=os.environ | {"TMPDIR": str(self.temporary), "HOME": str(folder), "PYTHONPATH": str(Path.cwd())},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        wait(lambda: self.process.poll() is not None or len(list(folder.glob("asked-*"))) >= replies)
        self.family = descendants(self.process.pid)
        assert any("raylet" in name for name in self.family.values())

    def end(self) -> tuple[int, str]:
        """Return exit status and output, after checking that no process is left."""
        _, said = self.process.communicate(timeout=120)
        wait(lambda: not [pid for pid, name in self.family.items() if command(pid) == name])
        assert list(self.temporary.iterdir()) == []
        assert not (self.folder / ".ray").exists()  # where Ray would write a token that all users can read
        return self.process.returncode, said

    def clear(self) -> None:
        self.process.kill()
        self.process.communicate()
        for pid, name in self.family.items():
            if command(pid) == name:
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.temporary, ignore_errors=True)


def wait(condition: Callable[[], bool]) -> None:
    for _ in range(12_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


@pytest.fixture
def speak(tmp_path: Path) -> Iterator[Callable[..., Speaking]]:
    started: list[Speaking] = []

    def start(replies: int, *overrides: str) -> Speaking:
        started.append(Speaking(tmp_path, replies, *overrides))
        return started[-1]

    yield start
    for speaking in started:
        speaking.clear()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_finishes_running_replies(speak: Callable[..., Speaking], number: int, status: int) -> None:
    speaking = speak(3 * AT_ONCE)
    if number == signal.SIGINT:
        os.killpg(speaking.process.pid, number)  # as a terminal does: Ray's processes receive the signal, too
    else:
        speaking.process.send_signal(number)
    code, said = speaking.end()
    assert (code, "--resume" in said) == (status, True)
    found = re.search(r"stored (\d+)\nStopping: finishing (\d+) repl", said)
    assert found, said
    stored, replies = map(int, found.groups())
    assert len(contents(speaking.out)["turns"]) == stored + replies < TURNS
    counter = Counter()
    resumed = run(load_scenario(speaking.path, HERE), speaking.out, resume=True, watcher=counter)
    assert (counter.replayed, counter.fresh) == (stored + replies, TURNS - stored - replies)
    whole = run(load_scenario(speaking.path, HERE), speaking.folder / "whole")
    assert contents(resumed.folder) == contents(whole.folder)


@pytest.mark.slow
def test_two_signals_stop_at_once(speak: Callable[..., Speaking]) -> None:
    """A reply would take an hour."""
    speaking = speak(AT_ONCE, "backends.scripted.delay=3600")
    speaking.process.send_signal(signal.SIGINT)
    assert speaking.process.stderr is not None
    assert any(
        "finishing 6 replies, for at most 30 s; Ctrl-C again stops at once" in line for line in speaking.process.stderr
    )
    speaking.process.send_signal(signal.SIGINT)
    code, said = speaking.end()
    assert (code, "--resume" in said) == (130, True)
    assert contents(speaking.out)["turns"] == []


@pytest.mark.slow
def test_replies_may_take_longer_than_the_handler_of_rays_core_waits(speak: Callable[..., Speaking]) -> None:
    """That handler, which Ray installs in C++, aborts the process three seconds after SIGTERM."""
    speaking = speak(AT_ONCE, "backends.scripted.delay=5")
    speaking.process.send_signal(signal.SIGTERM)
    code, said = speaking.end()
    assert (code, "--resume" in said) == (143, True)
    assert len(contents(speaking.out)["turns"]) == AT_ONCE


def test_an_interrupted_start_of_ray_keeps_the_handlers_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray's own handler would end the process with the number of the signal as its status."""
    import ray
    from ray._private.utils import set_sigterm_handler

    before = signal.getsignal(signal.SIGTERM)

    def start(**_: object) -> None:
        from ray._private import utils

        utils.set_sigterm_handler(lambda *_: None)
        assert signal.getsignal(signal.SIGTERM) is before
        assert list(tmp_path.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ray, "init", start)
    with pytest.raises(KeyboardInterrupt):
        ClusterConnection("local").join()
    from ray._private import utils

    assert utils.set_sigterm_handler is set_sigterm_handler
    assert not list(tmp_path.iterdir())


def test_the_token_of_ray_lasts_as_long_as_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    restrict_to_loopback()
    token = os.environ["RAY_AUTH_TOKEN"]
    assert (os.environ["RAY_AUTH_MODE"], len(token)) == ("token", 64)
    restrict_to_loopback()
    assert os.environ["RAY_AUTH_TOKEN"] == token  # Ray in this process remembers it


@pytest.mark.parametrize(("name", "value"), [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN_PATH", "/secret")])
def test_token_settings_of_the_user_stay(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setattr(os, "environ", {name: value})
    restrict_to_loopback()
    assert os.environ[name] == value
    assert "RAY_AUTH_TOKEN" not in os.environ
