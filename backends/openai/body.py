"""The body of a chat completion request, in the words of the OpenAI standard and of each kind of server."""

from __future__ import annotations

from backends.openai.choices import choice_room
from backends.openai.dialects import LLAMA_CPP, Dialect, Fields
from backends.openai.thinking import merge
from backends.openai.tools import write_messages
from society.core.types import GenerateRequest, Sampling

LIMITS = ("max_tokens", "max_completion_tokens")
"""Names of the maximum length of a reply; some hosted models know the second alone."""


def write_body(
    dialect: Dialect,
    model: str,
    request: GenerateRequest,
    *,
    limit: str = "max_tokens",
    seed: str = "seed",
    logprobs: bool = False,
    streams: bool = False,
    more: Fields | None = None,
) -> Fields:
    """Return the body of a chat completion request.

    `limit` and `seed` are the server's names of the maximum length and the seed ("" for none), `more` the fields that
    were settled for it.
    """
    sampling = request.sampling
    body: Fields = {
        "model": model,
        "messages": write_messages(request.messages),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        limit: choice_room(request.choices) if request.choices else sampling.max_tokens,
        **dialect.options(sampling),
        **dialect.fixed,
    }
    if request.tools:
        body["tools"] = [tool.schema for tool in request.tools]
    if seed:
        body[seed] = request.seed
    if dialect is LLAMA_CPP:
        body |= _in_our_order(sampling)
    if sampling.stop and not request.choices:
        body["stop"] = list(sampling.stop)
    if streams:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if logprobs:
        body |= {"logprobs": True, "top_logprobs": 1}
    return merge(body, more or {})


def _in_our_order(sampling: Sampling) -> Fields:
    """Return llama.cpp's fields for the order of transformers and vLLM, which apply the temperature first.

    By default llama.cpp applies it last and penalizes repeats of the last 64 tokens only.
    """
    fields: Fields = {"samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"]}
    return fields | ({"repeat_last_n": 1 << 16} if sampling.repeat_penalty != 1.0 else {})
