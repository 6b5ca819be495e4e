"""A backend whose work is done by replicas elsewhere. To the engine it is a backend like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backends.base import Backend, Trainer
from society.core.errors import InputError
from society.core.types import Adapter, ChatMessage, GenerateOutput, GenerateRequest
from society.executors.pool import Pool
from society.executors.ray_calls import put


class RemoteBackend(Backend):
    """Passes requests on to a pool; has the abilities that the replicas have."""

    def __init__(self, pool: Pool, trainer: Trainer) -> None:
        self.pool, self._trainer = pool, trainer

    async def __aenter__(self) -> Self:
        self.pool.users += 1
        try:
            opened = await self.pool.open()
        except BaseException:
            await self._leave()
            raise
        self.model_hash = opened.model_hash
        made: dict[str, Any] = {
            "tokenizer": RemoteTokenizer(self.pool),
            "likelihood": RemoteLikelihood(self.pool),
            "embeddings": RemoteEmbeddings(self.pool),
            "adapters": RemoteAdapters(self.pool),
            "trainer": self._trainer,
        }
        for name in opened.abilities:
            setattr(self, name, made[name])
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        self.pool.users -= 1
        if not self.pool.users:
            await self.pool.close()

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request, by whichever replica is least busy."""
        output: GenerateOutput = await self.pool.ask("generate", request)
        return output


class RemoteTokenizer:
    """Counts with the replicas' tokenizer."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def count(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of the prompt these messages make, generation prompt included."""
        return int(self.pool.ask_now("count", messages))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of drawn tokens; see `Decoder`."""
        return str(self.pool.ask_now("decode", tokens))


class RemoteLikelihood:
    """Scores given text."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def logprob(
        self,
        messages: Sequence[ChatMessage],
        reply: str,
        adapter: str | None = None,
        tokens: Sequence[int] | None = None,
    ) -> tuple[float, int]:
        """Return the sum of the natural log-probabilities of the reply's tokens, and their number."""
        scored: tuple[float, int] = await self.pool.ask("logprob", messages, reply, adapter, tokens)
        return scored


class RemoteEmbeddings:
    """Turns text into vectors."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, all of one length, not normalised."""
        vectors: list[list[float]] = await self.pool.ask("embed", texts)
        return vectors


class RemoteAdapters:
    """Remembers where adapters are; a replica gets the files of one when it is first asked for it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def identify(self, path: Path) -> Adapter:
        """The adapter in a file or folder of this machine. Raises `InputError` if there is none."""
        from dataclasses import replace

        if not path.exists():
            raise InputError(f"There is no adapter at {path}.", "Correct the path in the scenario.")
        found: Adapter = self.pool.ask_now("identify", put(path))
        return replace(found, path=str(path))

    async def load(self, adapter: Adapter) -> None:
        """Make `adapter.hash` usable in requests."""
        self.pool.adapters[adapter.hash] = adapter
        await self.pool.try_adapter(adapter)
