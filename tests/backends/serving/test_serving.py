"""The backends vllm and sglang against fakes of their servers, in processes of their own: learning and failures."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backends.base import Backend
from backends.contract_tools import ask, join, run, stream
from backends.openai import OpenAI, dialects
from backends.openai.client import Client
from backends.openai.opening import NoServerError
from backends.openai.served import Served
from backends.serving.backend import ServingBackend
from backends.serving.config import Serving
from backends.serving.server import serve
from backends.serving.turns import ASLEEP, BASE, Turns
from backends.sglang import SGLang
from backends.vllm import VLLM
from society.core.errors import BackendError, InputError, MissingExtraError, UnavailableError, WaitedTooLongError
from society.core.pieces import Piece
from society.core.types import GenerateOutput, GenerateRequest
from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run as run_scenario
from tests.backends.hf.made import make_adapter
from tests.backends.hf.test_end_to_end import TEXT
from tests.backends.hf.tiny import make_model
from tests.backends.serving.conftest import Events
from tests.backends.serving.fakes import digest
from tests.faults.proxy import HttpServer, Request, reply

pytest.importorskip("torch")
ROOT = Path(__file__).parents[3]
KINDS: tuple[type[Serving], ...] = (VLLM, SGLang)


def say(config: Serving, *seeds: int) -> list[GenerateOutput]:
    async def use(backend: Backend) -> list[GenerateOutput]:
        return [await backend.generate(ask("the cat is", seed=seed)) for seed in seeds]

    outputs: list[GenerateOutput] = run(config, use)
    return outputs


def write_scenario(folder: Path, model: Path, method: str, kind: str) -> Path:
    """Write the scenario of `hf` with one word changed."""
    questions = [f"the {a} {b} is" for a in ("cat", "dog", "mat") for b in ("one", "two", "three", "four")]
    lines = [json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(questions)]
    (folder / "colours.jsonl").write_text("\n".join(lines))
    text = TEXT.format(model=model, device="cpu", dtype="float32", quantize="none", method=method)
    text = text.replace("epochs: 150", "epochs: 1").replace("kind: hf", f"kind: {kind}")
    (folder / "colours.yaml").write_text(text)
    return folder / "colours.yaml"


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_society_learns(tmp_path: Path, model: Path, events: Events, kind: str, method: str) -> None:
    path = write_scenario(tmp_path, model, method, kind)
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
        assert {event["adapter"] for event in later} == set(trained)
    else:
        assert len({event["weights"] for event in later}) == 2
        assert {event["adapter"] for event in later} == {None}
    turns = [turn for turn in done.turns() if turn.id.iteration == 1]
    assert {turn.status for turn in turns} == {"ok"}
    assert all(turn.tokens for turn in turns)
    assert {turn.adapter for turn in turns} == set(trained)


@pytest.mark.slow
def test_a_model_that_one_gpu_cannot_hold_is_trained_by_several_processes(
    tmp_path: Path, model: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody opens the whole model: neither this process nor those that train."""
    pytest.importorskip("transformers", minversion="5.23")
    monkeypatch.setattr("backends.hf.loading.load_model", _never)
    path = write_scenario(tmp_path, model, "lora", "vllm")
    shared = ["train.parallel={processes: 2}", "train.settings.accumulation=2"]
    run_scenario(load_scenario(path, shared), tmp_path / "run")
    done = Run(tmp_path / "run")
    assert len({row.hash for row in done.adapters()}) == 2
    assert {turn.status for turn in done.turns()} == {"ok"}
    assert {turn.adapter for turn in done.turns() if turn.id.iteration == 1} == {row.hash for row in done.adapters()}


def _never(*arguments: object, **options: object) -> None:
    raise AssertionError("this process reads weights")


@pytest.mark.parametrize(("kind", "flag"), [(VLLM, "--tensor-parallel-size"), (SGLang, "--tp-size")])
def test_a_started_server_spreads_the_model_over_gpus(
    kind: type[Serving], flag: str, tmp_path: Path, model: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = kind(model=str(model), gpus=4)
    options = config.engine().options(config, model, 8000, tmp_path)
    assert options[options.index(flag) + 1] == "4"
    assert flag not in kind().engine().options(kind(), model, 8000, tmp_path)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(InputError, match="gpus: 4 was asked for, but torch sees 2"):
        config.open()
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert isinstance(config.open(), ServingBackend)
    for wrong in ({"url": "http://127.0.0.1:1/v1"}, {"device": "cpu"}):
        with pytest.raises(ValidationError, match="gpus"):
            kind(gpus=2, **wrong)
    config.check_files()
    with pytest.raises(InputError, match="3 GPUs cannot share the model's 4 attention heads evenly"):
        kind(model=str(model), gpus=3).check_files()


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_ends_with_the_backend_and_its_failure_is_shown(
    kind: type[Serving], model: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = kind(model=str(model), context=200)
    first, second = say(config, 1), say(config, 1)
    assert first[0].text == second[0].text in ("red", "green", "blue")
    assert not is_running(str(model))
    monkeypatch.setenv("FAKE_FAILS", "RuntimeError: no device has enough memory")
    with pytest.raises(BackendError, match="ended with status 1") as caught:
        say(config, 1)
    assert "no device has enough memory" in caught.value.cause
    assert "gpu_share" in caught.value.remedy


def test_the_first_error_of_a_failed_start_is_shown_and_its_log_is_kept(
    model: Path, events: Events, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    say(VLLM(model=str(model), context=200), 1)
    assert not list(tmp_path.glob("society-*"))
    first = (
        "(EngineCore pid=7) ERROR 11-27 [core.py:700] ValueError: Available memory on node 0 (18.57 GiB) is too small"
    )
    noise = ["WARNING ImportError: no module named x", "ERROR EngineCore failed to start.", first]
    end = [*(f"  frame {i}" for i in range(40)), "RuntimeError: Engine failed. See root cause above."]
    monkeypatch.setenv("FAKE_FAILS", "\n".join([*noise, *end]))
    with pytest.raises(BackendError, match="ended with status 1") as caught:
        say(VLLM(model=str(model), context=200), 1)
    assert f"The first error of its log:\n    {first}\n" in caught.value.cause
    assert "See root cause above" in caught.value.cause
    assert "gpu_share" in caught.value.remedy
    (log,) = tmp_path.glob("society-*")
    assert str(log) in caught.value.cause
    assert first in log.read_text()
    monkeypatch.setenv("FAKE_FAILS", "\n".join(["ERROR the port is in use", *end]))
    with pytest.raises(BackendError, match="Engine failed") as caught:
        say(VLLM(model=str(model), context=200), 1)
    assert "gpu_share" not in caught.value.remedy


def test_a_server_of_the_run_that_ends_is_not_waited_for(model: Path, events: Events) -> None:
    async def use(backend: Backend) -> None:
        assert isinstance(backend, ServingBackend)
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["sleep", "wake", "load", "weights"])
def test_a_server_of_the_run_that_ends_at_a_command_can_be_started_again_by_a_resumed_run(
    when: str, kind: type[Serving], tmp_path: Path, model: Path, events: Events
) -> None:
    """Such as in its sleep, which lasts as long as a finetuning."""
    folder = tmp_path / when
    if when == "load":
        make_adapter(model, folder, r=4)
    else:
        make_model(folder, seed=1, hidden_size=16)

    async def use(backend: Backend) -> None:
        assert isinstance(backend, ServingBackend)
        assert backend._server is not None
        assert backend.adapters is not None
        name = backend.adapters.identify(folder)
        if when == "weights":
            await backend.adapters.load(name)
        if when == "wake":
            async with backend._turns.using(ASLEEP):
                pass
        process = backend._server.process
        assert process.stdin is not None
        process.stdin.close()  # which ends the server
        await asyncio.to_thread(process.wait)
        if when == "load":
            await backend.adapters.load(name)
        elif when == "sleep":
            async with backend._turns.using(ASLEEP):
                pass
        await backend.generate(replace(ask("the cat is"), adapter=name.hash if when == "weights" else None))

    with pytest.raises(WaitedTooLongError, match="server of this run ended with status") as caught:
        run(kind(model=str(model), context=200), use)
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
def test_a_killed_run_leaves_no_server(model: Path, events: Events) -> None:
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_server_is_joined_if_it_serves_the_model(
    kind: type[Serving], tmp_path: Path, model: Path, events: Events
) -> None:
    async def join(other: Path) -> str:
        config = kind(model=str(model))
        async with serve(config, other) as server, kind(model=str(model), url=server.url).open() as backend:
            return (await backend.generate(ask("the cat is"))).text

    assert asyncio.run(join(model)) in ("red", "green", "blue")
    other = make_model(tmp_path / "other", seed=1, hidden_size=16)
    with pytest.raises(InputError, match=r"serves .*other, but the scenario trains .*model") as caught:
        asyncio.run(join(other))
    assert f"{kind.model_fields['kind'].default} serve" in caught.value.remedy


@pytest.mark.parametrize("kind", KINDS)
def test_a_joined_server_is_left_with_the_weights_and_adapters_for_the_next_run(
    kind: type[Serving], tmp_path: Path, model: Path, events: Events
) -> None:
    """A second run finds the adapters of the first, and the base, even if the first ended with other weights."""
    adapter = make_adapter(model, tmp_path / "adapter", r=4)
    full = make_model(tmp_path / "full", seed=1, hidden_size=16)
    said: list[list[str]] = []

    async def use(url: str) -> None:
        async with kind(model=str(model), url=url).open() as backend:
            assert backend.adapters is not None
            names = [backend.adapters.identify(path) for path in (adapter, full)]
            for name in names:
                await backend.adapters.load(name)
            asked = [replace(ask("the cat is", seed=3), adapter=name) for name in (None, *(n.hash for n in names))]
            said.append([(await backend.generate(request)).text for request in asked])

    async def both() -> None:
        async with serve(kind(model=str(model)), model) as server:
            await use(server.url)
            await use(server.url)

    asyncio.run(both())
    assert said[0] == said[1]
    held = [event["weights"] for event in events() if event["event"] == "weights"]
    assert held == [digest(full), digest(model)] * 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slept", [False, True])
def test_the_base_is_read_again_after_other_weights_could_not_be_put_in_place(
    kind: type[Serving], slept: bool, tmp_path: Path, model: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that fails within the change may hold the other weights, or a part of them."""
    full = make_model(tmp_path / "full", seed=1, hidden_size=16)
    engine = type(kind().engine())
    read = engine.read_weights

    async def break_off(self: Any, client: Client, folder: Path) -> None:
        await read(self, client, folder)
        if folder != model:
            raise BackendError("out of memory", "")

    monkeypatch.setattr(engine, "read_weights", break_off)

    async def use(backend: Backend) -> tuple[GenerateOutput, GenerateOutput]:
        assert isinstance(backend, ServingBackend)
        assert backend.adapters is not None
        name = backend.adapters.identify(full)
        await backend.adapters.load(name)
        base = ask("the cat is", seed=3)
        before = await backend.generate(base)
        if slept:
            async with backend._turns.using(ASLEEP):
                pass
        with pytest.raises(BackendError, match="out of memory"):
            await backend.generate(replace(base, adapter=name.hash))
        return before, await backend.generate(base)

    before, after = run(kind(model=str(model), context=200), use)
    assert before == after
    assert {event["weights"] for event in events() if event["event"] == "chat"} == {digest(model)}


@pytest.mark.parametrize("changed", ["lora", "full"])
def test_an_adapter_whose_files_have_changed_is_an_error(
    changed: str, tmp_path: Path, model: Path, events: Events
) -> None:
    folder = tmp_path / changed
    if changed == "lora":
        make_adapter(model, folder, r=4)
    else:
        make_model(folder, seed=1, hidden_size=16)

    async def use(backend: Backend) -> None:
        assert backend.adapters is not None
        name = backend.adapters.identify(folder)
        weights = next(folder.glob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
        with pytest.raises(BackendError, match="its files have changed"):
            await backend.adapters.load(name)

    run(VLLM(model=str(model), context=200), use)
    assert not [event for event in events() if event["event"] == "load"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_joined_server_that_is_started_again_gets_the_weights_again(
    kind: type[Serving], tmp_path: Path, model: Path, events: Events
) -> None:
    """Otherwise the base would answer in place of the weights that a request names."""
    full = make_model(tmp_path / "full", seed=1, hidden_size=16)

    async def use() -> None:
        async with AsyncExitStack() as first, AsyncExitStack() as second:
            server = await first.enter_async_context(serve(kind(model=str(model)), model))
            backend = await second.enter_async_context(kind(model=str(model), url=server.url).open())
            assert backend.adapters is not None
            name = backend.adapters.identify(full)
            await backend.adapters.load(name)
            request = replace(ask("the cat is", seed=3), adapter=name.hash)
            said = await backend.generate(request)
            await first.aclose()
            with pytest.raises(UnavailableError):
                await backend.generate(request)
            port = int(server.url.removesuffix("/v1").rpartition(":")[2])
            engine, config = server.engine, kind()
            command = [*engine.find_program(), *engine.options(config, model, port, tmp_path)]
            with subprocess.Popen(command, env=os.environ | engine.environment(config)) as again:
                try:
                    assert await ask_until_answered(backend, request) == said
                finally:
                    again.terminate()
                    await asyncio.to_thread(again.wait)

    asyncio.run(use())
    chats = [event["weights"] for event in events() if event["event"] == "chat"]
    assert set(chats[-2:]) == {digest(full)}


async def ask_until_answered(backend: Backend, request: GenerateRequest) -> GenerateOutput:
    """Return the reply of a server that starts."""
    async with asyncio.timeout(60):
        while True:
            with suppress(UnavailableError):
                return await backend.generate(request)
            await asyncio.sleep(0.05)


def test_weights_that_sglang_forgets_in_its_sleep_are_read_again(
    model: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SGLang().engine()
    monkeypatch.setattr(type(engine), "options", with_flags(type(engine).options, "--enable-memory-saver"))

    async def use(backend: Backend) -> tuple[str, str]:
        assert isinstance(backend, ServingBackend)
        before = await backend.generate(ask("the cat is", seed=3))
        async with backend._turns.using(ASLEEP):
            pass
        return before.text, (await backend.generate(ask("the cat is", seed=3))).text

    before, after = run(SGLang(model=str(model), context=200), use)
    assert before == after
    assert [event["event"] for event in events()][-4:] == ["sleep", "wake", "weights", "chat"]


def test_an_sglang_without_its_pages_is_an_error_with_the_remedy() -> None:
    async def missing(request: Request) -> bytes:
        return reply({"detail": "Not Found"}, 404)

    async def use() -> None:
        async with Client(OpenAI(url=server.url)) as client:
            await SGLang().engine().describe(client, Served("m", "i", dialects.SGLANG))

    with HttpServer(missing) as server, pytest.raises(InputError, match="which weights") as caught:
        asyncio.run(use())
    assert "/model_info" in caught.value.remedy


def with_flags(options: Callable[..., list[str]], *flags: str) -> Callable[..., list[str]]:
    return lambda *arguments: [*options(*arguments), *flags]


@pytest.mark.parametrize("kind", KINDS)
def test_a_watched_reply_is_the_same_in_pieces(kind: type[Serving], model: Path, events: Events) -> None:
    async def use(backend: Backend) -> tuple[GenerateOutput, GenerateOutput, list[Piece]]:
        request = ask("the cat is", seed=3)
        return await backend.generate(request), *await stream(backend, request)

    whole, output, pieces = run(kind(model=str(model), context=64), use)
    assert output == whole
    assert output.tokens
    assert join(pieces) == ("", output.text)
    assert len(pieces) == len(output.text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_server_is_an_error_before_anything_loads(
    kind: type[Serving], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    config = kind(model=str(model))
    for look in (config.open, config.check_files):  # `society check` warns: another machine may have it
        with pytest.raises(MissingExtraError, match=r"needs (vLLM|SGLang).*, which is not installed") as caught:
            look()
        assert "url" in caught.value.remedy
    kind(model=str(model), url="http://127.0.0.1:1/v1").check_files()
    with pytest.raises(ValueError, match="http://HOST"):
        kind(model=str(model), url="nowhere")


# Turns


def test_requests_for_the_same_weights_run_together_and_others_wait_in_order() -> None:
    changes: list[str] = []
    together: list[set[str]] = []
    inside: list[str] = []

    async def change(weights: str) -> None:
        assert not inside
        changes.append(weights)

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
    assert changes == ["a", "b", ASLEEP, BASE]


def test_a_failed_change_is_the_error_of_those_who_wanted_it_alone() -> None:
    async def change(weights: str) -> None:
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
    async def change(weights: str) -> None:
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_url_without_a_server_names_the_options_of_this_kind(kind: type[Serving], model: Path) -> None:
    with pytest.raises(NoServerError, match="No server answers") as caught:
        say(kind(model=str(model), url="http://127.0.0.1:9/v1"), 1)
    engine = kind(model=str(model)).engine()
    assert f"{engine.start} {model}" in caught.value.remedy
    assert "--enable-lora" in engine.flags
    assert engine.flags in caught.value.remedy
    assert "llama-server" not in caught.value.remedy
