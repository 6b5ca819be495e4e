"""The opened HTTP backend: requests out, outputs in, as many at a time as the server bears."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from backends.base import Backend
from backends.openai.adapters import ServerAdapters
from backends.openai.client import Client, UnreachableError
from backends.openai.config import OpenAI
from backends.openai.dialects import read_choice, write_body
from backends.openai.limit import Limit
from backends.openai.opening import Served, find_server, look
from backends.openai.wire import Choice, Completion
from society.core.errors import BackendError, ContextOverflowError
from society.core.types import FinishReason, GenerateOutput, GenerateRequest, Usage


class OpenAIBackend(Backend):
    """A model on a server. Enter it to find the server and try it out."""

    def __init__(self, config: OpenAI) -> None:
        self._config = config
        self._connection: _Connection | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(self._config))
            served = await find_server(client, self._config)
            self._connection = _Connection(self._config, client, served)
            self._close = stack.pop_all().aclose
        self.model_hash = served.hash
        self.adapters = self._connection.adapters
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection = self.adapters = None
        await self._close()

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request; see `Backend.generate`."""
        if self._connection is None:
            raise BackendError("The openai backend is not open.", "Use it inside `async with`.")
        if not request.messages:
            raise BackendError("The request has no messages.", "Give at least one message of the user.")
        return await self._connection.answer(request)


class _Connection:
    """A client, the server as it was found, and how many requests it bears."""

    def __init__(self, config: OpenAI, client: Client, served: Served) -> None:
        self._config = config
        self._client = client
        self._served = served
        self._context = min(filter(None, (config.context, served.context)), default=None)
        self.adapters = ServerAdapters(client, served)
        # llama.cpp's server queues what its slots do not take: twice as many keep it busy, more would only wait there.
        self._limit = Limit(min(config.concurrency, 2 * served.slots if served.slots else config.concurrency))
        self._known = asyncio.Event()  # set while the server is the one that was found
        self._known.set()
        self._looking = asyncio.Lock()

    async def answer(self, request: GenerateRequest) -> GenerateOutput:
        """A reply. A server that went away is looked at again before it is believed."""
        served = self._served
        body = write_body(served.dialect, served.model, request, served.limit_name, served.logprobs)
        async with self._limit.place():
            await self._recognise()
            body |= self.adapters.fields(request.adapter)
            try:
                said = await self._client.post(f"{self._client.url}/chat/completions", body, Completion)
            except UnreachableError:
                self._known.clear()
                raise
        return self._read(said, request)

    async def _recognise(self) -> None:
        """After the server was gone: that it has the same model, and the adapters. Raises a `BackendError` if not."""
        if self._known.is_set():
            return
        async with self._looking:
            if self._known.is_set():
                return
            now = await look(self._client, self._config)
            if now.identity != self._served.identity:
                raise BackendError(
                    f"The server at {self._client.url} was started anew, with another model.",
                    "Start it as it was when the run began.",
                )
            self._served = replace(self._served, adapters=now.adapters)
            await self.adapters.serve(self._served)
            self._known.set()

    def _read(self, said: Completion, request: GenerateRequest) -> GenerateOutput:
        """The output that an answer is. Raises a `BackendError` for one that is no reply."""
        choice, usage = said.choices[0], _usage(said)
        if choice.finish_reason == "content_filter":
            raise BackendError("The server's content filter stopped the reply.", "Change the prompt, or the model.")
        cut = choice.finish_reason == "length"
        if cut:
            self._require_room(usage, request.sampling.max_tokens)
        text = choice.message.content or choice.message.refusal or ""
        if request.choices:
            text = self._chosen(text, request.choices)
        return GenerateOutput(text, _finish(choice, request), usage, _logprob(choice))

    def _require_room(self, usage: Usage, limit: int) -> None:
        """Raise the error of a reply that ends because the context is full: llama.cpp's server gives it as one."""
        full = self._context is not None and usage.prompt_tokens + usage.generated_tokens >= self._context - 1
        if full and usage.generated_tokens < limit and self._context:
            raise ContextOverflowError(usage.prompt_tokens, limit, self._context)

    def _chosen(self, text: str, choices: tuple[str, ...]) -> str:
        chosen = read_choice(text, choices)
        if chosen is None:
            raise BackendError(
                f"The server does not keep a reply to the choices: it said {text[:80]!r}.",
                "Use a server with structured output, or let the agents vote in their own words.",
            )
        return chosen


def _finish(choice: Choice, request: GenerateRequest) -> FinishReason:
    """How the reply ended. Servers that do not tell a stop text from the end of the turn may have met the former."""
    if request.choices:
        return "stop"
    if choice.finish_reason == "length":
        return "length"
    return "stop_text" if request.sampling.stop else "stop"


def _usage(said: Completion) -> Usage:
    """Return the tokens as the server counted them; none where it does not."""
    if said.usage is None:
        return Usage()
    details, prompt = said.usage.prompt_tokens_details, said.usage.prompt_tokens
    cached = (details.cached_tokens if details else None) or 0
    return Usage(prompt, said.usage.completion_tokens, min(cached, prompt))


def _logprob(choice: Choice) -> float | None:
    """The sum over all tokens, or None where one of them is not told."""
    if choice.logprobs is None or not choice.logprobs.content:
        return None
    values = [token.logprob for token in choice.logprobs.content]
    known = [value for value in values if value is not None and math.isfinite(value)]
    return min(0.0, math.fsum(known)) if len(known) == len(values) else None
