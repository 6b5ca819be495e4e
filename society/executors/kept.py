"""An executor that keeps models loaded from one run to the next, for a chat."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from backends.base import Backend, BackendConfig
from society.core.types import GenerateOutput, GenerateRequest
from society.executors.base import Executor, Needs


class KeptExecutor(Executor):
    """Opens backends on another executor, and closes them with itself. An entry that changed is opened again."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._open: dict[str, tuple[BackendConfig, Backend]] = {}

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in list(self._open):
            await self._close(name)

    def check(self, needs: Needs) -> None:
        self._inner.check(needs)

    def backend(self, name: str, config: BackendConfig) -> Backend:
        """Return a backend whose end leaves the model loaded."""
        return _Kept(self, name, config)

    async def open(self, name: str, config: BackendConfig) -> Backend:
        """Return the opened backend of this name."""
        if name not in self._open or self._open[name][0] != config:
            await self._close(name)
            self._open[name] = (config, await self._inner.backend(name, config).__aenter__())
        return self._open[name][1]

    async def _close(self, name: str) -> None:
        if name in self._open:
            await self._open.pop(name)[1].__aexit__(None, None, None)


class _Kept(Backend):
    """The view that one run has of a kept backend."""

    def __init__(self, keeper: KeptExecutor, name: str, config: BackendConfig) -> None:
        self._keeper, self._name, self._config = keeper, name, config

    async def __aenter__(self) -> Self:
        self._backend = backend = await self._keeper.open(self._name, self._config)
        self.model_hash, self.check = backend.model_hash, backend.check  # type: ignore[method-assign]
        self.tokenizer, self.likelihood, self.embeddings = backend.tokenizer, backend.likelihood, backend.embeddings
        self.adapters, self.trainer, self.streaming = backend.adapters, backend.trainer, backend.streaming
        self.asks_people, self.processes = backend.asks_people, backend.processes
        return self

    def drop_queued(self) -> None:
        """Drop the requests that wait for a place; see `Backend.drop_queued`."""
        self._backend.drop_queued()

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request; see `Backend.generate`."""
        return await self._backend.generate(request)
