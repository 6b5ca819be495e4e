"""Finds running servers and their models on the usual ports of this machine. No other machine is asked.

Ollama 11434, LM Studio 1234, vLLM 8000, SGLang 30000, llama.cpp 8080.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from socket import SHUT_RDWR
from threading import Timer
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from backends.models.local.model import Found, LocalModel
from backends.openai import ollama
from backends.openai.dialects import OLLAMA, OTHER, find_dialect
from backends.openai.wire import ModelList

PORTS = (11434, 1234, 8000, 30000, 8080)
"""Default ports of Ollama, LM Studio, vLLM, SGLang and llama.cpp."""
HOST = "127.0.0.1"
PATIENCE = 1.0
"""Seconds for a whole response."""
LARGEST = 4_000_000
"""Maximum size of a response, in bytes."""
MOST_MODELS = 200
"""Maximum number of models of one server."""
_Answer = TypeVar("_Answer", bound=BaseModel)


def add_servers(found: Found, ports: Sequence[int] = PORTS) -> None:
    """Add the models of the servers at these ports. A port without a server of models is passed over."""
    with ThreadPoolExecutor(len(ports)) as pool:
        for models in pool.map(lambda port: list(_list_models(port)), ports):
            found.models += models


def _list_models(port: int) -> Iterator[LocalModel]:
    """Yield the models of the server at this port."""
    listed = _ask(port, "/v1/models", ModelList)
    if listed is None:
        return
    is_ollama = _ask(port, "/api/version", ollama.Version) is not None
    for entry in listed.data[:MOST_MODELS]:
        dialect = OLLAMA if is_ollama else find_dialect(entry.owned_by)
        known = _describe_ollama(port, entry.id) if is_ollama else {"context": entry.max_model_len}
        yield LocalModel(
            place=f"{'A server' if dialect is OTHER else dialect.name} at port {port}",
            backend="openai",
            model=entry.id,
            url=f"http://{HOST}:{port}/v1",
            **known,
        )


def _describe_ollama(port: int, name: str) -> dict[str, Any]:
    """Return what Ollama reports of a model, by the fields of `LocalModel`."""
    details = _ask(port, "/api/show", ollama.Details, {"model": name})
    if details is None:
        return {}
    able, info = details.capabilities, details.model_info
    known: dict[str, Any] = {"context": details.context}
    if isinstance(info.get("general.architecture"), str):
        known["architecture"] = info["general.architecture"]
    if isinstance(info.get("general.parameter_count"), int):
        known["parameters"] = info["general.parameter_count"]
    if able is not None:
        known |= {"chat": "completion" in able, "thoughts": "thinking" in able, "tools": "tools" in able}
    return known


def _ask(port: int, path: str, answer: type[_Answer], body: object = None) -> _Answer | None:
    """Return a response of the server; None if there is no server, or if it responds with something else."""
    connection = HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        data = None if body is None else json.dumps(body)
        connection.connect()
        with _time_limit(connection):
            connection.request("GET" if body is None else "POST", path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read(LARGEST) if response.status == 200 else b""
        return answer.model_validate_json(said)
    except (OSError, HTTPException, ValidationError):
        return None
    finally:
        connection.close()


@contextmanager
def _time_limit(connection: HTTPConnection) -> Iterator[None]:
    """Shut the connection down if the block takes longer than `PATIENCE`. Its own timeout is that of a single read."""
    socket = connection.sock

    def end() -> None:
        with suppress(OSError):  # the server has closed it
            socket.shutdown(SHUT_RDWR)

    timer = Timer(PATIENCE, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
