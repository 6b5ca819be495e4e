"""Seconds are seconds: those of all turns add up to the time in which the backend was at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import Backend
from backends.scripted.backend import Scripted, ScriptedBackend
from society.core.errors import TransientError
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling, Usage
from society.runs.records import load_records, total_usage
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run_async
from society.simulation.attempts import Patience, ask
from society.simulation.clock import FairClock, Stopwatch
from society.simulation.outages import Availability
from tests.simulation.virtual_time import run_in_virtual_time

REQUEST = GenerateRequest((ChatMessage("user", "?"),), Sampling(), 1)
TEXT = """
task: {kind: arithmetic, form: a+b, limit: 4}
backends: {scripted: {kind: scripted, delay: 3, rules: [{calculate: {}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %} {{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""


class Hands:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_requests_at_the_same_time_share_it() -> None:
    hands = Hands()
    clock = FairClock(hands)
    first = clock.start()
    hands.now = 4.0
    second = clock.start()
    hands.now = 10.0
    assert clock.stop(first) == 4.0 + 6.0 / 2
    hands.now = 11.0
    assert clock.stop(second) == 6.0 / 2 + 1.0
    hands.now = 100.0
    third = clock.start()
    hands.now = 101.5
    assert clock.stop(third) == 1.5  # nobody is charged for the time in which nothing was asked


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 20)), min_size=1, max_size=12))
def test_shares_add_up_to_the_busy_time(requests: list[tuple[float, float]]) -> None:
    hands = Hands()
    clock = FairClock(hands)
    events = [(begin, 1, i) for i, (begin, _) in enumerate(requests)]
    events += [(begin + length, 2, i) for i, (begin, length) in enumerate(requests)]
    since: dict[int, float] = {}
    shares: dict[int, float] = {}
    for when, what, i in sorted(events):
        hands.now = when
        if what == 1:
            since[i] = clock.start()
        else:
            shares[i] = clock.stop(since[i])
    assert sum(shares.values()) == pytest.approx(busy(requests), abs=1e-9)
    assert all(0 <= shares[i] <= length + 1e-9 for i, (_, length) in enumerate(requests))


def busy(requests: list[tuple[float, float]]) -> float:
    """Return the length of the union of these intervals (begin, length)."""
    total, end = 0.0, 0.0
    for begin, length in sorted(requests):
        total += max(0.0, begin + length - max(begin, end))
        end = max(end, begin + length)
    return total


def test_a_clock_that_goes_backwards_charges_nothing() -> None:
    hands = Hands()
    clock = FairClock(hands)
    since = clock.start()
    hands.now = -3600.0
    assert clock.stop(since) == 0.0


class Failing(Backend):
    """Fails twice after two seconds each, then answers after one; what it says of seconds is false."""

    def __init__(self) -> None:
        self.calls = 0

    async def __aexit__(self, *exception: object) -> None:
        return None

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer at the third call."""
        self.calls += 1
        if self.calls < 3:
            await asyncio.sleep(2.0)
            raise TransientError("Not now.", "")
        await asyncio.sleep(1.0)
        return GenerateOutput("yes", usage=Usage(seconds=999.0))


def test_every_attempt_is_charged_and_no_wait_between_them() -> None:
    async def work() -> GenerateOutput:
        patience = Patience(Availability("b", 30), 6, nullcontext, give_up=pytest.fail)
        return await ask(Failing(), REQUEST, None, Stopwatch(FairClock()), patience)

    output, passed = run_in_virtual_time(work())
    assert output.usage.seconds == pytest.approx(5.0)
    assert passed > 5.0


def debate(scenario: Scenario, folder: Path) -> tuple[Run, float]:
    return run_in_virtual_time(run_async(scenario, folder))


def test_turns_of_a_run_add_up_to_the_time_on_the_clock(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """Replies to all questions and agents are made at once: two rounds of three seconds each."""
    done, passed = debate(scenario(TEXT), tmp_path / "run")
    turns = done.turns()
    assert len(turns) == 24
    assert total_usage(load_records(done)).seconds == pytest.approx(6.0, abs=1e-6) == pytest.approx(passed, abs=1e-6)
    assert all(turn.usage.seconds == pytest.approx(3.0 / 12) for turn in turns)


def test_two_backends_have_a_clock_each(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    two = scenario(
        TEXT,
        "backends.slow={kind: scripted, delay: 5, rules: [{calculate: {}}]}",
        "agents={solver: {count: 2, backend: scripted}, other: {role: solver, backend: slow}}",
        "phases.debate.rounds=1",
    )
    done, passed = debate(two, tmp_path / "run")
    by_agent = {turn.id.agent: turn.usage.seconds for turn in done.turns() if turn.id.item == done.turns()[0].id.item}
    assert by_agent == {"solver-1": 3.0 / 8, "solver-2": 3.0 / 8, "other": 5.0 / 4}
    assert total_usage(load_records(done)).seconds == pytest.approx(8.0)
    assert passed == pytest.approx(5.0)


def test_a_turn_that_failed_is_charged_for_what_it_took(
    scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = ScriptedBackend.generate

    async def failing(self: ScriptedBackend, request: GenerateRequest) -> GenerateOutput:
        output = await generate(self, request)
        raise RuntimeError(output.text)

    monkeypatch.setattr(ScriptedBackend, "generate", failing)
    done, passed = debate(scenario(TEXT, "phases.debate.rounds=1"), tmp_path / "run")
    assert {turn.status for turn in done.turns()} == {"failed"}
    assert sum(turn.usage.seconds for turn in done.turns()) == pytest.approx(3.0) == pytest.approx(passed)


def test_backends_need_not_measure() -> None:
    async def work() -> GenerateOutput:
        async with Scripted(delay=3.0).open() as backend:
            return await backend.generate(REQUEST)

    output, _ = run_in_virtual_time(work())
    assert output.usage.seconds == 0.0
