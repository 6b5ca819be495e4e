"""Whether a scenario's longest prompt fits the server's context, asked before any work, where the server counts tokens.

Only llama.cpp's server and vLLM do. Elsewhere, and without a server, nothing is known, and nothing is claimed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from backends.base import Count, Demand
from backends.openai.client import Client, root_of, settings
from backends.openai.config import OpenAI
from backends.openai.dialects import LLAMA_CPP, VLLM
from backends.openai.keys import find_key
from backends.openai.opening import Served, look
from society.core.errors import BackendError, InputError, SocietyError
from society.core.types import ChatMessage


def fit(config: OpenAI, demand: Callable[[Count], Demand]) -> OpenAI:
    """The configuration with the server's context. Raises `InputError` where the longest prompt does not fit it."""
    try:
        served = asyncio.run(_look(config))
    except SocietyError:
        return config  # without a server one can check and plan; opening says what is wrong
    context = min(filter(None, (config.context, served.context)), default=None)
    if context is None or demand(_bound).tokens <= context:
        return config.model_copy(update={"context": context})
    if served.dialect in (LLAMA_CPP, VLLM):
        with Counter(config, served) as counter:
            tokens = demand(counter.count).tokens
        if tokens > context:
            raise InputError(
                f"The longest prompt and its answer may have {tokens} tokens, but the context at {config.url} "
                f"holds {context}.",
                "Start the server with a larger one, or lower sampling.max_tokens or the history window.",
            )
    return config.model_copy(update={"context": context})


async def _look(config: OpenAI) -> Served:
    async with Client(config.model_copy(update={"timeout": 10.0})) as client:
        return await look(client, config)


def _bound(messages: Sequence[ChatMessage]) -> int:
    """More tokens than these messages can have: one for each byte, and what templates put around them."""
    return 256 + sum(len(message.content.encode("utf-8", "surrogatepass")) + 32 for message in messages)


class Counter:
    """Counts with the server's own chat template and tokenizer. It waits for each answer: a plan asks one by one."""

    def __init__(self, config: OpenAI, served: Served) -> None:
        import httpx

        self._served = served
        self._root = root_of(config.url)
        self._http = httpx.Client(timeout=config.timeout, **settings(config, find_key(config)))

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def count(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of the prompt that these messages make, generation prompt included."""
        chat = [{"role": message.role, "content": message.content} for message in messages]
        if self._served.dialect is VLLM:
            return int(self._ask("/tokenize", {"model": self._served.model, "messages": chat})["count"])
        prompt = self._ask("/apply-template", {"messages": chat})["prompt"]
        tokens = self._ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
        return len(tokens)

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        import httpx

        url = self._root + path
        try:
            return self._http.post(url, json=body).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise BackendError(f"POST {url} counts no tokens: {error}.", "Set `context` in the scenario.") from None
