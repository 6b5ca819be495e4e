"""The opened backend: requests go to a server, adapters are loaded into it, and `hf` trains while it sleeps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from backends.abilities import AdapterLoader
from backends.base import Backend
from backends.hf.adapters import check_contents, check_path, hash_adapter, is_lora
from backends.openai import OpenAI
from backends.openai.backend import OpenAIBackend
from backends.openai.opening import NoServerError
from backends.openai.served import Served
from backends.serving.config import Serving
from backends.serving.server import Server, serve
from backends.serving.turns import ASLEEP, BASE, UNKNOWN, Turns
from society.core.errors import BackendError, InputError, SocietyError, UnavailableError
from society.core.identity import fingerprint
from society.core.pieces import OnPiece
from society.core.types import Adapter, GenerateOutput, GenerateRequest

log = logging.getLogger(__name__)
Used = Callable[[], AbstractAsyncContextManager[None]]
"""Returns the context of requests to the server."""
RESTORE_SECONDS = 120.0
"""Maximum seconds at the end of a run for putting a server's own weights back."""


class ServingBackend(Backend):
    """A model on a server that learns."""

    def __init__(self, config: Serving) -> None:
        self._config = config
        self._engine = config.engine()
        self._full: dict[str, Path] = {}
        self._requests: OpenAIBackend | None = None

    async def __aenter__(self) -> Self:
        from backends.hf.hashing import hash_parts
        from backends.hf.loading import find_folder
        from backends.serving.trainer import SleepingTrainer

        async with AsyncExitStack() as stack:
            self._folder = await asyncio.to_thread(find_folder, self._config.reference)
            url = self._config.url
            self._server: Server | None = None
            if url is None:
                self._server = await stack.enter_async_context(serve(self._config, self._folder))
                url = self._server.url
            options = OpenAI(url=url, context=self._config.context, concurrency=self._config.batch)
            requests = OpenAIBackend(options, dict(self._engine.tokens), self._restore)
            try:
                await stack.enter_async_context(requests)
            except NoServerError as error:
                remedy = f"Start {self._engine.name}, or correct `url`; without `url`, the run starts a server. "
                command = f"Start it with: {self._engine.start} {self._folder}. {self._engine.flags}"
                raise type(error)(error.cause, remedy + command) from None
            self._client = requests.client
            self._turns = Turns(self._change)
            self._asleep, self._stored = False, BASE  # the weights that the server has, also in its sleep
            build = await self._check_server(requests.served, self._folder)
            stack.push_async_callback(self._put_base_back)
            self._requests = requests
            parts = sorted((await asyncio.to_thread(hash_parts, self._folder)).items())
            self.model_hash = fingerprint(
                [parts, self._config.chat_template, self._config.dtype, requests.served.logprobs, build]
            )
            assert requests.adapters is not None
            self.adapters = ServerLoader(requests.adapters, self._full, self._folder, self._used)
            self.trainer = SleepingTrainer(self._config.trainer_config(), self._turns)
            self._close = stack.pop_all().aclose
        self.streaming = self
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._requests = self.adapters = self.trainer = self.streaming = None
        await self._close()

    async def check(self, requests: Sequence[GenerateRequest]) -> None:
        """Test the options of these requests on the server; see `Backend.check`."""
        async with self._used(), self._turns.using(BASE):
            await self._opened.check(requests)

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request, with the adapter or the full weights that it names."""
        opened = self._opened
        async with self._holding(request) as held:
            return await opened.generate(held)

    async def stream(self, request: GenerateRequest, on_piece: OnPiece) -> GenerateOutput:
        """Answer one request in pieces; see `Streaming.stream`."""
        opened = self._opened
        async with self._holding(request) as held:
            return await opened.stream(held, on_piece)

    def drop_queued(self) -> None:
        """Drop the requests that are not sent yet; see `Backend.drop_queued`."""
        self._turns.drop_queued()
        self._opened.drop_queued()

    @asynccontextmanager
    async def _holding(self, request: GenerateRequest) -> AsyncIterator[GenerateRequest]:
        """Hold the weights that a request needs on the server, and yield the request to the server."""
        weights = request.adapter if request.adapter in self._full else None
        async with self._used(), self._turns.using(weights or BASE):
            yield replace(request, adapter=None) if weights else request

    def _used(self) -> AbstractAsyncContextManager[None]:
        """Return the context in which a server of the run's own that ends is an error of its own."""
        return nullcontext() if self._server is None else self._server.used()

    @property
    def _opened(self) -> OpenAIBackend:
        if self._requests is None:
            raise BackendError(f"The {self._config.kind} backend is not open.", "Use it inside `async with`.")
        return self._requests

    async def _change(self, weights: str) -> None:
        """Put other weights in place on the server, put it to sleep, or wake it."""
        try:
            async with self._used():
                await self._put(weights)
        except UnavailableError:
            if self._requests is not None:
                self._requests.forget()
            raise

    async def _put(self, weights: str) -> None:
        if weights == ASLEEP:
            if not self._asleep:
                await self._engine.sleep(self._client)
            self._asleep = True
            return
        if self._asleep:
            await self._engine.wake(self._client, self._place(self._stored))
            self._asleep = False
            if self._requests is not None:  # it may have been started again in its sleep, without its adapters
                await self._requests.check_again()
        if weights != BASE or self._stored != BASE:  # a server that was restarted in its sleep holds the base
            self._stored = UNKNOWN
            await self._engine.read_weights(self._client, self._place(weights))
            self._stored = weights

    def _place(self, weights: str) -> Path:
        """Return the folder of these weights."""
        return self._full.get(weights, self._folder)

    async def _restore(self, served: Served) -> None:
        """Give a server that was gone the weights that requests count on. Raises `InputError` for another model."""
        wakes = self._turns.held == ASLEEP  # then `_put` reads the weights
        held = self._place(self._stored if wakes else self._turns.held)
        await self._check_server(served, held)
        if held != self._folder and not wakes:
            await self._engine.read_weights(self._client, held)

    async def _put_base_back(self) -> None:
        """Leave a server that outlives the run awake, with the weights that it was started with."""
        if self._server is not None or self._turns.held == BASE:
            return
        try:
            async with asyncio.timeout(RESTORE_SECONDS), self._turns.using(BASE):
                pass
        except (SocietyError, TimeoutError) as error:
            log.warning("%s at %s keeps other weights or sleeps: %s", self._engine.name, self._client.url, error)

    async def _check_server(self, served: Served, held: Path) -> str | None:
        """Return the version of the server. Raises `InputError` unless it holds the base or the weights in `held`."""
        engine, url = self._engine, self._client.url
        if served.dialect is not engine.dialect:
            raise InputError(f"The server at {url} is no {engine.name}.", "Use kind: openai for other servers.")
        folder, build = await engine.describe(self._client, served)
        if folder is None or Path(folder).resolve() not in (self._folder.resolve(), held.resolve()):
            raise InputError(
                f"{engine.name} at {url} serves {folder}, but the scenario trains {self._folder}.",
                f"Start it with: {engine.start} {self._folder}",
            )
        return build


class ServerLoader(AdapterLoader):
    """Loads LoRA adapters into the server, and remembers full weights until a request names them."""

    def __init__(self, lora: AdapterLoader, full: dict[str, Path], base: Path, used: Used) -> None:
        self._lora, self._full, self._base, self._used = lora, full, base, used

    def identify(self, path: Path) -> Adapter:
        """Return the adapter in a folder, by the hash that `hf` gives it."""
        check_path(path, self._base)
        return Adapter(hash_adapter(path), str(path), "")

    async def load(self, adapter: Adapter) -> None:
        """Make `adapter.hash` usable in requests.

        Raises `InputError` if the server cannot load it, and `BackendError` if its files have changed.
        """
        path = Path(adapter.path)
        check_path(path, self._base)
        await asyncio.to_thread(check_contents, adapter)
        if is_lora(path):
            async with self._used():
                await self._lora.load(adapter)
        else:
            self._full[adapter.hash] = path.resolve()
