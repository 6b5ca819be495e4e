"""The HTTP backend against real servers: llama.cpp's own and llama-cpp-python's, with the 135M model on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import Backend, BackendConfig
from backends.contract import BackendContract
from backends.contract_tools import ask, run
from backends.llama_cpp import LlamaCpp
from backends.openai import OpenAI, dialects, opening
from backends.openai.backend import OpenAIBackend
from backends.openai.body import write_body
from backends.openai.choices import json_schema, read_choice
from backends.openai.client import Client
from backends.openai.counting import Counter
from backends.openai.served import Served
from backends.sizes import Demand
from society.core.errors import ContextOverflowError, InputError
from society.core.types import Adapter, ChatMessage, GenerateOutput, GenerateRequest, Sampling
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run as run_scenario
from tests.backends.llama_cpp.test_backend import write_adapter
from tests.backends.openai.servers import serving
from tests.conftest import rows
from tests.faults.proxy import FAULTS, Fault, Proxy, Request

pytestmark = pytest.mark.model
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """llama.cpp's own server with four slots of 256 tokens."""
    with serving("llama_cpp", folder / "llama_cpp", slots=4, alias="smol") as port:
        yield port


@pytest.fixture(scope="module")
def python_port(folder: Path) -> Iterator[int]:
    with serving("llama_cpp_python", folder / "llama_cpp_python") as port:
        yield port


@pytest.fixture(scope="module")
def steady_port(folder: Path) -> Iterator[int]:
    """Yield the port of a server with one slot and no cache, so that no reply depends on another request."""
    with serving("llama_cpp", folder / "steady", slots=1, context=512, cache=False, alias="smol") as port:
        yield port


@pytest.fixture(scope="module")
def adapters(folder: Path) -> tuple[Adapter, Adapter, Adapter]:
    made = [write_adapter(folder / f"{name}.gguf", seed) for seed, name in enumerate(("one", "two", "other"), 1)]
    return made[0], made[1], made[2]


@pytest.fixture(scope="module")
def lora_port(folder: Path, adapters: tuple[Adapter, Adapter, Adapter]) -> Iterator[int]:
    """Yield a server that was started with two of the three adapters."""
    paths = [adapter.path for adapter in adapters[:2]]
    with serving("llama_cpp", folder / "lora", slots=2, adapters=paths, alias="smol") as port:
        yield port


def config_for(port: int, **options: Any) -> OpenAI:
    return OpenAI(url=f"http://127.0.0.1:{port}/v1", **options)


class TestLlamaCppServer(BackendContract):
    overflow_prompt = "word " * 300

    @pytest.fixture
    def config(self, port: int) -> BackendConfig:
        return config_for(port)


class TestLlamaCppPython(BackendContract):
    overflow_prompt = "word " * 300

    @pytest.fixture
    def config(self, python_port: int) -> BackendConfig:
        return config_for(python_port, logprobs=False)


# What servers count and know


def served_by(config: OpenAI) -> Served:
    async def use(backend: Backend) -> Served:
        assert isinstance(backend, OpenAIBackend)
        assert backend._connection
        return backend._connection.served

    served: Served = run(config, use)
    return served


def test_a_server_is_known_for_what_it_is(port: int, python_port: int) -> None:
    ours = served_by(config_for(port))
    assert (ours.dialect, ours.context, ours.slots, ours.logprobs) == (dialects.LLAMA_CPP, 256, 4, True)
    theirs = served_by(config_for(python_port))
    assert (theirs.dialect, theirs.model, theirs.logprobs) == (dialects.LLAMA_CPP_PYTHON, "smol", True)


def test_log_probabilities_are_those_of_the_bare_model(port: int) -> None:
    """Whatever the temperature: our own backend scores the same weights' reply alike."""
    sampling = Sampling(temperature=0.3, max_tokens=64)
    chat = (ChatMessage("user", QUESTION),)
    said: GenerateOutput = run(config_for(port), lambda backend: backend.generate(GenerateRequest(chat, sampling, 3)))

    async def score(backend: Backend) -> tuple[float, int]:
        assert backend.likelihood
        return await backend.likelihood.logprob(chat, said.text)

    expected, tokens = run(LlamaCpp(requantize="q8_0", context=256, slots=1, threads=1), score)
    assert said.finish_reason == "stop"
    assert said.usage.generated_tokens == tokens
    assert said.logprob == pytest.approx(expected, abs=0.05 * tokens)


def test_a_server_without_log_probabilities_is_used_without(folder: Path) -> None:
    with serving("llama_cpp_python", folder / "no_logits", logits_all=False) as port:
        said = run(config_for(port), lambda backend: backend.generate(ask(QUESTION)))
    assert said.text
    assert said.logprob is None


def test_the_standard_way_of_choosing_works_as_well(port: int) -> None:
    request = GenerateRequest((ChatMessage("user", "Choose."),), Sampling(), 1, choices=('a "b" \\', "Möglichkeit\n2"))
    by_schema = json_schema(request.choices) | {"max_tokens": 64}

    async def use(backend: Backend) -> list[str | None]:
        assert isinstance(backend, OpenAIBackend)
        assert backend._connection
        own = await backend.generate(request)
        client, url = backend._connection.client, backend._connection.client.url
        body = {"model": "smol", "messages": [{"role": "user", "content": "Choose."}], **by_schema}
        said = json.loads(await client.send("POST", f"{url}/chat/completions", body))
        return [own.text, read_choice(said["choices"][0]["message"]["content"], request.choices)]

    assert set(run(config_for(port), use)) <= set(request.choices)


def test_options_mean_the_same_as_in_other_backends(port: int) -> None:
    """top_k of 1 is greedy, at any temperature; and what is off is off, although the server has it on by default."""

    async def use(backend: Backend) -> list[str]:
        greedy = await backend.generate(ask(QUESTION, temperature=0.0))
        narrow = await backend.generate(ask(QUESTION, temperature=2.0, top_k=1))
        wild = [await backend.generate(ask(QUESTION, temperature=2.0, seed=seed)) for seed in (1, 2)]
        return [output.text for output in (greedy, narrow, *wild)]

    greedy, narrow, *wild = run(config_for(port), use)
    assert greedy == narrow
    assert greedy not in wild
    assert wild[0] != wild[1]
    body = write_body(dialects.LLAMA_CPP, "m", ask(QUESTION))
    assert (body["top_k"], body["top_p"], body["min_p"], body["repeat_penalty"]) == (0, 1.0, 0.0, 1.0)


# Before any work


def test_a_model_that_the_server_lacks_is_named_with_those_it_has(port: int) -> None:
    with pytest.raises(InputError, match="has no model 'smoll'") as caught:
        run(config_for(port, model="smoll"), lambda backend: backend.generate(ask("Hello.")))
    assert "it has: smol." in caught.value.remedy


def test_prompts_are_counted_as_the_server_counts_them(port: int) -> None:
    system, user = ChatMessage("system", "Be brief."), ChatMessage("user", "Why is the sky blue? ☀")
    chats = [(user,), (system, user), (user, ChatMessage("assistant", "Rayleigh."), user)]
    config = config_for(port)

    async def use(backend: Backend) -> list[int]:
        outputs = [await backend.generate(GenerateRequest(chat, Sampling(max_tokens=1), 1)) for chat in chats]
        return [output.usage.prompt_tokens for output in outputs]

    counter = Counter(config, served_by(config))
    assert [counter.count(chat) for chat in chats] == run(config, use)


def test_a_prompt_that_cannot_fit_is_refused_before_any_work(port: int) -> None:
    config = config_for(port)
    with config.token_counter(16) as count:
        assert count is not None
        short, long = (count([ChatMessage("user", "word " * times)]) for times in (100, 400))
    assert config.fitted(Demand(short + 16, 1), []).context_tokens() == 256
    with pytest.raises(InputError, match=r"may have 4.. tokens, but the context at .* holds 256"):
        config.fitted(Demand(long + 16, 1), [])


def test_the_server_is_asked_only_about_prompts_that_may_not_fit(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config, asked = config_for(port), []
    look = opening.look

    async def find(client: Client, config: OpenAI) -> Served:
        return replace(await look(client, config), context=1000)

    monkeypatch.setattr("backends.openai.counting.look", find)
    monkeypatch.setattr(Counter, "count", lambda self, messages: asked.append(messages) or 7)
    with config.token_counter(100) as count:
        assert count is not None
        assert count([ChatMessage("user", "word")]) == 256 + 32 + 4  # an upper bound
        assert not asked
        assert count([ChatMessage("user", "word " * 200)]) == 7


def test_an_answer_that_fills_the_context_is_an_overflow(port: int) -> None:
    request = ask("word " * 210, max_tokens=100, temperature=2.0)
    with pytest.raises(ContextOverflowError) as caught:
        run(config_for(port), lambda backend: backend.generate(request))
    assert caught.value.context == 256


def test_a_key_is_asked_for_and_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("llama_cpp", folder / "key", key="local-secret-key-1234") as port:
        with pytest.raises(InputError, match="401") as caught:
            run(config_for(port), lambda backend: backend.generate(ask("Hello.")))
        assert "key_env" in caught.value.remedy
        monkeypatch.setenv("LOCAL_API_KEY", "local-secret-key-1234")
        assert run(config_for(port, key_env="LOCAL_API_KEY"), lambda backend: backend.generate(ask("Hello."))).text


def test_the_shipped_scenario_runs_or_says_that_it_cannot(port: int, tmp_path: Path) -> None:
    path = Path(__file__).parents[3] / "scenarios" / "server.yaml"
    settings = [f"backends.server.url=http://127.0.0.1:{port}/v1", "task.limit=1"]
    done = rows(run_scenario(load_scenario(path, [*settings, "sampling.max_tokens=8"]), tmp_path / "run"))
    assert [row["status"] for row in done if "status" in row] == ["ok"] * 6
    with pytest.raises(InputError, match="but the context at"):
        run_scenario(load_scenario(path, [*settings, "sampling.max_tokens=300"]), tmp_path / "none")
    assert not (tmp_path / "none" / "store.sqlite").exists()


# Adapters on llama.cpp's server


def say(config: OpenAI, *loads: Adapter, asked: tuple[str | None, ...]) -> list[str]:
    async def use(backend: Backend) -> list[str]:
        assert backend.adapters
        for adapter in loads:
            await backend.adapters.load(adapter)
        requests = [ask(QUESTION, adapter=name, temperature=0.0, max_tokens=12) for name in asked]
        return [(await backend.generate(request)).text for request in requests]

    texts: list[str] = run(config, use)
    return texts


def identified(config: OpenAI, adapter: Adapter) -> Adapter:
    from backends.openai.adapters import ServerAdapters

    return ServerAdapters(Client(config), Served("", "", dialects.LLAMA_CPP)).identify(Path(adapter.path))


def test_each_agent_has_its_adapter_and_the_base_has_none(
    lora_port: int, port: int, adapters: tuple[Adapter, Adapter, Adapter]
) -> None:
    """The server applies all its adapters to whoever does not say otherwise; and a cache must not mix them."""
    config = config_for(lora_port)
    one, two = (identified(config, adapter) for adapter in adapters[:2])
    order = (None, one.hash, two.hash, None, two.hash, one.hash, None)
    texts = say(config, one, two, asked=order)
    by_adapter = {name: {text for text, a in zip(texts, order, strict=True) if a == name} for name in order}
    assert all(len(said) == 1 for said in by_adapter.values())
    [base] = say(config_for(port), asked=(None,))
    assert by_adapter[None] == {base}
    expected = dict(zip((one.hash, two.hash), llama_cpp_says(adapters[:2]), strict=True))
    assert {name: by_adapter[name] for name in expected} == {name: {text} for name, text in expected.items()}


def llama_cpp_says(adapters: tuple[Adapter, ...]) -> list[str]:
    """Return the replies of our own backend with the same weights and adapters."""

    async def use(backend: Backend) -> list[str]:
        assert backend.adapters
        for adapter in adapters:
            await backend.adapters.load(adapter)
        requests = [ask(QUESTION, adapter=adapter.hash, temperature=0.0, max_tokens=12) for adapter in adapters]
        return [(await backend.generate(request)).text for request in requests]

    texts: list[str] = run(LlamaCpp(requantize="q8_0", context=256, slots=1, threads=1), use)
    return texts


def test_an_adapter_of_other_contents_is_refused(lora_port: int, adapters: tuple[Adapter, Adapter, Adapter]) -> None:
    config = config_for(lora_port)
    with pytest.raises(
        InputError, match=r"no adapter with the contents of .*other\.gguf; it has: .*one\.gguf"
    ) as caught:
        say(config, identified(config, adapters[2]), asked=())
    assert "--lora" in caught.value.remedy


# Whole debates through a server that fails

DEBATE = """
    task: {kind: capitals, well_known: true, limit: 2}
    backends: {server: {kind: openai, url: "URL", timeout: 20, logprobs: false}}
    roles: {debater: {prompt: "{% for m in heard %}Another said: {{ m.text }}\\n{% endfor %}{{ question }}"}}
    agents: {debater: {count: 3}}
    phases: [{name: debate, topology: complete, rounds: 2}]
    sampling: {temperature: 0.8, top_k: 40, max_tokens: 10}
"""


@pytest.mark.slow
def test_debates_through_every_fault_are_those_without(
    steady_port: int, scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    """Every turn's first attempt fails in one way or another: none is lost, none doubled, all say the same."""
    truth = run_scenario(scenario(DEBATE.replace("URL", f"http://127.0.0.1:{steady_port}/v1")), tmp_path / "truth")
    faults = iter(FAULTS * 10)

    def plan(request: Request, attempt: int) -> Fault | None:
        return next(faults) if attempt == 0 and request.path.endswith("/completions") else None

    with Proxy(steady_port, plan) as proxy:
        quick = ("backends.server.timeout=6",)  # for the requests that are never answered
        shaken = run_scenario(scenario(DEBATE.replace("URL", proxy.url), *quick), tmp_path / "shaken")
    assert set(proxy.injected) == set(FAULTS)
    assert _told(shaken) == _told(truth)
    assert len([row for row in rows(shaken) if "status" in row]) == 12
    assert not [row for row in rows(shaken) if row.get("status") == "failed"]


def _told(run: Run) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "cached_tokens"} for row in rows(run)]
