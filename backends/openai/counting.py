"""Checks whether a scenario's longest prompt fits the server's context, before any work.

Only llama.cpp's server and vLLM count tokens. Without a count or without a server, nothing is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from backends.base import Count
from backends.openai.client import Client
from backends.openai.config import OpenAI
from backends.openai.dialects import LLAMA_CPP, OLLAMA, VLLM
from backends.openai.opening import look
from backends.openai.served import Served
from backends.openai.wire import Answer, Tokens
from backends.sizes import Demand
from society.core.errors import BackendError, InputError, SocietyError
from society.core.types import ChatMessage

COUNTING = (LLAMA_CPP, VLLM)
"""Servers that count tokens."""
OLLAMA_CONTEXT = 4096
"""Ollama's context where nothing else is asked for, in tokens."""


@contextmanager
def count_tokens(config: OpenAI, answer: int) -> Iterator[Count | None]:
    """Open a counter of prompt tokens: the server's own, or an upper bound; None where no server answers.

    The server is asked only about prompts that may not fit into the context beside an answer of `answer` tokens.
    """
    try:
        served = asyncio.run(_look(config))
    except SocietyError:
        yield None  # a scenario can be checked and planned without a server; opening reports the error
        return
    context = served.context
    if context is None or served.dialect not in COUNTING:
        yield upper_bound
        return
    counter = Counter(config, served)

    def count(messages: Sequence[ChatMessage], *_: object) -> int:
        most = upper_bound(messages)
        return most if most + answer <= context else counter.count(messages)

    yield count


def fit(config: OpenAI, demand: Demand) -> OpenAI:
    """Return the configuration with the server's context. Raises `InputError` if the longest prompt does not fit."""
    try:
        served = asyncio.run(_look(config))
    except SocietyError:
        return config
    context = served.context
    if served.dialect is OLLAMA and config.context is None:
        context = min(filter(None, (_rounded(demand.tokens), served.longest)))
    if context is not None and demand.tokens > context and served.dialect in COUNTING:
        raise InputError(
            f"The longest prompt and its answer may have {demand.tokens} tokens, but the context at {config.url} "
            f"holds {context}.",
            "Start the server with a larger context, or lower sampling.max_tokens or `edges.window`.",
        )
    return config.model_copy(update={"context": context})


def _rounded(tokens: int) -> int:
    """Return the context to ask Ollama for: its own default where that is enough, as every other one loads it again."""
    return max(OLLAMA_CONTEXT, -(-tokens // 1024) * 1024)


async def _look(config: OpenAI) -> Served:
    async with Client(config.model_copy(update={"timeout": 10.0})) as client:
        return await look(client, config)


def upper_bound(messages: Sequence[ChatMessage], *settings: object) -> int:
    """Return more tokens than these messages can have: one for each byte, and a margin for the chat template."""
    return 256 + sum(len(message.content.encode("utf-8", "surrogatepass")) + 32 for message in messages)


class _Rendered(Answer):
    """llama.cpp's response of /apply-template."""

    prompt: str


class _Tokenized(Answer):
    """llama.cpp's response of /tokenize."""

    tokens: list[Any]


class _Counted(Answer):
    """vLLM's response of /tokenize."""

    count: Tokens


@dataclass(frozen=True)
class Counter:
    """Counts tokens with the server's own chat template and tokenizer, one prompt after the other."""

    config: OpenAI
    served: Served

    def count(self, messages: Sequence[ChatMessage], *_: object) -> int:
        """Return the number of tokens of the prompt with these messages, including the generation prompt."""
        chat = [{"role": message.role, "content": message.content} for message in messages]
        try:
            with ThreadPoolExecutor(1) as own:  # counts are needed inside and outside a running event loop
                return own.submit(lambda: asyncio.run(self._ask(chat))).result()
        except BackendError as error:
            raise BackendError(f"No tokens can be counted: {error.cause}", "Set `context` in the scenario.") from None

    async def _ask(self, chat: list[dict[str, str]]) -> int:
        async with Client(self.config) as client:
            tokenize = f"{client.root}/tokenize"
            if self.served.dialect is VLLM:
                body: dict[str, Any] = {"model": self.served.model, "messages": chat}
                return (await client.post(tokenize, body, _Counted)).count
            prompt = (await client.post(f"{client.root}/apply-template", {"messages": chat}, _Rendered)).prompt
            body = {"content": prompt, "add_special": True, "parse_special": True}
            return len((await client.post(tokenize, body, _Tokenized)).tokens)
