"""Sends one request in the words of the server that was found, and returns its response."""

from __future__ import annotations

from typing import Any

from backends.openai import ollama
from backends.openai.body import write_body
from backends.openai.client import Client
from backends.openai.dialects import LLAMA_CPP, OLLAMA, SGLANG, VLLM, Fields
from backends.openai.served import Served
from backends.openai.streams import Arriving, OnMessage
from backends.openai.wire import Answer, Completion, Tokens
from society.core.errors import BackendError, TransientError
from society.core.types import GenerateRequest


class _Prompt(Answer):
    """A prompt as llama.cpp's server (text), or vLLM and SGLang (tokens, and their text) render it."""

    prompt: str | None = None
    text: str | None = None
    tokens: list[Tokens] | None = None


async def ask_server(
    client: Client, served: Served, request: GenerateRequest, more: Fields, show: OnMessage | None = None
) -> Completion:
    """Return the server's response to a request with these settled fields. Raises `BackendError`.

    With `show`, the server is asked for a stream, and `show` gets the message as it arrives.
    """
    if served.dialect is OLLAMA:
        body = ollama.write_chat(served.model, request, served.context, served.logprobs, more, show is not None)
        reply = None if show is None else ollama.ArrivingReply(show)
        return (await client.post(f"{client.root}/api/chat", body, ollama.Reply, reply)).completion()
    body = write_body(
        served.dialect,
        served.model,
        request,
        limit=served.limit_name,
        seed=served.seed_name,
        logprobs=served.logprobs,
        streams=served.streams or show is not None,
        more=more,
    )
    arriving = None if show is None else Arriving(show)
    return await client.post(f"{client.url}/chat/completions", body, Completion, arriving)


async def render_prompt(client: Client, served: Served, messages: list[dict[str, Any]], more: Fields) -> str | None:
    """Return the prompt with these fields; None if the server renders no prompts."""
    try:
        if served.dialect is LLAMA_CPP:
            return (await client.post(f"{client.root}/apply-template", {"messages": messages, **more}, _Prompt)).prompt
        if served.dialect in (SGLANG, VLLM):
            body = {"model": served.model, "messages": messages, **more}
            tokens = (await client.post(f"{client.root}/tokenize", body, _Prompt)).tokens
            asked: dict[str, Any] = {"model": served.model, "tokens": tokens}
            if served.dialect is SGLANG:  # it leaves out the tags of thoughts by default
                asked["skip_special_tokens"] = False
            answer = await client.post(f"{client.root}/detokenize", asked, _Prompt)
            return answer.prompt if served.dialect is VLLM else answer.text
    except TransientError:
        raise
    except BackendError:  # a template that refuses these variables, or a proxy that hides these pages
        return None
    return None
