"""A stop drains what is in flight and never the queue: here 500 debates wait for a server that takes eight requests."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from society.core.interrupt import Interrupted
from society.core.types import Turn
from society.results import Run
from society.runs.state import RunState
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Watcher
from tests.backends.openai.test_http import completion, is_probe, models
from tests.faults.proxy import HttpServer, Request, reply

SLOTS, DEBATES, BEFORE = 8, 500, 24
TEXT = f"""
version: 1
name: drained
task: {{kind: arithmetic, form: a+b, limit: {DEBATES}}}
backends: {{server: {{kind: openai, url: "URL", model: m, concurrency: {SLOTS}}}}}
roles: {{solver: {{prompt: "{{{{ question }}}}"}}}}
agents: {{solver: {{count: 1}}}}
phases: [{{name: debate, rounds: 1}}]
concurrency: {DEBATES}
"""


class Stops(Watcher):
    """Sends this process SIGTERM after some turns."""

    def __init__(self, server: SlowServer) -> None:
        self.server, self.left = server, BEFORE

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.left -= 1
        if self.left == 0:
            self.server.stopped = True
            os.kill(os.getpid(), signal.SIGTERM)


class SlowServer(HttpServer):
    """Answers each chat after an instant. `deaf`: not at all once the run was asked to stop."""

    def __init__(self, deaf: bool) -> None:
        super().__init__(self._answer)
        self.deaf, self.stopped, self.chats = deaf, False, 0

    async def _answer(self, request: Request) -> bytes | None:
        if request.method == "GET":
            return models("m")
        if is_probe(request):
            return reply(completion())
        self.chats += "+" in request.json["messages"][-1]["content"]  # not a test request
        await asyncio.sleep(0.02)
        if self.stopped and self.deaf:
            await asyncio.sleep(3600)
        return reply(completion("It is 4."))


@pytest.fixture(autouse=True)
def _handled() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("deaf", "grace"), [(False, 60.0), (True, 0.3), (True, 0.0)])
def test_nothing_is_sent_after_the_signal(
    scenario: Callable[..., Scenario], tmp_path: Path, deaf: bool, grace: float
) -> None:
    with SlowServer(deaf) as server:
        loaded = scenario(TEXT.replace("URL", server.url))
        with pytest.raises(Interrupted) as stopped:
            run(loaded, tmp_path / "run", watcher=Stops(server), grace=grace)
        sent = server.chats
    stored = Run(tmp_path / "run")
    assert stopped.value.status == 143
    assert [session.state for session in stored.sessions()] == [RunState.INTERRUPTED]
    assert sent <= BEFORE + 2 * SLOTS
    assert stored.count_failed() == 0
    if deaf:
        assert BEFORE <= stored.count_turns() <= sent
    else:
        assert stored.count_turns() == sent  # everything that was sent has come back and is stored
