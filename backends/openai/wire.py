"""Responses of servers, as pydantic models. Only used fields are read; others are ignored."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

MOST_TOKENS = 1 << 31
"""Every number of tokens is smaller."""
Tokens = Annotated[int, Field(ge=0, lt=MOST_TOKENS)]
"""A number of tokens, or the id of one."""
MOST_ENTRIES = 10_000
"""Maximum length of a server's list of models or adapters."""


class Answer(BaseModel):
    """The base of responses, which may have further fields."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Part(Answer):
    """One part of a reply's content, where a server sends a list. Thoughts may be nested parts (Mistral)."""

    type: str = "text"
    text: str | None = None
    thinking: str | list[Part] | None = None


class Message(Answer):
    """The reply. `content` is null if the server sends something else: a refusal, a thought, calls of tools.

    Thoughts are named `reasoning_content` (llama.cpp, SGLang, DeepSeek), `reasoning` (vLLM, Ollama, OpenRouter) or
    `thinking` (as in Ollama's own protocol).
    """

    content: str | list[Part] | None = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    tool_calls: list[Any] | None = None

    @property
    def text(self) -> str:
        """The content without its thoughts."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content if part.type == "text")
        return self.content or ""

    @property
    def thought(self) -> str:
        """The thought, under any of its names."""
        for named in (self.reasoning_content, self.reasoning, self.thinking):
            if isinstance(named, str) and named:  # some servers send an object of details
                return named
        return _thoughts(self.content) if isinstance(self.content, list) else ""


def _thoughts(parts: list[Part]) -> str:
    """Return the text of thinking parts."""
    found = (part.thinking for part in parts if part.thinking)
    return "".join(one if isinstance(one, str) else "".join(part.text or "" for part in one) for one in found)


class TokenLogprob(Answer):
    """One generated token."""

    token: str | None = None
    logprob: float | None = None


class Logprobs(Answer):
    """The generated tokens, in order."""

    content: list[TokenLogprob] | None = None


class Choice(Answer):
    """One of the replies; requests ask for one.

    vLLM names the stop text that ended the reply as `stop_reason`, SGLang as `matched_stop`; both may be a token id.
    """

    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    stop_reason: Any = None
    matched_stop: Any = None
    token_ids: list[Tokens] | None = None


class PromptDetails(Answer):
    """Details of the prompt tokens."""

    cached_tokens: Tokens | None = None


class ReplyDetails(Answer):
    """Details of the generated tokens."""

    reasoning_tokens: Tokens | None = None


class Usage(Answer):
    """The server's count of tokens. Null or missing counts are no counts."""

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    total_tokens: Tokens | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: ReplyDetails | None = None

    @property
    def generated(self) -> int:
        """All generated tokens. Some hosted servers count thoughts in the total alone."""
        beyond = (self.total_tokens or 0) - self.prompt_tokens if self.prompt_tokens else 0
        return max(self.completion_tokens or 0, beyond)

    @property
    def cached(self) -> int:
        """The prompt tokens that were not computed again."""
        return (self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None) or 0

    @property
    def reasoning(self) -> int | None:
        """The tokens of the thought; None if the server does not count them."""
        return self.completion_tokens_details.reasoning_tokens if self.completion_tokens_details else None


class Extension(Answer):
    """SGLang's fields beyond the standard: the drawn tokens of each reply."""

    output_ids: Annotated[list[list[Tokens]], Field(min_length=1)] | None = None


class Completion(Answer):
    """The response of /chat/completions."""

    choices: Annotated[list[Choice], Field(min_length=1)]
    usage: Usage | None = None
    system_fingerprint: str | None = None
    timings: Any = None
    """llama.cpp's milliseconds of work on the reply, such as `prompt_ms` and `predicted_ms`."""
    sglext: Extension | None = None

    @property
    def tokens(self) -> list[int] | None:
        """The drawn tokens; None if the server does not return them."""
        listed = self.sglext.output_ids if self.sglext else None
        return listed[0] if listed else self.choices[0].token_ids


class Delta(Answer):
    """The part of a message in one part of a stream."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    refusal: Any = None
    tool_calls: list[Any] | None = None


class DeltaLogprobs(Answer):
    """The generated tokens of one part of a stream."""

    content: list[Any] | None = None


class DeltaChoice(Answer):
    """One part of one reply."""

    index: Any = 0
    delta: Delta | None = None
    finish_reason: Any = None
    stop_reason: Any = None
    matched_stop: Any = None
    logprobs: DeltaLogprobs | None = None
    token_ids: list[Any] | None = None


class Chunk(Answer):
    """One part of a stream. Usage comes in a part without choices, errors in a part of their own."""

    choices: list[DeltaChoice] | None = None
    usage: Any = None
    system_fingerprint: Any = None
    timings: Any = None
    sglext: Any = None
    error: Any = None


class ModelEntry(Answer):
    """A model of the server.

    llama.cpp sends `meta`; vLLM and SGLang send `max_model_len` and `root`, the name or folder of the weights.
    """

    id: str
    owned_by: str | None = None
    max_model_len: Tokens | None = None
    root: str | None = None
    parent: str | None = None
    """The model that an adapter on vLLM or SGLang belongs to."""
    meta: dict[str, Any] | None = None


class ModelList(Answer):
    """The response of /models."""

    data: Annotated[list[ModelEntry], Field(max_length=MOST_ENTRIES)]


class LoadedModel(Answer):
    """A model of LM Studio's own list."""

    id: str
    arch: str | None = None
    quantization: str | None = None
    loaded_context_length: Tokens | None = None


class LoadedModels(Answer):
    """The response of LM Studio's /api/v0/models."""

    data: Annotated[list[LoadedModel], Field(max_length=MOST_ENTRIES)]


class Generation(Answer):
    """llama.cpp's settings of a slot."""

    n_ctx: Tokens | None = None


class Props(Answer):
    """The response of llama.cpp's /props."""

    default_generation_settings: Generation = Generation()
    total_slots: Tokens | None = None
    chat_template: str | None = None


class LoraEntry(Answer):
    """One adapter that llama.cpp's server was started with."""

    id: int
    path: str


class LoraList(RootModel[Annotated[list[LoraEntry], Field(max_length=MOST_ENTRIES)]]):
    """The response of llama.cpp's /lora-adapters."""


class Problem(Answer):
    """The `error` of a failed request."""

    message: str = ""
    code: str | int | None = None
    type: str | None = None
    n_prompt_tokens: Tokens | None = None
    n_ctx: Tokens | None = None
