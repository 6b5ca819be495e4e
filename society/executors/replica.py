"""A replica of a backend in a Ray worker. The module does not import Ray: `pool` makes an actor of the class.

Errors of the backend are returned, not raised, so that they arrive unchanged. `submit` and `collect` carry batches of
requests; the other methods are called one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from backends.base import Backend, BackendConfig
from society.core.errors import BackendError, SocietyError
from society.core.machine import ProcessFacts, read_process
from society.core.types import Adapter, ChatMessage, GenerateRequest, ToolSpec
from society.executors.file_transfer import ChunkReceiver, Digest
from society.executors.request_batches import Dispatcher, Packet
from society.executors.scratch import Scratch


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened backend: the hash of its model, the names of its optional abilities, and the process that holds it."""

    model_hash: str
    abilities: frozenset[str]
    process: ProcessFacts


@dataclass(frozen=True, slots=True)
class Missing:
    """An answer: the replica has not loaded this adapter."""

    hash: str


class Replica:
    """Opens a backend and answers requests with it."""

    def __init__(self, config: BackendConfig) -> None:
        self._config = config
        self._backend: Backend | None = None
        self._loaded: set[str] = set()
        self._dispatcher = Dispatcher(self)
        self._arrivals = count()
        self._scratch = Scratch()

    async def open(self, expected: str) -> Opened | SocietyError:
        """Load the weights. Return an error if their hash is not `expected`; "" accepts any."""
        answer: Opened | SocietyError = await catch_errors(self._open, expected)
        return answer

    async def _open(self, expected: str) -> Opened:
        backend = await self._config.open().__aenter__()
        if expected and backend.model_hash != expected:
            raise BackendError(
                f"A replica's weights ({backend.model_hash[:12]}) differ from those of the first ({expected[:12]}).",
                "Put the same model files on every machine of the cluster, or on a shared disk.",
            )
        self._backend = backend
        names = ("tokenizer", "likelihood", "embeddings", "adapters", "trainer", "tools")
        abilities = frozenset(name for name in names if getattr(backend, name) is not None)
        return Opened(backend.model_hash, abilities, read_process())

    async def close(self) -> None:
        """Cancel all requests, close the backend and remove its files."""
        self._scratch.close()
        self._dispatcher.close()
        if self._backend is not None:
            await self._backend.__aexit__(None, None, None)

    @property
    def backend(self) -> Any:
        """Return the opened backend. Raises `BackendError` before `open`."""
        if self._backend is None:
            raise BackendError("This replica is not open.", "Open the replica first.")
        return self._backend

    async def submit(self, packets: Sequence[Packet], dropped: Sequence[int]) -> None:
        """Start the requests in these packets, and cancel the dropped ones."""
        self._dispatcher.submit(packets, dropped)

    async def collect(self) -> list[Packet]:
        """Return all finished answers; wait for at least one."""
        return await self._dispatcher.collect()

    async def generate(self, request: GenerateRequest) -> Any:
        """Return the output, `Missing` or an error."""
        if request.adapter is not None and request.adapter not in self._loaded:
            return Missing(request.adapter)
        return await catch_errors(self.backend.generate, request)

    async def drop_queued(self) -> None:
        """Drop the requests that wait for a place; see `Backend.drop_queued`."""
        await asyncio.sleep(0)  # let requests of the same packet enter the queue
        self.backend.drop_queued()

    async def check(self, requests: Sequence[GenerateRequest]) -> Any:
        """Return None, or the error of an option that the model refuses."""
        return await catch_errors(self.backend.check, requests)

    async def logprob(self, messages: Sequence[ChatMessage], reply: str, adapter: str | None, *more: Any) -> Any:
        """Return the sum and the number of tokens, `Missing` or an error. `more`: see `Likelihood.logprob`."""
        if adapter is not None and adapter not in self._loaded:
            return Missing(adapter)
        return await catch_errors(self.backend.likelihood.logprob, messages, reply, adapter, *more)

    async def embed(self, texts: Sequence[str]) -> Any:
        """Return the vectors or an error."""
        return await catch_errors(self.backend.embeddings.embed, texts)

    async def count(self, messages: Sequence[ChatMessage], *more: Any) -> int:
        """Return the number of prompt tokens. `more`: see `Tokenizer.count`."""
        return int(self.backend.tokenizer.count(messages, *more))

    async def supports(self, tools: tuple[ToolSpec, ...]) -> bool:
        """Return whether the model can be offered these tools."""
        return bool(self.backend.tools.supports(tools))

    async def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of drawn tokens."""
        return str(self.backend.tokenizer.decode(tokens))

    async def identify(self, chunks: Sequence[Any]) -> Any:
        """Return the adapter in these files with its path in the worker, or an error. `chunks` are references."""
        return await catch_errors(self._identify, chunks)

    async def _identify(self, chunks: Sequence[Any]) -> Adapter:
        adapter: Adapter = self.backend.adapters.identify(await self._unpack(chunks))
        return adapter

    async def load(self, adapter: Adapter, chunks: Sequence[Any]) -> Any:
        """Load an adapter from these files after checking its hash. Return None or an error."""
        return await catch_errors(self._load, adapter, chunks)

    async def _load(self, adapter: Adapter, chunks: Sequence[Any]) -> None:
        if adapter.hash in self._loaded:
            return
        path = await self._unpack(chunks)
        arrived: Adapter = self.backend.adapters.identify(path)
        if arrived.hash != adapter.hash:
            raise BackendError(
                f"The files of the adapter {adapter.hash[:12]} in {adapter.path} have changed.",
                "Restore the files, or train the adapter again.",
            )
        await self.backend.adapters.load(replace(adapter, path=str(path)))
        self._loaded.add(adapter.hash)

    async def _unpack(self, chunks: Sequence[Any]) -> Path:
        place = ChunkReceiver(self._scratch.path / str(next(self._arrivals)))
        digest = Digest()
        for reference in chunks:
            place.add(next(digest.hash_each([await reference])))
        return place.finish(digest.value)


async def catch_errors(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Return the function's result, or its error as a `SocietyError`."""
    try:
        return await function(*arguments)
    except SocietyError as error:
        return error
    except asyncio.CancelledError:
        raise
    except Exception as error:
        return BackendError(f"{type(error).__name__}: {error}", "This is a fault of the backend or of its libraries.")
