"""Promises of a backend that streams, as a part of `BackendContract`: the pieces of a reply make up the reply."""

from __future__ import annotations

import asyncio

import pytest

from backends.base import Backend, BackendConfig
from backends.contract_tools import LONG_QUESTION, ask, join, need, run, stream
from society.core.errors import BackendError
from society.core.pieces import Piece
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling


class StreamingPromises:
    """Promises that a backend without the ability `streaming` skips."""

    deterministic = False
    """Whether the same request, with the same seed, gives the same text under any load."""

    def test_pieces_make_up_the_reply(self, config: BackendConfig) -> None:
        need(config, "streaming")
        long = [ask(LONG_QUESTION, seed=i, max_tokens=16, temperature=1.5) for i in range(3)]
        stopped = [ask(LONG_QUESTION, seed=i, max_tokens=16, temperature=1.5, stop=("e", " a", "th")) for i in range(3)]

        async def use(backend: Backend) -> tuple[list[tuple[GenerateOutput, list[Piece]]], list[str]]:
            streamed = [await stream(backend, long[0])]
            assert len(streamed[0][1]) > 3, "the reply comes as a whole"
            more = await asyncio.gather(*(stream(backend, request) for request in (*long[1:], *stopped)))
            return [*streamed, *more], [(await backend.generate(request)).text for request in (*long, *stopped)]

        streamed, whole = run(config, use)
        for output, pieces in streamed:
            assert join(pieces) == (output.thought, output.text)
        if self.deterministic:
            assert [output.text for output, _ in streamed] == whole, "a watched reply differs"

    def test_pieces_of_a_choice_make_up_the_choice(self, config: BackendConfig) -> None:
        need(config, "streaming")
        need(config, "choices")
        message, choices = (ChatMessage("user", "Choose one."),), ("no", "no doubt", "nobody else", "yes")
        request = GenerateRequest(message, Sampling(2.0, max_tokens=9), 1, choices=choices)
        output, pieces = run(config, lambda backend: stream(backend, request))
        assert join(pieces) == (output.thought, output.text)
        assert output.text in choices

    @pytest.mark.parametrize("seconds", [0.0, 0.05])
    def test_cancelling_a_stream_leaves_it_usable(self, config: BackendConfig, seconds: float) -> None:
        need(config, "streaming")

        async def use(backend: Backend) -> tuple[GenerateOutput, list[Piece]]:
            request = ask(LONG_QUESTION, max_tokens=64)
            tasks = [asyncio.create_task(stream(backend, request)) for _ in range(3)]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return await stream(backend, ask("Say hello to me."))

        output, pieces = run(config, use)
        assert join(pieces) == (output.thought, output.text)

    def test_errors_of_a_stream_are_those_of_a_request(self, config: BackendConfig) -> None:
        need(config, "streaming")

        async def use(backend: Backend) -> None:
            for request in (GenerateRequest((), Sampling(max_tokens=4), 1), ask("Hello.", adapter="0" * 64)):
                with pytest.raises(BackendError):
                    await stream(backend, request)

        run(config, use)
