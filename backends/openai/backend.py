"""The opened HTTP backend: sends as many requests at the same time as the server can handle."""

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
    """A model on a server. Entering it finds the server and sends a test request."""

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
            raise BackendError("The request has no messages.", "Give at least one user message.")
        return await self._connection.answer(request)


class _Connection:
    """A client, the server as it was found, and the limit of requests in flight."""

    def __init__(self, config: OpenAI, client: Client, served: Served) -> None:
        self._config = config
        self._client = client
        self._served = served
        self._context = min(filter(None, (config.context, served.context)), default=None)
        self.adapters = ServerAdapters(client, served)
        # llama.cpp's server queues requests beyond its slots. Twice as many keep it busy; more would only wait.
        self._limit = Limit(min(config.concurrency, 2 * served.slots if served.slots else config.concurrency))
        self._known = asyncio.Event()  # set while the server is known to be the one that was found
        self._known.set()
        self._checking = asyncio.Lock()

    async def answer(self, request: GenerateRequest) -> GenerateOutput:
        """Return a reply. After a lost connection, check first that the server is still the same."""
        served = self._served
        body = write_body(served.dialect, served.model, request, served.limit_name, served.logprobs)
        async with self._limit.place():
            await self._check_server()
            body |= self.adapters.fields(request.adapter)
            try:
                completion = await self._client.post(f"{self._client.url}/chat/completions", body, Completion)
            except UnreachableError:
                self._known.clear()
                raise
        return self._read(completion, request)

    async def _check_server(self) -> None:
        """After a lost connection, check the model and load the adapters. Raise `BackendError` for another model."""
        if self._known.is_set():
            return
        async with self._checking:
            if self._known.is_set():
                return
            now = await look(self._client, self._config)
            if now.identity != self._served.identity:
                raise BackendError(
                    f"The server at {self._client.url} was restarted with another model.",
                    "Start it with the model that it had when the run began.",
                )
            self._served = replace(self._served, adapters=now.adapters)
            await self.adapters.serve(self._served)
            self._known.set()

    def _read(self, completion: Completion, request: GenerateRequest) -> GenerateOutput:
        """Return the output of a completion. Raises `BackendError` if it is no valid reply."""
        choice, usage = completion.choices[0], _usage(completion)
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
        """Raise `ContextOverflowError` if a reply ends because the context is full: llama.cpp's server returns it."""
        full = self._context is not None and usage.prompt_tokens + usage.generated_tokens >= self._context - 1
        if full and usage.generated_tokens < limit and self._context:
            raise ContextOverflowError(usage.prompt_tokens, limit, self._context)

    def _chosen(self, text: str, choices: tuple[str, ...]) -> str:
        chosen = read_choice(text, choices)
        if chosen is None:
            raise BackendError(
                f"The server did not restrict the reply to the choices: it replied {text[:80]!r}.",
                "Use a server with structured output, or let the agents vote in their own words.",
            )
        return chosen


def _finish(choice: Choice, request: GenerateRequest) -> FinishReason:
    """Return why the reply ended.

    Servers do not distinguish a stop text from the end of the turn, so with stop texts the reason is `stop_text`.
    """
    if request.choices:
        return "stop"
    if choice.finish_reason == "length":
        return "length"
    return "stop_text" if request.sampling.stop else "stop"


def _usage(completion: Completion) -> Usage:
    """Return the server's count of tokens; 0 if it does not count."""
    counts = completion.usage
    if counts is None:
        return Usage()
    details = counts.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or 0
    return Usage(counts.prompt_tokens, counts.completion_tokens, min(cached, counts.prompt_tokens))


def _logprob(choice: Choice) -> float | None:
    """Return the sum over all tokens, or None if the server left one out."""
    if choice.logprobs is None or not choice.logprobs.content:
        return None
    values = [token.logprob for token in choice.logprobs.content]
    known = [value for value in values if value is not None and math.isfinite(value)]
    return min(0.0, math.fsum(known)) if len(known) == len(values) else None
