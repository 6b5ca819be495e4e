"""The vLLM backend against a faithful fake of `vllm serve`, a process of its own: runs that learn, and failures."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from backends.base import Backend
from backends.contract_tools import ask, join, run, stream
from backends.vllm import VLLM
from backends.vllm.backend import VLLMBackend
from backends.vllm.turns import ASLEEP, BASE, Turns
from society.core.errors import BackendError, InputError, MissingExtraError, WaitedTooLongError
from society.core.pieces import Piece
from society.core.types import GenerateOutput
from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run as run_scenario
from tests.backends.hf.test_end_to_end import TEXT
from tests.backends.hf.tiny import make_model

pytest.importorskip("torch")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("vllm") / "model", hidden_size=16)


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """Install the fake as the command `vllm`, and return a reader of its events."""
    program, log = tmp_path / "bin" / "vllm", tmp_path / "events"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m tests.backends.vllm.fake "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_VLLM_EVENTS", str(log))
    log.touch()
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


def say(config: VLLM, *seeds: int) -> list[GenerateOutput]:
    async def use(backend: Backend) -> list[GenerateOutput]:
        return [await backend.generate(ask("the cat is", seed=seed)) for seed in seeds]

    outputs: list[GenerateOutput] = run(config, use)
    return outputs


def write_scenario(folder: Path, model: Path, method: str) -> Path:
    """Write the scenario of `hf` with one word changed."""
    questions = [f"the {a} {b} is" for a in ("cat", "dog", "mat") for b in ("one", "two", "three", "four")]
    lines = [json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(questions)]
    (folder / "colours.jsonl").write_text("\n".join(lines))
    text = TEXT.format(model=model, device="cpu", dtype="float32", quantize="none", method=method)
    text = text.replace("epochs: 150", "epochs: 1").replace("kind: hf", "kind: vllm")
    (folder / "colours.yaml").write_text(text)
    return folder / "colours.yaml"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_society_learns(tmp_path: Path, model: Path, events: Callable[[], list[dict[str, Any]]], method: str) -> None:
    path = write_scenario(tmp_path, model, method)
    run_scenario(load_scenario(path), tmp_path / "run")
    done = Run(tmp_path / "run")
    trained = [row.hash for row in done.adapters()]
    assert len(trained) == 2
    seen = events()
    assert [event["busy"] for event in seen if event["event"] in ("sleep", "weights")].count(0) == len(
        [event for event in seen if event["event"] in ("sleep", "weights")]
    )
    slept = [i for i, event in enumerate(seen) if event["event"] == "sleep"]
    woken = [i for i, event in enumerate(seen) if event["event"] == "wake"]
    assert len(slept) == len(woken) >= 1
    assert not [e for a, b in zip(slept, woken, strict=True) for e in seen[a:b] if e["event"] == "chat"]
    later = [event for event in seen[woken[-1] :] if event["event"] == "chat"]
    if method == "lora":
        assert {event["name"] for event in seen if event["event"] == "load"} == set(trained)
        assert {event["model"] for event in later} == set(trained)
    else:
        assert len({event["weights"] for event in later}) == 2
        assert {event["model"] for event in later} == {"society"}
    turns = [turn for turn in done.turns() if turn.id.iteration == 1]
    assert {turn.status for turn in turns} == {"ok"}
    assert all(turn.tokens for turn in turns)
    assert {turn.adapter for turn in turns} == set(trained)


def test_the_server_ends_with_the_backend_and_its_failure_is_shown(
    model: Path, events: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = VLLM(model=str(model), context=200)
    first, second = say(config, 1), say(config, 1)
    assert first[0].text == second[0].text in ("red", "green", "blue")
    assert not is_running(str(model))
    monkeypatch.setenv("FAKE_VLLM_FAILS", "1")
    with pytest.raises(BackendError, match="ended with status 1") as caught:
        say(config, 1)
    assert "no device has enough memory" in caught.value.cause
    assert "gpu_share" in caught.value.remedy


def test_a_server_of_the_run_that_ends_is_not_waited_for(
    model: Path, events: Callable[[], list[dict[str, Any]]]
) -> None:
    async def use(backend: Backend) -> None:
        assert isinstance(backend, VLLMBackend)
        await backend.generate(ask("the cat is"))
        assert backend._server is not None
        process = backend._server.process
        assert process.stdin is not None
        process.stdin.close()  # which ends the server
        await asyncio.to_thread(process.wait)
        await backend.generate(ask("the cat is"))

    with pytest.raises(WaitedTooLongError, match="vLLM server of this run ended with status") as caught:
        run(VLLM(model=str(model), context=200), use)
    assert "--resume" in caught.value.remedy


def is_running(word: str) -> bool:
    """Return whether a process has this word among its arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if {b"serve", word.encode()} <= set(path.read_bytes().split(b"\0")):
                return True
    return False


HOLD = """
import asyncio, sys
from backends.vllm import VLLM

async def hold():
    async with VLLM(model=sys.argv[1], context=200).open():
        print("open", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are listed by Linux alone")
def test_a_killed_run_leaves_no_server(model: Path, events: Callable[[], list[dict[str, Any]]]) -> None:
    command = [sys.executable, "-c", HOLD, str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"open\n"
            assert is_running(str(model))
        finally:
            process.kill()
    for _ in range(600):
        if not is_running(str(model)):
            return
        time.sleep(0.05)
    raise AssertionError("the server outlives its run")


def test_a_running_server_is_joined_if_it_serves_the_model(
    tmp_path: Path, model: Path, events: Callable[[], list[dict[str, Any]]]
) -> None:
    from backends.vllm.server import serve

    async def join(other: Path) -> str:
        config = VLLM(model=str(model))
        async with serve(config, other) as server, VLLM(model=str(model), url=server.url).open() as backend:
            return (await backend.generate(ask("the cat is"))).text

    assert asyncio.run(join(model)) in ("red", "green", "blue")
    other = make_model(tmp_path / "other", seed=1, hidden_size=16)
    with pytest.raises(InputError, match=r"serves .*other, but the scenario trains .*model") as caught:
        asyncio.run(join(other))
    assert "vllm serve" in caught.value.remedy


def test_a_watched_reply_is_the_same_in_pieces(model: Path, events: Callable[[], list[dict[str, Any]]]) -> None:
    async def use(backend: Backend) -> tuple[GenerateOutput, GenerateOutput, list[Piece]]:
        request = ask("the cat is", seed=3)
        return await backend.generate(request), *await stream(backend, request)

    whole, output, pieces = run(VLLM(model=str(model), context=64), use)
    assert output == whole
    assert output.tokens
    assert join(pieces) == ("", output.text)
    assert len(pieces) == len(output.text)


def test_a_missing_vllm_is_an_error_before_anything_loads(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    config = VLLM(model=str(model))
    for look in (config.open, config.check_files):  # `society check` warns: another machine may have it
        with pytest.raises(MissingExtraError, match=r"needs vLLM.*, which is not installed") as caught:
            look()
        assert "url" in caught.value.remedy
    VLLM(model=str(model), url="http://127.0.0.1:1/v1").check_files()
    with pytest.raises(ValueError, match="http://HOST"):
        VLLM(model=str(model), url="nowhere")


# Turns


def test_requests_for_the_same_weights_run_together_and_others_wait_in_order() -> None:
    changes: list[tuple[str, str]] = []
    together: list[set[str]] = []
    inside: list[str] = []

    async def change(held: str, weights: str) -> None:
        assert not inside
        changes.append((held, weights))

    async def use(turns: Turns, weights: str) -> None:
        async with turns.using(weights):
            inside.append(weights)
            together.append(set(inside))
            await asyncio.sleep(0)
            inside.remove(weights)

    async def go() -> None:
        turns = Turns(change)
        wanted = [BASE, "a", "b", "a", ASLEEP, "b", BASE]
        await asyncio.gather(*(use(turns, weights) for weights in wanted))

    asyncio.run(go())
    assert all(len(group) == 1 for group in together)
    assert changes == [(BASE, "a"), ("a", "b"), ("b", ASLEEP), (ASLEEP, BASE)]


def test_a_failed_change_is_the_error_of_those_who_wanted_it_alone() -> None:
    async def change(held: str, weights: str) -> None:
        if weights == "broken":
            raise InputError("no such weights")

    async def use(turns: Turns, weights: str) -> str:
        try:
            async with turns.using(weights):
                return weights
        except InputError as error:
            return error.cause

    async def go() -> list[str]:
        turns = Turns(change)
        return list(await asyncio.gather(*(use(turns, weights) for weights in ("broken", "a", "broken", BASE))))

    assert asyncio.run(go()) == ["no such weights", "a", "no such weights", BASE]


def test_a_cancelled_wait_leaves_no_trace() -> None:
    async def change(held: str, weights: str) -> None:
        await asyncio.sleep(0.01)

    async def use(turns: Turns, weights: str) -> None:
        async with turns.using(weights):
            pass

    async def go() -> None:
        turns = Turns(change)
        task = asyncio.ensure_future(use(turns, "a"))
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(task, return_exceptions=True)
            for weights in ("b", BASE, "a"):
                await use(turns, weights)

    asyncio.run(go())
