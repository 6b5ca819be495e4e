"""One copy of a backend, in a Ray worker. It imports no Ray: `pool` makes an actor of it.

What a backend refuses is an answer here, not an exception: so it arrives as it was raised. `take` and `give` carry
the requests of many turns; the other methods are called one by one.
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
from society.core.types import Adapter, ChatMessage, GenerateRequest
from society.executors.file_transfer import Digest, Unpacking
from society.executors.request_batches import Letter, Mailbox
from society.executors.scratch import Scratch


@dataclass(frozen=True, slots=True)
class Opened:
    """What an opened backend is: the hash of its model, and which optional abilities it has."""

    model_hash: str
    abilities: frozenset[str]


@dataclass(frozen=True, slots=True)
class Missing:
    """The replica does not hold this adapter yet."""

    hash: str


class Replica:
    """Opens its backend when asked to, and passes requests on to it."""

    def __init__(self, config: BackendConfig) -> None:
        self._config = config
        self._backend: Backend | None = None
        self._loaded: set[str] = set()
        self._mailbox = Mailbox(self)
        self._arrivals = count()
        self._scratch = Scratch()

    async def open(self, expected: str) -> Opened | SocietyError:
        """Load the weights; an error if they are not those whose hash is `expected` (any, if that is "")."""
        answer: Opened | SocietyError = await told(self._open, expected)
        return answer

    async def _open(self, expected: str) -> Opened:
        backend = await self._config.open().__aenter__()
        if expected and backend.model_hash != expected:
            raise BackendError(
                f"A replica holds other weights ({backend.model_hash[:12]}) than the first ({expected[:12]}).",
                "Put the same model files on every machine of the cluster, or on a disk that they share.",
            )
        self._backend = backend
        names = ("tokenizer", "likelihood", "embeddings", "adapters", "trainer")
        return Opened(backend.model_hash, frozenset(name for name in names if getattr(backend, name) is not None))

    async def close(self) -> None:
        """Give up what is asked, close the backend, and leave no files."""
        self._scratch.close()
        self._mailbox.close()
        if self._backend is not None:
            await self._backend.__aexit__(None, None, None)

    @property
    def backend(self) -> Any:
        """The opened backend."""
        if self._backend is None:
            raise BackendError("This replica is not open.", "Ask it to open first.")
        return self._backend

    async def take(self, letters: Sequence[Letter], dropped: Sequence[int]) -> None:
        """Begin what these letters ask for, and give up what is dropped."""
        self._mailbox.take(letters, dropped)

    async def give(self) -> list[Letter]:
        """All answers there are; waits for the first."""
        return await self._mailbox.give()

    async def generate(self, request: GenerateRequest) -> Any:
        """The output, `Missing` or an error."""
        if request.adapter is not None and request.adapter not in self._loaded:
            return Missing(request.adapter)
        return await told(self.backend.generate, request)

    async def logprob(
        self, messages: Sequence[ChatMessage], reply: str, adapter: str | None, tokens: Sequence[int] | None
    ) -> Any:
        """Return the sum and the number of tokens, `Missing` or an error."""
        if adapter is not None and adapter not in self._loaded:
            return Missing(adapter)
        return await told(self.backend.likelihood.logprob, messages, reply, adapter, tokens)

    async def embed(self, texts: Sequence[str]) -> Any:
        """The vectors, or an error."""
        return await told(self.backend.embeddings.embed, texts)

    async def count(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of the prompt."""
        return int(self.backend.tokenizer.count(messages))

    async def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of drawn tokens."""
        return str(self.backend.tokenizer.decode(tokens))

    async def identify(self, pieces: Sequence[Any]) -> Any:
        """The adapter in these files (references to pieces), its path here; or an error."""
        return await told(self._identify, pieces)

    async def _identify(self, pieces: Sequence[Any]) -> Adapter:
        adapter: Adapter = self.backend.adapters.identify(await self._unpack(pieces))
        return adapter

    async def load(self, adapter: Adapter, pieces: Sequence[Any]) -> Any:
        """Load an adapter from these files, once it is seen to be the one meant; None or an error."""
        return await told(self._load, adapter, pieces)

    async def _load(self, adapter: Adapter, pieces: Sequence[Any]) -> None:
        if adapter.hash in self._loaded:
            return
        path = await self._unpack(pieces)
        arrived: Adapter = self.backend.adapters.identify(path)
        if arrived.hash != adapter.hash:
            raise BackendError(
                f"The adapter in {adapter.path} is not the one named {adapter.hash[:12]}: its files have changed.",
                "Restore them, or train the adapter again.",
            )
        await self.backend.adapters.load(replace(adapter, path=str(path)))
        self._loaded.add(adapter.hash)

    async def _unpack(self, pieces: Sequence[Any]) -> Path:
        place = Unpacking(self._scratch.path / str(next(self._arrivals)))
        digest = Digest()
        for reference in pieces:
            place.add(next(digest.follow([await reference])))
        return place.finish(digest.value)


async def told(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """What the function gives, or the error that it raised, if it is one for people; others become one."""
    try:
        return await function(*arguments)
    except SocietyError as error:
        return error
    except asyncio.CancelledError:
        raise
    except Exception as error:
        return BackendError(f"{type(error).__name__}: {error}", "This is a fault of the backend or of its libraries.")
