"""Servers on the usual ports of this machine: their models are listed, and other programs are passed over."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from backends.models.local.model import Found
from backends.openai.config import OpenAI
from backends.openai.opening import _choose
from backends.openai.running import add_servers
from backends.openai.wire import ModelEntry
from society.core.errors import InputError

VLLM = {"/v1/models": {"data": [{"id": "small", "owned_by": "vllm", "max_model_len": 4096}]}}
OLLAMA = {
    "/v1/models": {"data": [{"id": "small:1b", "owned_by": "library"}, {"id": "gone:1b", "owned_by": "library"}]},
    "/api/version": {"version": "1"},
    "/api/show small:1b": {
        "capabilities": ["completion", "thinking"],
        "model_info": {"general.architecture": "llama", "general.parameter_count": 7, "llama.context_length": 512},
    },
}


@contextmanager
def serving(pages: dict[str, Any]) -> Iterator[int]:
    """Yield the port of a server with these pages by path, and by path and model for POST."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.respond(pages.get(self.path))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.respond(pages.get(f"{self.path} {body['model']}"))

        def respond(self, page: Any) -> None:
            self.send_response(404 if page is None else 200)
            data = page if isinstance(page, bytes) else json.dumps(page).encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def list_at(*ports: int) -> list[Any]:
    found = Found()
    add_servers(found, ports)
    assert not found.skipped
    return found.models


def test_the_models_of_a_server_are_listed() -> None:
    with serving(VLLM) as port:
        [model] = list_at(port)
    assert (model.place, model.backend, model.model, model.context) == (f"vLLM at port {port}", "openai", "small", 4096)
    assert model.url == f"http://127.0.0.1:{port}/v1"
    assert (model.chat, model.adapters, model.training) == (None, False, False)


def test_ollama_says_what_its_models_can_do() -> None:
    with serving(OLLAMA) as port:
        model, gone = list_at(port)
    assert (model.place, model.model) == (f"Ollama at port {port}", "small:1b")
    assert (model.architecture, model.parameters, model.context) == ("llama", 7, 512)
    assert (model.chat, model.thoughts, model.tools) == (True, True, False)
    assert (gone.model, gone.context, gone.chat) == ("gone:1b", None, None)


@pytest.mark.parametrize("page", [b"<html>", b"", [], {"data": 3}, {"data": [{"name": "x"}]}, b"[" * 100_000])
def test_other_programs_are_passed_over(page: object) -> None:
    with serving({"/v1/models": page}) as port:
        assert list_at(port) == []


def test_a_port_without_a_server_is_passed_over_and_the_others_are_asked() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with serving(VLLM) as port:
            assert [model.model for model in list_at(free.getsockname()[1], port)] == ["small"]


def test_a_program_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.openai.running.PATIENCE", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert list_at(silent.getsockname()[1]) == []


def test_a_program_whose_response_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.openai.running.PATIENCE", 0.2)
    closed = Event()

    def drip(server: socket.socket) -> None:
        client, _ = server.accept()
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:  # each read of the client returns in time
                client.sendall(b" ")
                closed.wait(0.01)

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        thread = Thread(target=drip, args=(server,), daemon=True)
        thread.start()
        assert list_at(server.getsockname()[1]) == []
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("owners", "says"),
    [
        ([], "If it is Ollama: ollama pull small."),
        (["library"], "If it is Ollama: ollama pull small."),
        (["organization_owner"], "LM Studio: lms get small."),
        (["vllm"], "Set `model` (society ask: --model URL#MODEL); it has: other0."),
    ],
)
def test_a_model_that_a_server_lacks_comes_with_the_command_that_gets_it(owners: list[str], says: str) -> None:
    entries = [ModelEntry(id=f"other{i}", owned_by=owner) for i, owner in enumerate(owners)]
    with pytest.raises(InputError) as error:
        _choose(OpenAI(model="small"), entries)
    assert error.value.remedy.endswith(says)
