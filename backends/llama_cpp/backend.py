"""The asyncio side of the llama.cpp backend: requests and outputs. The scheduler does the work."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backends.base import Backend
from backends.llama_cpp.chat import Chat
from backends.llama_cpp.config import LlamaCpp
from backends.llama_cpp.convert import prepare_weights
from backends.llama_cpp.header import read_model
from backends.llama_cpp.jobs import Generation, Job, Scoring
from backends.llama_cpp.lora import check_lora
from backends.llama_cpp.naming import name_model
from backends.llama_cpp.native import Context, Model
from backends.llama_cpp.sampling import Choices, Sampler
from backends.llama_cpp.scheduler import Scheduler
from backends.llama_cpp.sizes import Sizes, find_sizes
from backends.llama_cpp.text import TextStream
from backends.llama_cpp.threads import ThreadTuner
from backends.llama_cpp.workers import WorkerPool
from backends.models.find import find_model
from backends.models.gguf_file import check_gguf
from backends.models.tool_format import TemplateTools, with_calls
from society.core.errors import BackendError, ContextOverflowError
from society.core.hashing import hash_path
from society.core.pieces import OnPiece
from society.core.types import (
    DEFAULT_THINKING,
    Adapter,
    ChatMessage,
    GenerateOutput,
    GenerateRequest,
    TemplateArgs,
    Thinking,
)


class LlamaCppBackend(Backend):
    """One model in memory, many replies decoded together. Entering loads it, leaving frees it."""

    def __init__(self, config: LlamaCpp) -> None:
        self._config = config
        self._opened: _Opened | None = None

    async def __aenter__(self) -> Self:
        self._opened = opened = await asyncio.to_thread(_Opened, self._config)
        self.model_hash = opened.model_hash
        self.tokenizer, self.likelihood, self.adapters = opened, opened, opened
        self.tools = opened.tools
        self.streaming = self
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        opened, self._opened = self._opened, None
        self.tokenizer = self.likelihood = self.adapters = self.streaming = self.tools = None
        if opened:
            await asyncio.to_thread(opened.close)

    async def check(self, requests: Sequence[GenerateRequest]) -> None:
        """Raise `InputError` if the model cannot think as these requests ask; see `Backend.check`."""
        for request in requests:
            if self._opened:
                self._opened.check(request)

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer one request; see `Backend.generate`."""
        return await self._write(request)

    async def stream(self, request: GenerateRequest, on_piece: OnPiece) -> GenerateOutput:
        """Answer one request in pieces; see `Streaming.stream`."""
        return await self._write(request, on_piece)

    def drop_queued(self) -> None:
        """Drop the requests that have no slot yet; see `Backend.drop_queued`."""
        if self._opened:
            self._opened.drop_queued()

    async def _write(self, request: GenerateRequest, on_piece: OnPiece | None = None) -> GenerateOutput:
        if not self._opened:
            raise BackendError("The llama_cpp backend is not open.", "Use it inside `async with`.")
        return await self._opened.write(request, on_piece)


class _Opened:
    """The loaded model with its workers; also the abilities tokenizer, likelihood and adapters."""

    def __init__(self, config: LlamaCpp) -> None:
        threads = config.threads or os.cpu_count() or 1
        source = find_model(config.reference)
        path, info = prepare_weights(source, read_model(source), config.requantize, threads)
        template = config.chat_template or info.chat_template
        sizes = find_sizes(config, info)
        self._length = sizes.length
        self._info = info
        self._model = Model(path, config.gpu_layers)
        try:
            self._chat = Chat(template, self._model.vocabulary, source.name)
            self.tools = TemplateTools(self._chat.template)
            gpu = bool(self._model.lib.llama_supports_gpu_offload())
            thinks = self._chat.thoughts.marks() is not None
            self.model_hash = name_model(path, info, template, self._chat.arguments, config, sizes.length, gpu, thinks)
            self._contexts = _make_contexts(self._model, sizes, config, threads)
        except BaseException:
            self._model.close()
            raise
        cache_bytes = (config.cache_mb << 20) // sizes.workers
        self._pool = WorkerPool(
            [
                Scheduler(self._model, context, sizes.rows, sizes.length, cache_bytes, config.reproducible)
                for context in self._contexts
            ]
        )

    def drop_queued(self) -> None:
        """Let replies that have no slot yet raise `DroppedError`."""
        self._pool.drop_queued()

    def close(self) -> None:
        """Stop the workers and free everything."""
        self._pool.close()
        for context in self._contexts:
            context.close()
        self._model.close()

    def check(self, request: GenerateRequest) -> None:
        """Raise `InputError` if the model cannot think as the request asks."""
        self._chat.thoughts.check(request.thinking, request.template_args, request.sampling.max_tokens)

    async def write(self, request: GenerateRequest, on_piece: OnPiece | None = None) -> GenerateOutput:
        """Return a reply. `on_piece` receives its pieces."""
        self._require(request.adapter)
        sampling = request.sampling
        settings = (request.thinking, request.template_args, request.tools)
        prompt, tail = self._chat.prompt(request.messages, *settings)
        choices = [self._model.vocabulary.tokenize(choice, special=False) for choice in request.choices]
        depth = max(map(len, choices), default=-1) + 1  # with the end of the turn
        reader = self._chat.thoughts.reader(tail, request, depth)
        tree, limit, stop = None, sampling.max_tokens, sampling.stop
        if choices:
            before, opening = (reader.longest, reader.opening) if reader else (0, ())
            tree, limit, stop = Choices.of(choices, self._chat.end_of_turn, opening), depth + before, ()
        self._require_room(len(prompt), limit)
        sampler = Sampler(sampling, request.seed, prompt)
        job = Generation(prompt, request.adapter, sampler, stop, limit, tree, reader)
        if on_piece is not None:
            job.watch(on_piece)
        output: GenerateOutput = await self._run(job)
        return with_calls(output, request.tools) if request.tools else output

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
        self._require(adapter)
        prompt, tail = self._chat.prompt(messages, thinking, template_args)
        if tokens is None:
            before, scored = self._chat.thoughts.before_text(tail, thinking), self._reply_tokens(reply)
        else:
            before, scored = list(tokens[:thought_tokens]), list(tokens[thought_tokens:])
        self._require_known([*before, *scored])
        self._require_room(len(prompt), len(before) + len(scored))
        if not scored:
            return 0.0, 0
        score: tuple[float, int] = await self._run(Scoring([*prompt, *before], adapter, scored))
        return score

    def _reply_tokens(self, reply: str) -> list[int]:
        """Return the tokens of a reply with this text, including the end of the turn."""
        return [*self._model.vocabulary.tokenize(reply, special=False), self._chat.end_of_turn]

    def count(
        self,
        messages: Sequence[ChatMessage],
        thinking: Thinking = DEFAULT_THINKING,
        template_args: TemplateArgs = (),
    ) -> int:
        """Return the number of tokens of the prompt with these messages, including the generation prompt."""
        return len(self._chat.prompt(messages, thinking, template_args)[0])

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of drawn tokens; see `Decoder`."""
        text, vocabulary = TextStream(), self._model.vocabulary
        for token in tokens[:-1] if tokens and tokens[-1] in vocabulary.ends else tokens:
            text.add(vocabulary.piece(token))
        return text.text

    def identify(self, path: Path) -> Adapter:
        """Return the LoRA in a GGUF file. The base that it was trained on is not known."""
        return Adapter(hash_path(path), str(path), "")

    async def load(self, adapter: Adapter) -> None:
        """Make `adapter.hash` usable in requests. `adapter.path`: a GGUF LoRA for this model."""
        if self._pool.knows(adapter.hash):
            return
        path = Path(adapter.path)
        check_lora(check_gguf(path), self._info, path)
        await asyncio.wrap_future(self._pool.call(lambda: self._add(adapter.hash, path)))

    def _add(self, name: str, path: Path) -> None:
        if not self._pool.knows(name):
            self._pool.add_adapter(name, self._model.load_adapter(path))

    async def _run(self, job: Job) -> Any:
        self._pool.submit(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            job.cancelled = True
            raise

    def _require(self, adapter: str | None) -> None:
        if not self._pool.knows(adapter):
            raise BackendError(f"The adapter {adapter} is not loaded.", "Load it first, with `adapters.load`.")

    def _require_known(self, tokens: Sequence[int]) -> None:
        size = self._model.vocabulary.size
        if not all(0 <= token < size for token in tokens):
            raise BackendError(
                f"A reply has token ids that the model does not have: its vocabulary has {size} tokens.",
                "Score a reply with the model that generated it, or without its token ids.",
            )

    def _require_room(self, prompt: int, answer: int) -> None:
        if prompt + answer > self._length:
            raise ContextOverflowError(prompt, answer, self._length)


def _make_contexts(model: Model, sizes: Sizes, config: LlamaCpp, threads: int) -> list[Context]:
    """Return a context for each worker. The workers share the threads as evenly as possible."""
    contexts: list[Context] = []
    try:
        for number in range(sizes.workers):
            share = max(1, (threads + number) // sizes.workers)
            tuner = ThreadTuner(share, adapt=config.threads is None)
            contexts.append(Context(model, sizes.rows, sizes.length, tuner, config.gpu_layers != 0))
    except BaseException:
        for context in contexts:
            context.close()
        raise
    return contexts
