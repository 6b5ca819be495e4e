"""One short request with the options of a turn, so that a refused option is an error before the first turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from backends.openai.wire import Completion
from society.core.errors import BackendError
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest

MAX_TOKENS = 24
"""Maximum tokens of the reply."""


async def try_request(
    ask: Callable[[GenerateRequest], Awaitable[Completion]],
    read: Callable[[Completion, GenerateRequest], GenerateOutput],
    request: GenerateRequest,
    opens: bool,
    server: str,
) -> None:
    """Send the options of a request with a short question; choices are settled before. Raises `BackendError`.

    A server with a reasoning parser that does not fit the model returns whole replies as thoughts. A prompt that
    `opens` a thought may do so as well.
    """
    short = replace(request.sampling, max_tokens=min(MAX_TOKENS, request.sampling.max_tokens), stop=())
    chat = (ChatMessage("user", "Answer with one word: hello."),)
    asked = replace(request, messages=chat, sampling=short, choices=(), seed=1)
    said = read(await ask(asked), asked)
    if not opens and said.finish_reason == "stop" and said.thought and not said.text:
        raise BackendError(
            f"{server} returned a whole reply as a thought, without a text.",
            "Start it without its reasoning parser, or set thinking.enabled.",
        )
