"""A backend whose work is done by the replicas of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backends.abilities import Trainer
from backends.base import Backend
from society.core.errors import InputError
from society.core.types import (
    DEFAULT_THINKING,
    Adapter,
    ChatMessage,
    GenerateOutput,
    GenerateRequest,
    TemplateArgs,
    Thinking,
    ToolSpec,
)
from society.executors.pool import Pool
from society.executors.ray_calls import put_chunks


class RemoteBackend(Backend):
    """A backend that sends requests to a pool. It has the abilities of the replicas."""

    def __init__(self, pool: Pool, trainer: Trainer) -> None:
        self.pool, self._trainer = pool, trainer
        self.processes = pool.processes

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
            "tools": RemoteTools(self.pool),
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

    async def check(self, requests: Sequence[GenerateRequest]) -> None:
        """Let a replica check these requests; see `Backend.check`."""
        await self.pool.ask("check", requests)

    def drop_queued(self) -> None:
        """Drop the requests that no model has begun; see `Backend.drop_queued`."""
        self.pool.drop_queued()

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request on the least busy replica."""
        output: GenerateOutput = await self.pool.ask("generate", request)
        return output


class RemoteTokenizer:
    """The tokenizer of the replicas."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def count(
        self,
        messages: Sequence[ChatMessage],
        thinking: Thinking = DEFAULT_THINKING,
        template_args: TemplateArgs = (),
    ) -> int:
        """Return the number of tokens of a prompt; see `Tokenizer.count`."""
        return int(self.pool.ask_now("count", messages, thinking, template_args))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of drawn tokens; see `Decoder`."""
        return str(self.pool.ask_now("decode", tokens))


class RemoteTools:
    """The tools ability of the replicas."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._known: dict[tuple[ToolSpec, ...], bool] = {}

    def supports(self, tools: tuple[ToolSpec, ...]) -> bool:
        """Return whether the model can be offered these tools; see `ToolFormat.supports`. Replicas are asked once."""
        if tools not in self._known:
            self._known[tools] = bool(self.pool.ask_now("supports", tools))
        return self._known[tools]


class RemoteLikelihood:
    """The likelihood ability of the replicas."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def logprob(
        self,
        messages: Sequence[ChatMessage],
        reply: str,
        adapter: str | None = None,
        tokens: Sequence[int] | None = None,
        thought_tokens: int = 0,
        thinking: Thinking = DEFAULT_THINKING,
        template_args: TemplateArgs = (),
    ) -> tuple[float, int]:
        """Return the log-probability of a reply's text, and its number of tokens; see `Likelihood.logprob`."""
        more = (tokens, thought_tokens, thinking, template_args)
        scored: tuple[float, int] = await self.pool.ask("logprob", messages, reply, adapter, *more)
        return scored


class RemoteEmbeddings:
    """The embeddings of the replicas."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, all of the same length, not normalised."""
        vectors: list[list[float]] = await self.pool.ask("embed", texts)
        return vectors


class RemoteAdapters:
    """Remembers where adapters are; a replica gets the files of one when it is first asked for it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def identify(self, path: Path) -> Adapter:
        """Return the adapter in a file or folder of this machine. Raises `InputError` if there is none."""
        from dataclasses import replace

        if not path.exists():
            raise InputError(f"No adapter at {path}.", "Correct the path in the scenario.")
        found: Adapter = self.pool.ask_now("identify", put_chunks(path))
        return replace(found, path=str(path))

    async def load(self, adapter: Adapter) -> None:
        """Load the adapter, so that requests can name `adapter.hash`."""
        self.pool.adapters[adapter.hash] = adapter
        await self.pool.try_adapter(adapter)
