"""The opened HTTP backend: sends as many requests at the same time as the server can handle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from backends.base import Backend
from backends.openai import crowding
from backends.openai.adapters import ServerAdapters
from backends.openai.asking import ask_server, render_prompt
from backends.openai.client import Client, ClosedError, UnreachableError
from backends.openai.config import OpenAI
from backends.openai.crowding import Crowding, Queue, find_work, read_metrics
from backends.openai.dialects import OLLAMA, SGLANG, VLLM
from backends.openai.estimating import Estimator
from backends.openai.limit import Limit
from backends.openai.opening import find_server, look, retry
from backends.openai.replies import read_message, read_reply
from backends.openai.served import Served
from backends.openai.settling import Settler
from backends.openai.streams import BrokenStreamError, OnMessage
from backends.openai.thinking import Fields
from backends.openai.tools import ServerTools, make_trial
from backends.openai.trial import try_request
from backends.openai.wire import Completion, Message
from society.core.errors import BackendError, ContextOverflowError, InputError, TransientError, UnavailableError
from society.core.pieces import OnPiece, Pieces
from society.core.types import GenerateOutput, GenerateRequest, ToolSpec

log = logging.getLogger(__name__)
Restore = Callable[[Served], Awaitable[None]]
"""Receives a server that answers again after a lost connection."""


class OpenAIBackend(Backend):
    """A model on a server. Entering it finds the server and sends a test request."""

    def __init__(self, config: OpenAI, extra: Fields | None = None, restore: Restore | None = None) -> None:
        """Two arguments are for backends that build on this one.

        `extra`: fields of every request. `restore` gets the server after a lost connection, in place of the check that
        it has the same model.
        """
        self._config = config
        self._extra = extra or {}
        self._restore = restore
        self._connection: _Connection | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(self._config))
            served = await find_server(client, self._config)
            self._connection = _Connection(self._config, client, served, self._extra, self._restore)
            self._close = stack.pop_all().aclose
        self.model_hash = served.hash
        self.adapters = self._connection.adapters
        self.streaming = self
        self.tools = ServerTools(self._connection.tools)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.crowding.close()
        self._connection = self.adapters = self.streaming = self.tools = None
        await self._close()

    async def check(self, requests: Sequence[GenerateRequest]) -> None:
        """Raise `InputError` if the server refuses or ignores an option of these requests; see `Backend.check`."""
        for request in requests:
            try:
                await self._opened.try_out(request)
            except UnreachableError:
                self.forget()
                raise
            except (TransientError, ContextOverflowError):
                raise
            except BackendError as error:
                raise InputError(error.cause, error.remedy) from None

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request; see `Backend.generate`."""
        return await self._opened.answer(request)

    def drop_queued(self) -> None:
        """Drop the requests that are not sent yet; see `Backend.drop_queued`."""
        if self._connection is not None:
            self._connection.limit.drop_queued()

    async def stream(self, request: GenerateRequest, on_piece: OnPiece) -> GenerateOutput:
        """Answer one request in pieces; see `Streaming.stream`."""
        return await self._opened.answer(request, Pieces(on_piece, request.sampling.stop))

    def forget(self) -> None:
        """Check the server before the next request, as after a lost connection."""
        self._opened.known.clear()

    async def check_again(self) -> None:
        """Check the server now, as after a lost connection."""
        self.forget()
        await self._opened.check_server()

    @property
    def served(self) -> Served:
        """The server and its model as they were found."""
        return self._opened.served

    @property
    def client(self) -> Client:
        """The connection to the server."""
        return self._opened.client

    @property
    def _opened(self) -> _Connection:
        if self._connection is None:
            raise BackendError("The openai backend is not open.", "Use it inside `async with`.")
        return self._connection


class _Connection:
    """A client, the server as it was found, and the limit of requests in flight."""

    def __init__(self, config: OpenAI, client: Client, served: Served, extra: Fields, restore: Restore | None) -> None:
        self._config = config
        self._restore = restore or self._check_model
        self.client = client
        self.served = served
        self._extra = extra
        self._estimator = Estimator(served.model, served.folder)
        self.adapters = ServerAdapters(client, served)
        self._settler = Settler(f"{served.dialect.name} at {client.url}", served.dialect, self._probe, self._render)
        # llama.cpp's server queues requests beyond its slots. Twice as many keep it busy; more would only wait.
        most = min(config.concurrency, 2 * served.slots if served.slots else config.concurrency)
        names = {VLLM.name: crowding.VLLM, SGLANG.name: crowding.SGLANG}.get(served.dialect.name)
        self.crowding = Crowding(partial(self._look, names) if names else None)
        self.limit = Limit(most, judge=self.crowding.judge)
        self.known = asyncio.Event()  # set while the server is known to be the one that was found
        self.known.set()
        self._checking = asyncio.Lock()
        self._streams = True  # until the server refuses
        self.tools: dict[tuple[ToolSpec, ...], bool] = {}
        """Whether the model calls each set of tools in a trial."""

    async def answer(self, request: GenerateRequest, pieces: Pieces | None = None) -> GenerateOutput:
        """Return a reply. After a lost connection, check first that the server is still the same."""
        if not request.messages:
            raise BackendError("The request has no messages.", "Give at least one user message.")
        more = await self._settler.settle(request)
        opened = await self._settler.leaves(more, request.thinking.tags)
        async with self.limit.place():
            checked = await self.check_server()
            clock = asyncio.get_running_loop().time
            started = clock()
            try:
                completion = await self._ask(request, more, self._shower(request, opened, pieces))
            except ClosedError:
                await self._check_presence(checked)
                raise
            except UnreachableError:
                self.known.clear()
                raise
            self.crowding.reply(clock() - started, find_work(completion))
        output = self._read(completion, request, opened)
        if pieces is not None:
            pieces.finish(output.thought, output.text)
        return output

    def _shower(self, request: GenerateRequest, opened: bool, pieces: Pieces | None) -> OnMessage | None:
        """Return the function that sends the pieces of an arriving message; None where nobody watches."""
        if pieces is None:
            return None

        def show(message: dict[str, Any]) -> None:
            if not request.choices:  # the reply may be JSON that holds the choice
                pieces.update(*read_message(Message.model_validate(message), request, opened))

        return show

    async def try_out(self, request: GenerateRequest) -> None:
        """Settle the options of a request, and send them once with a short question. Try its tools, too."""
        request, tools = replace(request, tools=()), request.tools
        more = await self._settler.settle(request)
        opens = await self._settler.opens(more, request.thinking.tags)
        read = partial(self._read, opened=await self._settler.leaves(more, request.thinking.tags))
        await try_request(partial(self._probe, more=more), read, request, opens, self.served.dialect.name)

        if tools and tools not in self.tools:
            self.tools[tools] = await self._calls(tools)

    async def _calls(self, tools: tuple[ToolSpec, ...]) -> bool:
        """Return whether the model calls one of these tools when it is asked to. Transient errors are retried."""
        trial = make_trial(tools)
        try:
            if self.served.dialect is not OLLAMA and self._read(await self._probe(trial, {}), trial, False).calls:
                return True
        except TransientError:
            raise
        except BackendError as error:
            log.debug("%s refuses tools: %s", self.client.url, error.cause)
        log.warning("The model at %s does not call tools by itself: agents call them in plain text.", self.client.url)
        return False

    async def _ask(self, request: GenerateRequest, more: Fields, show: OnMessage | None) -> Completion:
        more = more | self._extra | self.adapters.fields(request.adapter)
        if show is None or not self._streams:
            return await ask_server(self.client, self.served, request, more)
        try:
            return await ask_server(self.client, self.served, request, more, show)
        except BackendError as error:
            refused = not isinstance(error, TransientError | ContextOverflowError) and "stream" in error.cause.lower()
            if self.served.streams or not (refused or isinstance(error, BrokenStreamError)):
                raise
            # llama-cpp-python's server breaks a stream off when the next request arrives.
            log.warning("%s cannot stream these replies, so each is shown as a whole: %s", self.client.url, error.cause)
            self._streams = False
        return await ask_server(self.client, self.served, request, more)

    async def _probe(self, request: GenerateRequest, more: Fields) -> Completion:
        """Return the response to a test request, without log-probabilities. Transient errors are retried."""
        served = replace(self.served, logprobs=False)
        return await retry(partial(ask_server, self.client, served, request, more))

    async def _look(self, names: crowding.Names) -> Queue | None:
        """Return the numbers of requests at the server; None if its page does not have them."""
        try:
            page = await self.client.send("GET", f"{self.client.root}/metrics")
        except TransientError:
            raise
        except BackendError:
            return None
        return read_metrics(page.decode("utf-8", "replace"), names)

    async def _render(self, question: str, more: Fields) -> str | None:
        chat = [{"role": "user", "content": question}]
        return await retry(partial(render_prompt, self.client, self.served, chat, more))

    def _read(self, completion: Completion, request: GenerateRequest, opened: bool) -> GenerateOutput:
        return read_reply(completion, request, self.served, self._estimator, opened)

    async def _check_presence(self, checked: bool) -> None:
        """After a connection that was closed without a response, raise `UnavailableError` if the server is gone.

        A server that was `checked` just before the request, and is gone after it, may have crashed on the request. Then
        nothing is raised, so that the attempt counts.
        """
        try:
            await self.client.check_presence()
        except UnavailableError:
            self.known.clear()
            if not checked:
                raise

    async def check_server(self) -> bool:
        """After a lost connection, check the model and load the adapters. Return whether this call has checked them.

        Raises `InputError` for another model.
        """
        if self.known.is_set():
            return False
        async with self._checking:
            if self.known.is_set():
                return False
            now = await look(self.client, self._config)
            await self._restore(now)
            self.served = replace(self.served, adapters=now.adapters)
            await self.adapters.serve(self.served)
            self.known.set()
            return True

    async def _check_model(self, now: Served) -> None:
        if now.identity != self.served.identity:
            raise InputError(
                f"The server at {self.client.url} was restarted with another model.",
                "Start it with the model that it had when the run began, then run again with --resume (Python: "
                "resume=True).",
            )
