"""The HTTP backend against scripted servers: what it sends, what it makes of every answer, and where its key goes."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backends.base import Backend
from backends.contract_tools import ask, run
from backends.openai import OpenAI, opening
from backends.openai.backend import OpenAIBackend
from backends.openai.client import ClosedError, UnreachableError
from backends.openai.counting import Counter
from backends.openai.dialects import VLLM
from backends.openai.failures import BusyError, NoAnswerError, failure, retry_after
from backends.openai.opening import NoServerError
from backends.openai.served import Served
from society.core.errors import (
    BackendError,
    ContextOverflowError,
    InputError,
    RunFolderError,
    SocietyError,
    TransientError,
    WaitedTooLongError,
)
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling
from society.results import Run
from society.runs.state import RunState
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run as run_scenario
from society.watcher import Watcher
from tests.conftest import rows
from tests.faults.proxy import HttpServer, Request, reply

Answer = Callable[[Request], bytes | None]


def completion(text: str | None = "It is Paris.", finish: str = "stop", **more: Any) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}},
        **more,
    }


def models(*names: str, owner: str = "someone", **more: Any) -> bytes:
    return reply({"object": "list", "data": [{"id": name, "owned_by": owner, **more} for name in names]})


class Fake(HttpServer):
    """A server with one model, `m`; `answer` has the first word on every chat that is not the backend's own probe."""

    def __init__(self, answer: Answer | None = None, listed: Callable[[], bytes] = lambda: models("m")) -> None:
        super().__init__(self._answer)
        self.answer = answer
        self.listed = listed

    @property
    def chats(self) -> list[Any]:
        return [request.json for request in self.requests if request.path == "/v1/chat/completions"]

    async def _answer(self, request: Request) -> bytes | None:
        if request.path == "/v1/models":
            return self.listed()
        if request.path.startswith("/api/"):
            return reply({"detail": "Not Found"}, 404)
        if self.answer and (request.path != "/v1/chat/completions" or not is_probe(request)):
            return self.answer(request)
        return reply(completion())


def is_probe(request: Request) -> bool:
    return bool(request.json["messages"] == [{"role": "user", "content": "Hello."}])


def say(config: OpenAI, request: GenerateRequest | None = None) -> GenerateOutput:
    output: GenerateOutput = run(config, lambda backend: backend.generate(request or ask("What?")))
    return output


def answered(*answers: bytes | None, config: dict[str, Any] | None = None) -> GenerateOutput:
    """Return the backend's output for the first of these answers to a chat."""
    left = iter(answers)
    with Fake(lambda request: next(left)) as server:
        return say(OpenAI(url=server.url, **(config or {})))


# What is sent, and what is read


def test_a_stranger_is_sent_the_standard_and_what_is_on() -> None:
    with Fake() as server:
        request = GenerateRequest(
            (ChatMessage("system", "s"), ChatMessage("user", "u \ud83d ☀")),
            Sampling(temperature=0.5, top_p=0.9, max_tokens=7, stop=("x",), min_p=0.1),
            12,
        )
        output = say(OpenAI(url=server.url), request)
        assert server.chats[-1] == {
            "model": "m",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u \ud83d ☀"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 12,
            "max_tokens": 7,
            "min_p": 0.1,
            "stop": ["x"],
        }
    assert (output.text, output.finish_reason, output.logprob) == ("It is Paris.", "stop_text", None)
    usage = output.usage
    assert (usage.prompt_tokens, usage.generated_tokens, usage.cached_tokens) == (9, 4, 3)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("vllm", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("sglang", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("me", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
    ],
)
def test_servers_with_defaults_of_their_own_are_told_what_is_off(owner: str, expected: dict[str, float]) -> None:
    with Fake(listed=lambda: models("m", owner=owner)) as server:
        say(OpenAI(url=server.url))
        assert expected.items() <= server.chats[-1].items()


def test_choices_come_back_bare_or_the_reply_is_an_error() -> None:
    request = GenerateRequest((ChatMessage("user", "Choose."),), Sampling(), 1, choices=("yes", "no"))
    said = iter(['{"choice": "no"}', "yes", "maybe", "[1]"])

    def answer(request: Request) -> bytes:
        asked = request.json["messages"][0]["content"]
        return reply(completion(next(said) if asked == "Choose." else "quartz nine"))

    async def use(backend: Backend) -> None:
        for expected in ("no", "yes"):
            output = await backend.generate(request)
            assert (output.text, output.finish_reason) == (expected, "stop")
        for _ in range(2):
            with pytest.raises(BackendError, match="did not restrict the reply to the choices"):
                await backend.generate(request)

    with Fake(answer) as server:
        run(OpenAI(url=server.url), use)
        assert server.chats[-1]["response_format"]["json_schema"]["schema"]["properties"]["choice"]["enum"] == [
            "yes",
            "no",
        ]


def test_log_probabilities_are_summed_and_asked_for_while_there_are_any() -> None:
    def with_logprobs(*values: float | None) -> bytes:
        said = completion()
        said["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": value} for value in values]}
        return reply(said)

    left = iter([with_logprobs(-1.0, -0.5), with_logprobs(-1.0, None)])

    async def respond(request: Request) -> bytes:
        if request.method == "GET":
            return models("m")
        return with_logprobs(-1.0) if is_probe(request) else next(left)

    with HttpServer(respond) as server:
        config = OpenAI(url=server.url)
        assert say(config).logprob == -1.5
        assert say(config).logprob is None  # one of them is not known
        assert [r.json["logprobs"] for r in server.requests if r.method == "POST"] == [True] * 4


async def _later(answer: bytes) -> bytes:
    return answer


def test_what_a_hosted_model_does_not_take_is_found_out_on_opening() -> None:
    """Some refuse `max_tokens` by that name, some `logprobs`: with status 400 or 500."""

    def picky(request: Request) -> bytes:
        if request.method == "GET":
            return models("m")
        asked = request.json
        if "max_tokens" in asked:
            return reply({"error": {"message": "Use 'max_completion_tokens' instead of 'max_tokens'."}}, 400)
        if asked.get("logprobs"):
            return reply({"error": {"message": "Logprobs are not supported with this model."}}, 500)
        return reply(completion())

    with HttpServer(lambda request: _later(picky(request))) as server:
        assert say(OpenAI(url=server.url)).text == "It is Paris."
        last = server.requests[-1].json
    assert last["max_completion_tokens"] == 8
    assert not {"max_tokens", "logprobs"} & set(last)


def test_a_refusal_is_a_reply() -> None:
    refused = completion(None)
    refused["choices"][0]["message"]["refusal"] = "I will not."
    assert answered(reply(refused)).text == "I will not."


# Failures

TUNNELLED = """
task: {kind: arithmetic, form: a+b, limit: 30}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 2}}
phases: [{name: debate, rounds: 1}]
"""

PASSING: dict[str, bytes | None] = {
    "429": reply({"error": {"message": "slow down"}}, 429, Retry_After="7"),
    "500": reply(b"oops", 500),
    "502": reply(b"<html>Bad gateway</html>", 502),
    "503": reply({"error": {"message": "Loading model"}}, 503),
    "reset": None,
    "html": reply(b"<html>Please log in</html>"),
    "not UTF-8": reply(b'{"choices": "\xff'),
    "half": reply(json.dumps(completion()).encode()[:40]),
    "no choices": reply({"choices": []}),
    "a list": reply([1, 2]),
    "negative tokens": reply({**completion(), "usage": {"prompt_tokens": -1}}),
    "tokens over 64 bits": reply({**completion(), "usage": {"prompt_tokens": 9, "completion_tokens": 10**23}}),
    "tokens of 63 bits": reply({**completion(), "usage": {"prompt_tokens": 9, "total_tokens": (1 << 63) - 1}}),
    "encoded twice": reply(completion(), Content_Encoding="gzip, gzip"),
    "no gzip": reply(completion(), Content_Encoding="gzip"),
    "short": reply(completion())[:-20],
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_transient(name: str) -> None:
    with pytest.raises(TransientError) as caught:
        answered(PASSING[name])
    assert caught.value.remedy
    assert caught.value.after == (7 if name == "429" else None)
    assert len(str(caught.value)) < 600
    assert isinstance(caught.value, BusyError) == (name in ("429", "503"))


class Tunnel(Fake):
    """A server behind a tunnel, which accepts connections without it. Some chats end it, or only their connection."""

    gone = False

    async def _answer(self, request: Request) -> bytes | None:
        said = request.json["messages"][-1]["content"] if request.body else ""
        self.gone = self.gone or said == "crash"
        return None if self.gone or said == "refused" else await super()._answer(request)


def test_a_server_behind_a_tunnel_is_gone_and_comes_back() -> None:
    async def use(backend: Backend) -> None:
        server.gone = True
        for _ in range(2):
            with pytest.raises(UnreachableError, match=r"No server answers at .*/models") as caught:
                await backend.generate(ask("What?"))
        assert "tunnel" in caught.value.remedy
        server.gone = False
        assert (await backend.generate(ask("What?"))).text == "It is Paris."

    with Tunnel() as server:
        run(OpenAI(url=server.url), use)


def test_a_request_on_which_the_server_closes_or_crashes_is_counted_and_does_not_pause_the_run() -> None:
    async def use(backend: Backend) -> None:
        for _ in range(2):
            with pytest.raises(ClosedError, match="closed before any response"):
                await backend.generate(ask("refused"))
        with pytest.raises(UnreachableError):  # an outage and a crash look the same
            await backend.generate(ask("crash"))
        server.gone = False
        with pytest.raises(ClosedError):  # the server was there just before, and is not just after
            await backend.generate(ask("crash"))
        with pytest.raises(UnreachableError):
            await backend.generate(ask("crash"))
        server.gone = False
        assert (await backend.generate(ask("What?"))).text == "It is Paris."

    with Tunnel() as server:
        run(OpenAI(url=server.url), use)


def test_a_tunnel_that_leads_nowhere_is_no_server() -> None:
    with Tunnel() as server:
        server.gone = True
        with pytest.raises(NoServerError, match="No server answers"):
            say(OpenAI(url=server.url))


def test_an_outage_behind_a_tunnel_stops_the_run_without_failed_turns(
    tmp_path: Path, scenario: Callable[..., Scenario]
) -> None:
    def end(request: Request) -> bytes:
        server.gone = len(server.chats) > 4
        return reply(completion())

    with Tunnel(end) as server:
        text = f"backends: {{s: {{kind: openai, url: {json.dumps(server.url)}}}}}\nretry: {{minutes: 0}}\n{TUNNELLED}"
        with pytest.raises(WaitedTooLongError, match="No server answers"):
            run_scenario(scenario(text), tmp_path / "run")
    done = Run(tmp_path / "run")
    assert [(session.state, done.count_failed()) for session in done.sessions()] == [(RunState.EXHAUSTED, 0)]


class Returns(Watcher):
    """Lets a server come back once a run waits for it."""

    def __init__(self, back: Callable[[], object]) -> None:
        self.back, self.causes = back, list[str]()

    def outage(self, backend: str, cause: str, seconds: float) -> None:
        self.causes.append(cause)
        self.back()


def write_tunnelled(url: str) -> str:
    return f"backends: {{s: {{kind: openai, url: {json.dumps(url)}}}}}\n{TUNNELLED}"


@pytest.mark.parametrize("cause", ["tunnel", "503", "502"])
def test_a_run_that_begins_waits_for_a_server_that_is_gone_or_busy(
    tmp_path: Path, scenario: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    monkeypatch.setattr(opening, "WAITS", ())
    with Tunnel() as server:
        server.gone = cause == "tunnel"
        server.listed = lambda: PASSING.get(cause) or models("m")

        def back() -> None:
            server.gone, server.listed = False, lambda: models("m")

        watcher = Returns(back)
        done = run_scenario(scenario(write_tunnelled(server.url)), tmp_path / "run", watcher=watcher)
    assert watcher.causes[0]
    assert watcher.causes[-1] == ""
    assert done.count_failed() == 0


def test_a_run_that_begins_does_not_wait_for_a_wrong_address(
    tmp_path: Path, scenario: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of a server, or of the resolver of names, tells at once what is wrong."""

    def fail(url: str) -> str:
        with pytest.raises(InputError) as caught:
            run_scenario(scenario(write_tunnelled(url)), tmp_path / "run")
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    with Fake(listed=lambda: reply({"error": {"message": "no key"}}, 401)) as server:
        assert "key_env" in fail(server.url)
    with Fake(listed=lambda: reply({"error": {"message": "no page"}}, 404)) as server:
        assert "`url`" in fail(server.url)

    def resolve(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "correct `url`" in fail("http://gpu.invalid:8000/v1")


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        (401, "bad key", "key_env"),
        (403, "not yours", "key_env"),
        (404, "The model `m` does not exist", "model"),
        (422, "extra field `min_p`", "leave it out"),
        (400, "unknown field top_k", "leave it out"),
    ],
)
def test_what_will_not_pass_says_what_to_do(status: int, message: str, remedy: str) -> None:
    with pytest.raises(BackendError, match=str(status)) as caught:
        answered(reply({"error": {"message": message}}, status))
    assert not isinstance(caught.value, TransientError)
    assert message in caught.value.cause
    assert remedy in caught.value.remedy


def test_no_quota_is_no_busy_server_and_a_redirect_is_not_followed() -> None:
    with pytest.raises(BackendError, match="out of money") as caught:
        answered(reply({"error": {"message": "out of money", "code": "insufficient_quota"}}, 429))
    assert not isinstance(caught.value, TransientError)
    with pytest.raises(BackendError) as moved:
        answered(reply(b"", 307, Location="http://elsewhere.example/v1"))
    assert "elsewhere.example" in moved.value.remedy


OVERFLOWS = [
    # llama-cpp-python, vLLM
    "This model's maximum context length is 4096 tokens. However, you requested 5008 tokens (5000 in the messages, "
    "8 in the completion).",
    # OpenAI
    "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
    # vLLM
    "'max_tokens' or 'max_completion_tokens' is too large: 8. This model's maximum context length is 4096 tokens and "
    "your request has 5000 input tokens",
    # SGLang
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5008 "
    "tokens: 5000 tokens from the input messages and 8 tokens for the completion.",
]
LLAMA_CPP = {"message": "too long", "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}


@pytest.mark.parametrize("said", [*({"message": text} for text in OVERFLOWS), LLAMA_CPP])
def test_a_context_overflow_is_known_with_its_lengths(said: dict[str, Any]) -> None:
    error = failure(400, {}, json.dumps({"error": said}).encode(), "POST x", 8)
    assert isinstance(error, ContextOverflowError)
    assert (error.prompt, error.answer, error.context) == (5000, 8, 4096)


@pytest.mark.parametrize(
    "said",
    [
        {**LLAMA_CPP, "n_prompt_tokens": -5},
        {**LLAMA_CPP, "n_ctx": 10**23},
        {"message": f"maximum context length is {'9' * 30} tokens, your messages resulted in 5000 tokens."},
    ],
)
def test_impossible_lengths_are_not_believed(said: dict[str, Any]) -> None:
    error = failure(400, {}, json.dumps({"error": said}).encode(), "POST x", 8)
    assert not isinstance(error, ContextOverflowError | TransientError)


def test_an_overflow_without_lengths_makes_none_up() -> None:
    error = failure(400, {}, b'{"error": {"message": "context length exceeded"}}', "POST x", 8)
    assert not isinstance(error, ContextOverflowError | TransientError)


def test_silence_ends_at_the_timeout() -> None:
    async def never(request: Request) -> bytes | None:
        if request.method == "GET":
            return models("m")
        if is_probe(request):
            return reply(completion())
        await asyncio.sleep(60)
        return None

    with HttpServer(never) as server, pytest.raises(NoAnswerError, match=r"within 0\.3 s") as caught:
        say(OpenAI(url=server.url, timeout=0.3))
    assert "timeout" in caught.value.remedy


def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.openai.client.LONGEST_BODY", 10_000)
    with pytest.raises(TransientError, match="is too long"):
        answered(reply(b"a" * 20_000))


def test_compressed_replies_are_read_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(json.dumps(completion()).encode())
    assert answered(reply(packed, Content_Encoding="gzip")).text == "It is Paris."
    monkeypatch.setattr("backends.openai.client.LONGEST_BODY", 10_000)
    asked: list[int] = []
    bomb = gzip.compress(b"a" * 50_000_000)
    decoder = zlib.decompressobj

    class Counted:
        def __init__(self, bits: int) -> None:
            self.inner = decoder(bits)

        def decompress(self, block: bytes, most: int) -> bytes:
            asked.append(most)
            return self.inner.decompress(block, most)

    monkeypatch.setattr("backends.openai.client.zlib.decompressobj", Counted)
    with pytest.raises(TransientError, match="is too long"):
        answered(reply(bomb, Content_Encoding="gzip"))
    assert 0 < max(asked) <= 10_001


def test_a_list_of_models_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.openai.opening.WAITS", (0.0,))
    with (
        Fake(listed=lambda: models(*map(str, range(10_001)))) as server,
        pytest.raises(TransientError, match="at most 10000 items"),
    ):
        say(OpenAI(url=server.url))
    monkeypatch.setattr("backends.openai.client.LONGEST_OTHER", 1000)
    with Fake(listed=lambda: models(*map(str, range(100)))) as server, pytest.raises(TransientError, match="too long"):
        say(OpenAI(url=server.url))


def test_tokens_are_counted_inside_a_running_event_loop() -> None:
    async def count(counter: Counter) -> int:
        return counter.count([ChatMessage("user", "Why?")])

    with Fake(lambda request: reply({"count": 7})) as server:
        assert asyncio.run(count(Counter(OpenAI(url=server.url), Served("m", "", VLLM, 100)))) == 7


def test_a_server_that_cannot_count_is_an_error_in_our_words() -> None:
    with Fake(lambda request: reply({"error": "no page"}, 404)) as server:
        config = OpenAI(url=server.url)
        with pytest.raises(BackendError, match="/tokenize returned 404: no page") as caught:
            Counter(config, Served("m", "", VLLM, 100)).count([ChatMessage("user", "Why?")])
    assert "http" not in caught.value.cause.replace(server.url.removesuffix("/v1"), "")
    assert "`context`" in caught.value.remedy


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.25", 0.25),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("9" * 30, None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


@pytest.mark.parametrize("sent", ["Tue, 01 Jan 2030 00:00:00 GMT", "Sun, 01 Jan 2006 00:00:00 GMT"])
def test_a_date_of_retry_after_is_by_the_clock_of_the_server(sent: str) -> None:
    """The clock of this machine may differ from it by years."""
    assert retry_after({"retry-after": sent.replace("00:00:00", "00:02:00"), "date": sent}) == 120


# Before any work


def unused_url() -> str:
    with Fake() as server:
        return server.url


def test_no_server_is_an_error_with_the_address() -> None:
    url = unused_url()
    with pytest.raises(InputError, match=url) as caught:
        say(OpenAI(url=url))
    assert "Start the server" in caught.value.remedy


@pytest.mark.parametrize("names", [(), ("a", "b")])
def test_a_scenario_must_name_one_of_several_models(names: tuple[str, ...]) -> None:
    with Fake(listed=lambda: models(*names)) as server:
        with pytest.raises(InputError, match=f"has {len(names)} models"):
            say(OpenAI(url=server.url))
        with pytest.raises(InputError, match="has no model 'c'"):
            say(OpenAI(url=server.url, model="c"))


def test_a_server_without_a_list_is_believed() -> None:
    with Fake(listed=lambda: reply(b"not here", 404)) as server:
        assert say(OpenAI(url=server.url, model="c")).text
        with pytest.raises(InputError, match="404"):
            say(OpenAI(url=server.url))


def test_a_page_that_is_no_api_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.openai.opening.WAITS", (0.0,))
    page = reply(b"<html><title>Log in</title> here</html>")
    with Fake(listed=lambda: page) as server, pytest.raises(InputError, match="a web page, 'Log in'") as caught:
        say(OpenAI(url=server.url))
    assert "/v1" in caught.value.remedy
    with Fake(listed=lambda: reply([1])) as server, pytest.raises(SocietyError, match="no ModelList"):
        say(OpenAI(url=server.url))


def test_a_server_that_is_loading_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.openai.opening.WAITS", (0.0, 0.0))
    answers = iter([reply(b"loading", 503), reply(b"loading", 503), models("m")])
    with Fake(listed=lambda: next(answers)) as server:
        assert say(OpenAI(url=server.url)).text


@pytest.mark.parametrize("url", ["ftp://host/v1", "host/v1", "http://", "http://me:pw@host/v1", "http://host/v1?key=1"])
def test_addresses_that_lead_nowhere_or_hold_secrets_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        OpenAI(url=url)


def test_another_model_after_a_restart_is_not_believed() -> None:
    """The server goes away in the middle of a run, and comes back, once as it was and once with another model."""
    name = ["m"]

    async def use(backend: OpenAIBackend, server: Fake) -> None:
        assert backend._connection
        client, url = backend._connection.client, backend._connection.client.url
        for there in (True, False):
            client.url = unused_url()
            with pytest.raises(TransientError, match="No server answers"):
                await backend.generate(ask("What?"))
            client.url, name[0] = url, "m" if there else "n"
            if there:
                assert (await backend.generate(ask("What?"))).text
        with pytest.raises(InputError, match="another model"):
            await backend.generate(ask("What?"))

    async def go(server: Fake) -> None:
        async with OpenAIBackend(OpenAI(url=server.url)) as backend:
            await use(backend, server)

    with Fake(listed=lambda: models(name[0])) as server:
        asyncio.run(go(server))


def test_a_run_may_move_to_another_address_but_not_to_another_model(tmp_path: Path) -> None:
    def scenario(server: Fake) -> Scenario:
        path = tmp_path / "moving.yaml"
        path.write_text(MOVING.replace("URL", server.url))
        return load_scenario(path)

    with Fake() as first, Fake() as second, Fake(listed=lambda: models("n")) as other:
        before = rows(run_scenario(scenario(first), tmp_path / "run"))
        assert rows(run_scenario(scenario(second), tmp_path / "run", resume=True)) == before
        assert [len(server.chats) for server in (first, second)] == [
            2 + 8,
            2,
        ]  # each probed and tried, no turn asked for twice
        with pytest.raises(RunFolderError, match="is not the one"):
            run_scenario(scenario(other), tmp_path / "run", resume=True)


MOVING = """
version: 1
name: moving
task: {kind: capitals, well_known: true, limit: 2}
backends: {server: {kind: openai, url: "URL"}}
roles: {debater: {prompt: "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %}"}}
agents: {debater: {count: 2}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
