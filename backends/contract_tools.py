"""Helpers of the contract tests: requests, a backend that is opened for one test, streamed replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from backends.abilities import Decoder
from backends.base import Ability, Backend, BackendConfig
from society.core.pieces import Growing, Piece
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling

LONG_QUESTION = "Count from one to one hundred, all numbers in words, separated by commas."


def ask(text: str, *, seed: int = 1, adapter: str | None = None, **sampling: Any) -> GenerateRequest:
    """Return a request with one user message. `max_tokens` is 8 by default."""
    return GenerateRequest((ChatMessage("user", text),), Sampling(**{"max_tokens": 8, **sampling}), seed, adapter)


def run(config: BackendConfig, use: Callable[[Backend], Coroutine[Any, Any, Any]]) -> Any:
    """Return the result of `use` on the opened backend."""

    async def opened() -> Any:
        async with config.open() as backend:
            return await use(backend)

    return asyncio.run(opened())


async def score(backend: Backend, request: GenerateRequest) -> tuple[GenerateOutput, tuple[float, int] | None]:
    """Return the reply, and the score of its drawn tokens if the backend can score."""
    output = await backend.generate(request)
    if backend.likelihood is None or output.tokens is None:
        return output, None
    return output, await backend.likelihood.logprob(request.messages, output.text, request.adapter, output.tokens)


async def stream(backend: Backend, request: GenerateRequest) -> tuple[GenerateOutput, list[Piece]]:
    """Return the reply and its pieces. All of them must arrive in the event loop, before the reply."""
    assert backend.streaming is not None
    loop, pieces = asyncio.get_running_loop(), list[Piece]()

    def keep(piece: Piece) -> None:
        assert asyncio.get_running_loop() is loop
        pieces.append(piece)

    output = await backend.streaming.stream(request, keep)
    count = len(pieces)
    await asyncio.sleep(0.01)
    assert len(pieces) == count, "a piece arrived after the reply"
    return output, pieces


def join(pieces: Sequence[Piece]) -> tuple[str, str]:
    """Return the thought and the text that pieces make up."""
    growing = Growing()
    for piece in pieces:
        growing.add(piece)
    return growing.thought, growing.text


def decode(backend: Backend, output: GenerateOutput) -> str:
    """Return the text of the reply's drawn tokens, decoded by the backend's tokenizer."""
    assert isinstance(backend.tokenizer, Decoder), "a tokenizer of replies with tokens needs `decode`"
    return backend.tokenizer.decode(output.tokens or ())


def need(config: BackendConfig, ability: Ability) -> None:
    """Skip a test if the backend does not declare the ability."""
    if ability not in config.abilities:
        pytest.skip(f"no {ability}")
