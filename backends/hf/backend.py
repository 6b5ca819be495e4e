"""The opened backend: one worker thread owns the model and computes for all abilities.

Generation waits while the thread trains, since there is one model in memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from backends.base import Backend
from backends.hf.heap import return_memory
from backends.hf.trainer import HubTrainer
from backends.models.tool_format import TemplateTools
from society.core.errors import BackendError, ContextOverflowError, InputError
from society.core.pieces import OnPiece, Piece, Pieces
from society.core.types import (
    DEFAULT_THINKING,
    Adapter,
    ChatMessage,
    GenerateOutput,
    GenerateRequest,
    TemplateArgs,
    Thinking,
)

if TYPE_CHECKING:
    from backends.hf import HuggingFace
    from backends.hf.batching import Gatherer
    from backends.hf.loading import Loaded
    from backends.hf.scoring import Scored, Scorer
    from backends.hf.weights import Weights

log = logging.getLogger(__name__)


def decodes_statically(decoding: str, model: Any) -> bool:
    """Return whether a model is decoded over a static cache. On CUDA, a warning gives the reason if it is not.

    Raises `InputError` where that is asked for and the model does not allow it.
    """
    from backends.hf.packed import find_obstacle

    if decoding == "dynamic" or (decoding == "auto" and model.device.type != "cuda"):
        return False
    obstacle = find_obstacle(model)
    if not obstacle:
        return True
    if decoding == "static":
        raise InputError(
            "The model cannot be decoded over a static cache: that needs attention layers without sliding windows, "
            "unquantised weights and rotary frequencies that do not depend on the length.",
            "Set decoding: auto.",
        )
    log.warning(
        "The model is decoded over a dynamic cache, which is 5 to 10 times slower on a GPU than a static cache: %s.",
        obstacle,
    )
    return False


class HuggingFaceBackend(Backend):
    """A transformers model that generates, scores, embeds and trains."""

    def __init__(self, config: HuggingFace) -> None:
        self.config = config
        self._loaded: Loaded | None = None

    async def __aenter__(self) -> Self:
        self._thread, self._tokenizing = ThreadPoolExecutor(1, "hf"), ThreadPoolExecutor(1, "hf-tokenizer")
        try:
            self._loaded = await self._run(self._load)
        except BaseException:
            self._shut_down(wait=False)  # a load that was cancelled goes on in its thread
            raise
        return self

    def _shut_down(self, wait: bool = True) -> None:
        for thread in (self._thread, self._tokenizing):
            thread.shutdown(wait)

    def _load(self) -> Loaded:
        """Load the model and make the abilities; on the worker thread."""
        import torch

        from backends.hf.batching import Batcher, Gatherer
        from backends.hf.decode import Batch
        from backends.hf.loading import load
        from backends.hf.probing import check_batches
        from backends.hf.rows import make_rows
        from backends.hf.scoring import Scorer
        from backends.hf.static import StaticBatch
        from backends.hf.weights import Weights

        # On CUDA, cuDNN plans each new shape of attention anew, which takes tens of milliseconds a step.
        torch.backends.cuda.enable_cudnn_sdp(False)
        loaded = load(self.config)
        static = decodes_statically(self.config.decoding, loaded.model)
        given = self.config.host_memory
        weights = Weights(loaded.model, loaded.folder, loaded.hash, None if given is None else int(given * 2**30))
        check_batches(weights)
        scorer = Scorer(weights, loaded.chat)
        batch = StaticBatch(weights, self.config.batch, self.config.cache_tokens) if static else Batch(weights)
        self._batcher = Batcher(batch, self._run, self.config.batch, self.config.cache_tokens, steady=not static)
        self._rows = Gatherer(self._run_tokenizer, partial(make_rows, loaded.chat))
        separates = loaded.chat.thoughts.marks() is not None  # thoughts from texts
        self.model_hash = f"{loaded.hash}-thoughts" if separates else loaded.hash
        self.tokenizer = loaded.chat
        self.likelihood = HubLikelihood(loaded, Gatherer(self._run, scorer.logprobs))
        self.embeddings = HubEmbeddings(self._run, scorer)
        self.adapters = HubAdapters(self._run, weights, loaded)
        self.trainer = HubTrainer(self.config, self._run, weights, loaded, batch.release)
        self.streaming = self
        self.tools = TemplateTools(loaded.chat.template)
        return loaded

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loaded = None
        await self._batcher.close()
        self._shut_down()
        return_memory()

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function on the worker thread. Running out of memory raises an error that names what to lower."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            raise BackendError(
                f"The model ran out of memory: {str(error).splitlines()[0]}",
                "Lower the backend's batch or cache_tokens.",
            ) from error

    async def _run_tokenizer(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function on the tokenizer's thread, so that long prompts stop neither the event loop nor the model."""
        return await asyncio.get_running_loop().run_in_executor(self._tokenizing, function, *arguments)

    async def check(self, requests: Sequence[GenerateRequest]) -> None:
        """Raise `InputError` if the model cannot think as these requests ask; see `Backend.check`."""
        for request in requests:
            if self._loaded:
                limit = request.sampling.max_tokens
                self._loaded.chat.thoughts.check(request.thinking, request.template_args, limit)

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request, in a batch with other pending requests."""
        return await self._generate(request)

    def drop_queued(self) -> None:
        """Drop the requests that have not joined the batch; see `Backend.drop_queued`."""
        if self._loaded is not None:
            self._batcher.drop_queued()

    async def stream(self, request: GenerateRequest, on_piece: OnPiece) -> GenerateOutput:
        """Answer one request in pieces; see `Streaming.stream`."""
        loop = asyncio.get_running_loop()

        def send(piece: Piece) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody watches
                loop.call_soon_threadsafe(on_piece, piece)

        return await self._generate(request, Pieces(send, request.sampling.stop))

    async def _generate(self, request: GenerateRequest, pieces: Pieces | None = None) -> GenerateOutput:
        loaded = self._loaded
        if loaded is None:
            raise BackendError("The hf backend is not open.", "Use it within `async with config.open() as backend:`.")
        with self._batcher.tokenizing():
            row = await self._rows.ask(request)
        if isinstance(row, Exception):
            raise row
        if row.longest > loaded.context:
            raise ContextOverflowError(len(row.prompt), row.longest - len(row.prompt), loaded.context)
        self._batcher.batch.weights.group(request.adapter)  # an adapter that is not loaded is an error here
        row.pieces = pieces
        await self._batcher.generate(row)
        return row.output()


class HubLikelihood:
    """Scores given text; requests of one moment share a batch."""

    def __init__(self, loaded: Loaded, gatherer: Gatherer[Scored, tuple[float, int]]) -> None:
        self.loaded, self.gatherer = loaded, gatherer

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
        """Return the log-probability of a reply's text, and its number of tokens; see `Likelihood`."""
        from backends.hf.scoring import Scored

        ids, start = self.loaded.chat.row_ids(
            [*messages, ChatMessage("assistant", reply)],
            tokens,
            args=template_args,
            thinking=thinking,
            thought_tokens=thought_tokens,
            skips_thought=True,
        )
        if len(ids) > self.loaded.context:
            raise ContextOverflowError(start, len(ids) - start, self.loaded.context)
        if start == len(ids):
            return 0.0, 0
        return await self.gatherer.ask(Scored(ids, start, adapter))


class HubEmbeddings:
    """Mean last hidden states of the base model."""

    def __init__(self, run: Callable[..., Any], scorer: Scorer) -> None:
        self.run, self.scorer = run, scorer

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector of the model's hidden size per text, not normalised."""
        vectors: list[list[float]] = await self.run(self.scorer.embed, list(texts))
        return vectors


class HubAdapters:
    """Loads trained adapters."""

    def __init__(self, run: Callable[..., Any], weights: Weights, loaded: Loaded) -> None:
        self.run, self.weights, self.loaded = run, weights, loaded

    def identify(self, path: Path) -> Adapter:
        """Return the adapter in a folder. The folder does not name its base, so this base is assumed."""
        from backends.hf.adapters import check_path, hash_adapter

        check_path(path, None)
        return Adapter(hash_adapter(path), str(path), self.loaded.hash)

    async def load(self, adapter: Adapter) -> None:
        """Make `adapter.hash` usable. Raises `BackendError` if the folder was changed or belongs to another base.

        An adapter that was trained with another chat template than the model's is logged.
        """
        from backends.hf.template_file import template_of

        await self.run(self.weights.add, adapter)
        own = template_of(Path(adapter.path)).strip()
        if own and own != self.loaded.chat.template.source.strip():
            log.warning(
                "The adapter in %s has another chat template than the model, whose template writes all prompts. If it "
                "was trained with its own, set `chat_template` of the backend to that.",
                adapter.path,
            )
