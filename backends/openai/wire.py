"""Responses of servers, as pydantic models. Only used fields are read; others are ignored."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

Tokens = Annotated[int, Field(ge=0)]


class Answer(BaseModel):
    """The base of responses, which may have further fields."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Message(Answer):
    """The reply. `content` is null if the server sends something else, such as a refusal."""

    content: str | None = None
    refusal: str | None = None


class TokenLogprob(Answer):
    """One generated token."""

    logprob: float | None = None


class Logprobs(Answer):
    """The generated tokens, in order."""

    content: list[TokenLogprob] | None = None


class Choice(Answer):
    """One of the replies; requests ask for one."""

    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class PromptDetails(Answer):
    """Details of the prompt tokens."""

    cached_tokens: Tokens | None = None


class Usage(Answer):
    """The server's count of tokens."""

    prompt_tokens: Tokens
    completion_tokens: Tokens = 0
    prompt_tokens_details: PromptDetails | None = None


class Completion(Answer):
    """The response of /chat/completions."""

    choices: Annotated[list[Choice], Field(min_length=1)]
    usage: Usage | None = None
    system_fingerprint: str | None = None


class ModelEntry(Answer):
    """A model of the server.

    llama.cpp sends `meta`; vLLM and SGLang send `max_model_len` and `root`, the name or folder of the weights.
    """

    id: str
    owned_by: str | None = None
    max_model_len: int | None = None
    root: str | None = None
    meta: dict[str, Any] | None = None


class ModelList(Answer):
    """The response of /models."""

    data: list[ModelEntry]


class Generation(Answer):
    """llama.cpp's settings of a slot."""

    n_ctx: int | None = None


class Props(Answer):
    """The response of llama.cpp's /props."""

    default_generation_settings: Generation = Generation()
    total_slots: int | None = None
    chat_template: str | None = None


class LoraEntry(Answer):
    """One adapter that llama.cpp's server was started with."""

    id: int
    path: str


class LoraList(RootModel[list[LoraEntry]]):
    """The response of llama.cpp's /lora-adapters."""


class Problem(Answer):
    """The `error` of a failed request."""

    message: str = ""
    code: str | int | None = None
    type: str | None = None
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None
