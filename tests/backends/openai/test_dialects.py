"""The HTTP backend against fakes of every kind of server: each option reaches the model, or is refused before work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from backends.base import Backend
from backends.contract_tools import ask, join, run, stream
from backends.openai import OpenAI, dialects
from society.core.errors import InputError
from society.core.pieces import Piece
from society.core.types import GenerateOutput, GenerateRequest, Thinking
from tests.backends.openai import fakes
from tests.backends.openai.fakes import EVERY, FakeServer

SAMPLING: dict[str, float] = {"top_k": 20, "min_p": 0.1, "repeat_penalty": 1.3}
THINKING: dict[str, dict[str, Any]] = {
    "on": {"thinking": Thinking(enabled=True)},
    "off": {"thinking": Thinking(enabled=False)},
    "budget": {"thinking": Thinking(budget=5)},
    "effort": {"template_args": (("reasoning_effort", "low"),)},
}
HONOURED = {
    fakes.FakeOllama: {"top_k", "min_p", "repeat_penalty", "on", "off", "effort", "choices"},
    fakes.FakeLMStudio: {"top_k", "repeat_penalty", "on", "off", "effort", "choices"},
    fakes.FakeVLLM: {"top_k", "min_p", "repeat_penalty", "on", "off", "budget", "effort", "choices"},
    fakes.FakeOldVLLM: {"top_k", "min_p", "repeat_penalty", "on", "off", "effort", "choices"},
    fakes.FakeSGLang: {"top_k", "min_p", "repeat_penalty", "on", "off", "budget", "effort", "choices"},
    fakes.FakeOpenAI: {"on", "off", "effort", "choices"},
    fakes.FakeOpenRouter: {"top_k", "repeat_penalty", "on", "off", "budget", "effort", "choices"},
    fakes.FakeTogether: {"top_k", "min_p", "repeat_penalty", "on", "off", "choices"},
    fakes.FakeDashScope: {"top_k", "on", "off", "budget", "choices"},
    fakes.FakeMistral: {"on", "off", "effort", "choices"},
    fakes.FakeTGI: {"off", "choices"},
    fakes.FakeGateway: {"on", "off", "choices"},
}
"""Options that each kind of server honours; everything else is refused."""


@pytest.fixture(autouse=True)
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Let the fakes of hosted services be known by their port, as the real ones are by their host."""
    known: dict[str, str] = {}
    real = dialects.find_dialect

    def find(owner: str | None, url: str = "") -> dialects.Dialect:
        return real(owner, known.get(url, url))

    monkeypatch.setattr("backends.openai.opening.find_dialect", find)
    return known


@pytest.mark.parametrize("kind", [fakes.FakeOllama, fakes.FakeLMStudio])
def test_a_server_without_a_budget_is_not_asked_for_one(kind: type[FakeServer]) -> None:
    variables = replace(ask("What?"), template_args=(("x", 1),))
    for asked, cause, remedy in (
        (request("budget"), "has no budget of thoughts.", "Remove thinking.budget. For short thoughts, set thinking.t"),
        (variables, "does not take thinking.template_args (x).", "It knows reasoning_effort alone."),
    ):
        with kind() as server, pytest.raises(InputError) as caught:
            run(OpenAI(url=server.url), lambda backend, asked=asked: backend.check([asked]))
        assert caught.value.cause.endswith(cause)
        assert remedy in caught.value.remedy


HOSTS = {fakes.FakeOpenAI: "https://api.openai.com/v1", fakes.FakeOpenRouter: "https://openrouter.ai/api/v1"}


def request(option: str) -> GenerateRequest:
    asked = ask("What?", max_tokens=60)
    if option in SAMPLING:
        return replace(asked, sampling=replace(asked.sampling, **{option: SAMPLING[option]}))
    if option == "choices":
        return replace(asked, choices=("yes", "no"))
    return replace(asked, **THINKING[option])


async def reach(server: FakeServer, asked: GenerateRequest) -> GenerateOutput | InputError:
    """Return the reply, or the error before the first turn."""
    async with OpenAI(url=server.url).open() as backend:
        try:
            await backend.check([asked])
        except InputError as error:
            return error
        return await backend.generate(asked)


def arrived(server: FakeServer, option: str) -> bool:
    """Return whether the last request to the model had the option."""
    last = server.brain.last
    if option in SAMPLING:
        return bool(getattr(last, option) == SAMPLING[option])
    expected = {
        "on": last.thinking,
        "off": not last.thinking,
        "budget": last.budget == 5,
        "effort": last.effort == "low",
    }
    return bool(expected.get(option, last.choices == ("yes", "no")))


@pytest.mark.parametrize("option", [*SAMPLING, *THINKING, "choices"])
@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_option_reaches_the_model_or_is_refused_before_the_first_turn(
    kind: type[FakeServer], option: str, hosts: dict[str, str]
) -> None:
    with kind() as server:
        hosts[server.url] = HOSTS.get(kind, server.url)
        done = asyncio.run(reach(server, request(option)))
        if option in HONOURED[kind]:
            assert isinstance(done, GenerateOutput), done
            assert arrived(server, option)
        else:
            assert isinstance(done, InputError), f"{option} did nothing, and nobody said so"
            assert done.remedy


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_a_watched_reply_is_the_same_in_pieces(kind: type[FakeServer], hosts: dict[str, str]) -> None:
    plain, choosing = ask("What?", max_tokens=60), replace(ask("What?", max_tokens=60), choices=("yes", "no"))

    async def use(backend: Backend) -> list[tuple[GenerateOutput, GenerateOutput, list[Piece]]]:
        return [(await backend.generate(asked), *await stream(backend, asked)) for asked in (plain, choosing)]

    with kind() as server:
        if kind in HOSTS:
            hosts[server.url] = HOSTS[kind]
        (whole, output, pieces), (chosen, choice, choice_pieces) = run(OpenAI(url=server.url), use)
    assert output == whole
    assert choice == chosen
    assert join(pieces) == (whole.thought, whole.text)
    assert join(choice_pieces) == (chosen.thought, chosen.text)
    assert len(pieces) > 3 or kind is fakes.FakeMistral, "the reply comes as a whole"  # Mistral refuses stream_options


def test_a_stream_that_breaks_off_is_asked_again_as_a_whole(caplog: pytest.LogCaptureFixture) -> None:
    class Breaking(fakes.FakeGateway):
        def chat(self, body: dict[str, Any]) -> bytes:
            whole = super().chat(body)
            return whole[: whole.rindex(b"data: {")] if body.get("stream") else whole

    with Breaking() as server:
        output, pieces = run(OpenAI(url=server.url), lambda backend: stream(backend, ask("What?", max_tokens=60)))
    assert join(pieces) == (output.thought, output.text)
    assert "cannot stream" in caplog.text
