"""How many requests are in flight, and adapters that vLLM loads while it runs (a scripted server plays vLLM)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import Backend
from backends.contract_tools import ask, run
from backends.openai import OpenAI
from backends.openai.backend import OpenAIBackend
from backends.openai.failures import BusyError
from backends.openai.limit import Limit
from society.core.errors import BackendError, DroppedError, InputError, TransientError
from society.core.types import Adapter, GenerateOutput
from tests.backends.openai.test_http import completion, models
from tests.faults.proxy import HttpServer, Request, reply


async def answer(limit: Limit, busy: bool = False, after: float | None = None) -> None:
    async with limit.place():
        await asyncio.sleep(0)
        if busy:
            raise BusyError("busy", after=after)


def test_it_grows_by_one_for_each_answer_and_after_trouble_by_one_for_a_window() -> None:
    async def use() -> None:
        limit = Limit(64, start=8)
        for _ in range(8):
            await answer(limit)
        assert limit.size == 16
        with pytest.raises(BusyError):
            await answer(limit, busy=True)
        assert limit.size == 8
        for _ in range(8):
            await answer(limit)
        assert 8.8 < limit.size <= 9
        for _ in range(5000):
            await answer(limit)
        assert limit.size == 64

    asyncio.run(use())


def test_requests_that_fail_together_halve_it_once() -> None:
    async def use() -> float:
        limit = Limit(64, start=32)
        await asyncio.gather(*(answer(limit, busy=True) for _ in range(32)), return_exceptions=True)
        return limit.size

    assert asyncio.run(use()) == 16


def test_it_never_falls_below_one() -> None:
    async def use() -> float:
        limit = Limit(8)
        for _ in range(20):
            with pytest.raises(BusyError):
                await answer(limit, busy=True)
        await answer(limit)
        return limit.size

    assert asyncio.run(use()) >= 1


def test_everybody_waits_as_long_as_the_server_says() -> None:
    async def use() -> float:
        limit = Limit(8)
        with pytest.raises(BusyError):
            await answer(limit, busy=True, after=0.2)
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(answer(limit) for _ in range(3)))
        return asyncio.get_running_loop().time() - started

    assert asyncio.run(use()) >= 0.19


def test_requests_that_wait_for_a_place_or_for_the_server_are_dropped() -> None:
    async def use() -> list[BaseException | None]:
        limit = Limit(2)
        with pytest.raises(BusyError):
            await answer(limit, busy=True, after=3600)
        waiting = asyncio.gather(*(answer(limit) for _ in range(5)), return_exceptions=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        limit.drop_queued()
        return list(await waiting)

    assert {type(one) for one in asyncio.run(use())} == {DroppedError}


@given(st.integers(0, 2**32))
def test_no_place_is_lost_and_none_is_taken_twice(seed: int) -> None:
    """Whatever is answered, refused, or cancelled while it waits or runs."""
    random = Random(seed)

    async def use() -> None:
        limit, most = Limit(6, start=3), 0

        async def one() -> None:
            nonlocal most
            async with limit.place():
                most = max(most, limit.in_flight)
                for _ in range(random.randrange(4)):
                    await asyncio.sleep(0)
                if random.random() < 0.2:
                    raise BusyError("busy")

        tasks = [asyncio.create_task(one()) for _ in range(40)]
        for task in random.sample(tasks, 15):
            for _ in range(random.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
        for _ in range(2000):  # far more turns of the event loop than they need
            await asyncio.sleep(0)
        assert all(task.done() for task in tasks), "a place was lost"
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= 6
        assert limit.in_flight == 0
        assert not limit._waiting

    asyncio.run(use())


def test_a_server_with_room_for_four_ends_up_with_about_four() -> None:
    """It answers 429 to every request beyond four at a time; all 120 are answered in the end."""
    now, most = 0, 0

    async def crowded(request: Request) -> bytes:
        nonlocal now, most
        if "models" in request.path:
            return models("m")
        if now >= 4:
            return reply({"error": {"message": "busy"}}, 429)
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.01)
        now -= 1
        return reply(completion())

    async def patient(backend: Backend, seed: int) -> GenerateOutput:
        while True:
            try:
                return await backend.generate(ask("What?", seed=seed))
            except TransientError:
                await asyncio.sleep(0.01)

    async def use(backend: Backend) -> tuple[int, float]:
        outputs = await asyncio.gather(*(patient(backend, seed) for seed in range(120)))
        return len(outputs), backend._connection.limit.size  # type: ignore[attr-defined]

    with HttpServer(crowded) as server:
        answered, size = run(OpenAI(url=server.url), use)
        refused = len(server.requests) - 122
    assert answered == 120
    assert most == 4
    assert size < 8
    assert refused < 120


# vLLM, played


class PlayedVllm(HttpServer):
    """The endpoints of vLLM that matter here: adapters are models, and are loaded under the name that is asked for."""

    def __init__(self, allowed: bool = True) -> None:
        super().__init__(self._answer)
        self.allowed = allowed
        self.adapters: dict[str, str] = {}

    async def _answer(self, request: Request) -> bytes:
        if request.path == "/v1/models":
            return models("base", *self.adapters, owner="vllm", max_model_len=512)
        if request.path == "/metrics":
            return reply({"detail": "Not Found"}, 404)
        if request.path == "/v1/load_lora_adapter":
            return self._load(request.json)
        model = request.json["model"]
        if model != "base" and model not in self.adapters:
            return reply({"error": {"message": f"The model `{model}` does not exist."}}, 404)
        return reply(completion(self.adapters.get(model, "base")))

    def _load(self, asked: dict[str, str]) -> bytes:
        if not self.allowed:
            return reply({"detail": "Not Found"}, 404)
        if asked["lora_name"] in self.adapters:
            return reply({"error": {"message": "The lora adapter has already been loaded."}}, 400)
        self.adapters[asked["lora_name"]] = (Path(asked["lora_path"]) / "adapter_model.safetensors").read_text()
        return reply(b"Success: LoRA adapter added successfully.")


def adapter_folder(path: Path, weights: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "adapter_config.json").write_text("{}")
    (path / "adapter_model.safetensors").write_text(weights)
    return path


async def load(backend: Backend, path: Path) -> Adapter:
    assert backend.adapters
    adapter = backend.adapters.identify(path)
    await backend.adapters.load(adapter)
    return adapter


def test_vllm_loads_adapters_by_content_so_that_no_stale_one_answers(tmp_path: Path) -> None:
    async def use(backend: Backend) -> None:
        path = adapter_folder(tmp_path / "adapter", "first")
        first = await load(backend, path)
        assert await load(backend, path) == first
        adapter_folder(path, "second")  # trained anew, at the same place
        second = await load(backend, path)
        assert second.hash != first.hash
        for adapter, expected in ((second.hash, "second"), (first.hash, "first"), (None, "base")):
            assert (await backend.generate(ask("What?", adapter=adapter))).text == expected

    with PlayedVllm() as server:
        config = OpenAI(url=server.url, model="base")
        run(config, use)
        loads = sum("load_lora" in request.path for request in server.requests)
        assert loads == 2
        run(config, lambda backend: load(backend, tmp_path / "adapter"))  # another run finds it there
        assert sum("load_lora" in request.path for request in server.requests) == loads


def test_adapters_are_loaded_again_after_a_restart(tmp_path: Path) -> None:
    async def use(backend: Backend) -> str:
        adapter = await load(backend, adapter_folder(tmp_path / "adapter", "trained"))
        server.adapters.clear()
        assert isinstance(backend, OpenAIBackend)
        backend.forget()  # as a refused connection does
        return (await backend.generate(ask("What?", adapter=adapter.hash))).text

    with PlayedVllm() as server:
        assert run(OpenAI(url=server.url, model="base"), use) == "trained"


def test_vllm_must_be_told_to_load_adapters(tmp_path: Path) -> None:
    path = adapter_folder(tmp_path / "adapter", "trained")
    with PlayedVllm(allowed=False) as server, pytest.raises(InputError, match="could not be loaded") as caught:
        run(OpenAI(url=server.url, model="base"), lambda backend: load(backend, path))
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in caught.value.remedy


def test_a_server_that_loads_none_says_how_else_to_have_one(tmp_path: Path) -> None:
    path = adapter_folder(tmp_path / "adapter", "trained")

    async def plain(request: Request) -> bytes:
        return models("m") if "models" in request.path else reply(completion())

    with HttpServer(plain) as server, pytest.raises(InputError, match="loads no adapters") as caught:
        run(OpenAI(url=server.url), lambda backend: load(backend, path))
    assert "`model`" in caught.value.remedy


def test_an_unknown_adapter_is_an_error(tmp_path: Path) -> None:
    with PlayedVllm() as server, pytest.raises(BackendError, match="is not loaded"):
        run(OpenAI(url=server.url, model="base"), lambda backend: backend.generate(ask("What?", adapter="0" * 32)))
