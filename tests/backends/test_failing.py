"""Whatever a backend does, no turn is lost: it is tried again where that may help, else recorded as failed with its
cause; the rest goes on, the decision counts it by policy, and resuming tries again what failed, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.base import Backend
from backends.scripted.backend import Scripted
from society.core.errors import BackendError, InputError, TransientError
from society.core.types import GenerateOutput, GenerateRequest, Turn, Usage
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.scenario.models.settings import RetrySpec
from society.session import run_async
from society.simulation.attempts import FIRST_WAIT, MAX_CHARACTERS, jitter
from society.tasks.arithmetic import Arithmetic
from society.watcher import Watcher
from tests.conftest import rows
from tests.simulation.virtual_time import run_in_virtual_time

TRIES, MAX_FAILURES, LONGEST_WAIT = RetrySpec().tries, RetrySpec().failures, 60 * RetrySpec().minutes
QUESTIONS = 4
TEXT = f"""
task: {{kind: arithmetic, form: a+b, limit: {QUESTIONS}}}
roles: {{solver: {{memory: 0, prompt: "{{{{ name }}}} {{% for m in heard %}}[{{{{ m.text }}}}] {{% endfor %}}"}}}}
agents: {{solver: {{count: 3}}}}
phases: [{{name: debate, topology: complete}}]
timeout: 60
"""
ANSWERED = GenerateOutput("The answer is 7.", usage=Usage(3, 4))
Fault = Callable[[], Any]


class Faulty(Backend):
    """Answers well, but for requests that mention `victim`: there it does what `fault` does, `times` times."""

    model_hash = "faulty"

    def __init__(self, fault: Fault, victim: str = "solver-2", times: int | None = None) -> None:
        self.fault, self.victim, self.times = fault, victim, times
        self.calls: list[GenerateRequest] = []

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        self.calls.append(request)
        if not request.messages[-1].content.startswith(self.victim):
            return ANSWERED
        if self.times is not None and self.calls.count(request) > self.times:
            return ANSWERED
        made = self.fault()
        return await made if asyncio.iscoroutine(made) else made


class Counter(Watcher):
    def __init__(self) -> None:
        self.fresh: list[Turn] = []
        self.replayed: list[Turn] = []

    def turn(self, turn: Turn, replayed: bool) -> None:
        (self.replayed if replayed else self.fresh).append(turn)


Play = Callable[..., tuple[Run, Faulty, float]]


@pytest.fixture
def play(scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Return a function that runs TEXT on a faulty backend in virtual time: run, backend and virtual seconds."""

    def played(
        fault: Fault,
        *overrides: str,
        text: str = TEXT,
        folder: str = "run",
        resume: bool = False,
        watcher: Watcher | None = None,
        **faulty: Any,
    ) -> tuple[Run, Faulty, float]:
        backend = Faulty(fault, **faulty)
        monkeypatch.setattr(Scripted, "open", lambda config: backend)
        work = run_async(scenario(text, *overrides), tmp_path / folder, resume=resume, watcher=watcher)
        done, seconds = run_in_virtual_time(work)
        return done, backend, seconds

    return played


def answered() -> GenerateOutput:
    return ANSWERED


def raising(error: BaseException) -> Fault:
    def fault() -> None:
        raise error

    return fault


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


FINAL: dict[str, tuple[Fault, str]] = {
    "nothing": (lambda: None, "returned NoneType, not a GenerateOutput"),
    "bytes": (lambda: b"7", "returned bytes"),
    "a bare text": (lambda: "7", "returned str"),
    "no text": (lambda: replace(ANSWERED, text=None), "returned NoneType"),  # type: ignore[arg-type]
    "bytes as text": (lambda: replace(ANSWERED, text=b"7"), "returned bytes"),  # type: ignore[arg-type]
    "a huge text": (lambda: replace(ANSWERED, text="7" * (MAX_CHARACTERS + 1)), "10,000,001 characters"),
    "an unknown end": (lambda: replace(ANSWERED, finish_reason="eos"), "'eos'"),  # type: ignore[arg-type]
    "no usage": (lambda: replace(ANSWERED, usage=None), "usage is invalid"),  # type: ignore[arg-type]
    "numbers that no store takes": (lambda: replace(ANSWERED, usage=Usage(np.int64(3))), "usage is invalid"),  # type: ignore[arg-type]
    "negative tokens": (lambda: replace(ANSWERED, usage=Usage(generated_tokens=-1)), "usage is invalid"),
    "an error of its own": (raising(BackendError("The key was refused.")), "The key was refused."),
    "a bug": (raising(KeyError("slot")), "The backend broke: KeyError: 'slot' (test_failing.py, line"),
    "a bug that cannot be said": (raising(RuntimeError("a\ud800b\x00c")), "RuntimeError: a\ufffdb\ufffdc"),
    "a failed check": (raising(AssertionError()), "The backend broke: AssertionError (test_failing"),
}
PASSING: dict[str, tuple[Fault, str]] = {
    "a busy server": (raising(TransientError("Busy.")), "Busy."),
    "its own timeout": (raising(TimeoutError()), "waited too long: TimeoutError"),
    "no end": (lambda: asyncio.Event().wait(), "No reply within 60 s."),
    "no memory": (raising(MemoryError()), "ran out of memory: MemoryError"),
    "no memory on a GPU": (raising(OutOfMemoryError("CUDA")), "ran out of memory: OutOfMemoryError: CUDA"),
    "work given up": (raising(asyncio.CancelledError()), "cancelled its own work"),
}
ALL = FINAL | PASSING


@pytest.mark.parametrize("name", ALL)
def test_a_failed_turn_is_recorded_the_rest_goes_on_and_resuming_retries_it_alone(play: Play, name: str) -> None:
    fault, cause = ALL[name]
    done, backend, _ = play(fault)
    failed = [turn for turn in done.turns() if turn.status == "failed"]
    assert {turn.id.agent for turn in failed} == {"solver-2"}
    assert len(failed) == QUESTIONS
    assert all(cause in turn.error and turn.answer is None and not turn.text for turn in failed)
    assert [result.decision.answer for result in done.results()] == ["7"] * QUESTIONS
    tries = len(backend.calls) - 2 * QUESTIONS
    assert tries == QUESTIONS * (TRIES if name in PASSING else 1)
    counter = Counter()
    mended, backend, _ = play(answered, resume=True, watcher=counter)
    assert {turn.id for turn in counter.fresh} == {turn.id for turn in failed}
    assert len(counter.fresh) == len(backend.calls) == QUESTIONS
    assert rows(mended) == rows(play(answered, folder="healthy")[0])


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again_and_leaves_no_trace(play: Play, name: str) -> None:
    done, backend, _ = play(PASSING[name][0], times=TRIES - 1)
    assert len(backend.calls) == QUESTIONS * (2 + TRIES)
    assert rows(done) == rows(play(answered, folder="healthy")[0])


def test_replies_that_are_empty_or_cut_are_replies(play: Play) -> None:
    """The same request gives the same again, so asking again would only cost; they count as unreadable."""
    for folder, output in (("empty", GenerateOutput("")), ("cut", GenerateOutput("Well,", "length"))):
        done, backend, _ = play(lambda output=output: output, folder=folder)
        turns = [turn for turn in done.turns() if turn.id.agent == "solver-2"]
        assert [(t.status, t.text, t.answer, t.finish_reason) for t in turns] == [
            ("ok", output.text, None, output.finish_reason)
        ] * QUESTIONS
        assert len(backend.calls) == 3 * QUESTIONS
        assert {result.decision.support for result in done.results()} == {2 / 3}


@pytest.mark.parametrize(("given", "stored"), [(1e-7, 0.0), (5.0, None), (-1e301, None), (-2.5, -2.5)])
def test_a_logprob_is_stored_as_the_store_is_read(play: Play, given: float, stored: float | None) -> None:
    done, _, _ = play(lambda: replace(ANSWERED, logprob=given))
    assert {turn.logprob for turn in done.turns() if turn.id.agent == "solver-2"} == {stored}


def test_what_cannot_be_stored_is_replaced_before_anybody_reads_it(play: Play) -> None:
    """Else the chat of a reader would be another one after resuming."""
    odd = replace(ANSWERED, text="It is \ud83d 7\x00.\n", logprob=float("nan"))
    done, backend, _ = play(lambda: odd, "phases.debate.rounds=2")
    said = {turn.text for turn in done.turns() if turn.id.agent == "solver-2"}
    assert said == {"It is \ufffd 7\ufffd.\n"}
    assert any("[It is \ufffd 7\ufffd.\n]" in call.messages[-1].content for call in backend.calls)
    assert all(turn.logprob is None for turn in done.turns())
    counter = Counter()
    play(lambda: odd, "phases.debate.rounds=2", resume=True, watcher=counter)
    assert (len(counter.fresh), len(counter.replayed)) == (0, 6 * QUESTIONS)


def test_readers_get_nothing_of_a_failed_turn(play: Play) -> None:
    done, _, _ = play(raising(BackendError("No.")), "phases.debate.rounds=2")
    second = [turn for turn in done.turns() if turn.id.round == 2 and turn.id.agent == "solver-1"]
    assert [[source.agent for source in turn.reads] for turn in second] == [["solver-3"]] * QUESTIONS


def test_waits_grow_and_are_drawn_from_the_turn_alone() -> None:
    state = random.getstate()
    waits = [[jitter(seed, attempt) for seed in range(400)] for attempt in range(TRIES)]
    assert random.getstate() == state
    assert waits == [[jitter(seed, attempt) for seed in range(400)] for attempt in range(TRIES)]
    for attempt, drawn in enumerate(waits):
        limit = FIRST_WAIT * 2**attempt
        assert 0 <= min(drawn) < 0.05 * limit
        assert 0.95 * limit < max(drawn) < limit
        assert sum(drawn) / len(drawn) == pytest.approx(limit / 2, rel=0.15)


def test_waits_take_as_long_as_drawn(play: Play) -> None:
    _, backend, seconds = play(raising(TransientError("Busy.")), "task.limit=1")
    seed = next(call.seed for call in backend.calls if "solver-2" in call.messages[-1].content)
    assert seconds == pytest.approx(sum(jitter(seed, attempt) for attempt in range(TRIES - 1)))


@pytest.mark.parametrize("after", [7.0, LONGEST_WAIT])
def test_a_server_that_says_when_to_come_back_is_not_asked_before(play: Play, after: float) -> None:
    done, _, seconds = play(raising(TransientError("Busy.", after=after)), times=1)
    assert all(turn.status == "ok" for turn in done.turns())
    assert after <= seconds <= after + FIRST_WAIT


def test_a_server_that_asks_for_hours_is_not_waited_for(play: Play) -> None:
    _, backend, seconds = play(raising(TransientError("Quota.", after=LONGEST_WAIT + 1)))
    assert (len(backend.calls), seconds) == (3 * QUESTIONS, 0)


@pytest.mark.parametrize("after", [-5.0, float("nan"), None])
def test_a_hint_that_is_none_changes_nothing(play: Play, after: float | None) -> None:
    _, _, seconds = play(raising(TransientError("Busy.", after=after)), times=1)
    assert 0 < seconds <= FIRST_WAIT


def test_the_time_limit_is_for_each_attempt_and_only_for_those_that_need_it(play: Play) -> None:
    _, backend, seconds = play(lambda: asyncio.sleep(59.9, ANSWERED))
    assert (len(backend.calls), seconds) == (3 * QUESTIONS, pytest.approx(59.9))
    _, backend, seconds = play(lambda: asyncio.sleep(60.1, ANSWERED), "task.limit=1", folder="late")
    waits = sum(jitter(call.seed, i) for i, call in enumerate(backend.calls[-TRIES + 1 :]))
    assert seconds == pytest.approx(60 * TRIES + waits)


def test_another_time_limit_does_not_make_another_scenario(play: Play) -> None:
    play(answered)
    counter = Counter()
    play(answered, "timeout=1", resume=True, watcher=counter)
    assert not counter.fresh


def test_when_nothing_works_the_run_ends_and_can_be_resumed(
    play: Play, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loud = {"text": TEXT.replace(f"limit: {QUESTIONS}", "limit: 20"), "victim": "solver"}
    with pytest.raises(BackendError, match=f"{MAX_FAILURES} turns in a row failed, .*KeyError") as error:
        play(raising(KeyError("slot")), "concurrency=1", **loud)
    assert "--resume" in error.value.remedy
    assert MAX_FAILURES <= Run(tmp_path / "run").count_failed() < MAX_FAILURES + 3  # the last one is stored, too
    assert "KeyError: 'slot'" in caplog.text  # the traceback, for whoever wrote that backend
    counter = Counter()
    done, _, _ = play(answered, resume=True, watcher=counter, **loud)
    assert (len(counter.fresh), len(counter.replayed)) == (60, 0)
    assert {turn.status for turn in done.turns()} == {"ok"}


def test_failures_between_successes_do_not_add_up(play: Play) -> None:
    many = TEXT.replace(f"limit: {QUESTIONS}", f"limit: {2 * MAX_FAILURES}")
    done, _, _ = play(raising(BackendError("No.")), text=many)
    assert sum(turn.status == "failed" for turn in done.turns()) == 2 * MAX_FAILURES


def test_what_a_person_must_change_ends_the_run(play: Play) -> None:
    with pytest.raises(InputError, match="no such adapter"):
        play(raising(InputError("There is no such adapter.")))


def test_a_cancelled_run_is_cancelled_and_records_no_failure(play: Play) -> None:
    def interrupted() -> Any:
        [main] = [task for task in asyncio.all_tasks() if "run_async" in repr(task.get_coro())]
        asyncio.get_running_loop().call_soon(main.cancel)
        return asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        play(interrupted)
    counter = Counter()
    done, _, _ = play(answered, resume=True, watcher=counter)
    assert {turn.status for turn in done.turns()} == {"ok"}
    assert all(turn.status == "ok" for turn in counter.replayed)


def test_a_task_that_breaks_on_a_reply_loses_that_turn_alone(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = Arithmetic.parse

    def fragile(task: Arithmetic, text: str, item: Any) -> str | None:
        if "odd" in text:
            raise ValueError("what is this?")
        return parse(task, text, item)

    monkeypatch.setattr(Arithmetic, "parse", fragile)
    done, _, _ = play(lambda: replace(ANSWERED, text="odd 7"))
    failed = [turn for turn in done.turns() if turn.status == "failed"]
    assert len(failed) == QUESTIONS
    assert {turn.text for turn in failed} == {"odd 7"}
    assert "The task broke on the reply: ValueError: what is this?" in failed[0].error
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("policy", "answer", "support"), [("abstain", "7", 2 / 3), ("exclude", "7", 1.0), ("veto", None, 0.0)]
)
def test_the_decision_counts_failed_turns_as_the_scenario_says(
    play: Play, policy: str, answer: str | None, support: float
) -> None:
    done, _, _ = play(raising(BackendError("No.")), f"decision={{kind: majority, failed: {policy}}}")
    assert {(r.decision.answer, r.decision.support) for r in done.results()} == {(answer, support)}
    assert all(r.decision.reason for r in done.results() if answer is None)
