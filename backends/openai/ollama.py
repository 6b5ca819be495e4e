"""Ollama's own API, which has every option; its OpenAI-compatible one silently ignores top_k, min_p and penalties.

    GET  /api/version   the version; other servers have no such page
    GET  /api/tags      models with the hash of their contents
    POST /api/show      the model's context length and abilities
    POST /api/chat      a reply, with options, `think` and `format`

`truncate` and `shift` are off, so that a prompt that is too long is an error: by default Ollama drops its beginning.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from backends.openai.choices import choice_room
from backends.openai.dialects import OLLAMA, Fields
from backends.openai.thinking import merge
from backends.openai.wire import (
    MOST_ENTRIES,
    MOST_TOKENS,
    Answer,
    Choice,
    Completion,
    Logprobs,
    Message,
    TokenLogprob,
    Tokens,
    Usage,
)
from society.core.types import GenerateRequest


class Version(Answer):
    """The response of /api/version."""

    version: str


class Model(Answer):
    """A model with the hash of its contents."""

    name: str
    digest: str = Field(min_length=8)


class Models(Answer):
    """The response of /api/tags."""

    models: Annotated[list[Model], Field(max_length=MOST_ENTRIES)]

    def find(self, name: str) -> Model | None:
        """Return the model of this name; the tag `latest` may be left out."""
        return next((one for one in self.models if one.name in (name, f"{name}:latest")), None)


class Details(Answer):
    """The response of /api/show."""

    capabilities: list[str] | None = None
    model_info: dict[str, Any] = Field(default_factory=dict)

    @property
    def context(self) -> int | None:
        """The maximum context length of the model, in tokens."""
        found = (value for name, value in self.model_info.items() if name.endswith(".context_length"))
        return next((value for value in found if isinstance(value, int) and 0 < value < MOST_TOKENS), None)


class Said(Answer):
    """The message of a reply."""

    content: str = ""
    thinking: str | None = None
    tool_calls: list[Any] | None = None


class Reply(Answer):
    """The response of /api/chat."""

    message: Said
    done_reason: str | None = None
    prompt_eval_count: Tokens | None = None
    eval_count: Tokens | None = None
    logprobs: list[TokenLogprob] | None = None

    def completion(self) -> Completion:
        """Return the reply as a chat completion. A prompt that was read from the cache has no count."""
        said = Message(
            content=self.message.content, reasoning=self.message.thinking, tool_calls=self.message.tool_calls
        )
        usage = Usage(prompt_tokens=self.prompt_eval_count, completion_tokens=self.eval_count)
        logprobs = Logprobs(content=self.logprobs) if self.logprobs else None
        return Completion(
            choices=[Choice(message=said, finish_reason=self.done_reason, logprobs=logprobs)], usage=usage
        )


def write_chat(model: str, request: GenerateRequest, context: int | None, logprobs: bool, more: Fields) -> Fields:
    """Return the body of /api/chat. `context`: tokens of prompt and reply, None for the server's own."""
    sampling = request.sampling
    options: Fields = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": request.seed,
        "num_predict": sampling.max_tokens,
        "repeat_last_n": -1,  # all tokens, as on the other backends
        **OLLAMA.options(sampling),
    }
    body: Fields = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "stream": False,
        "truncate": False,
        "shift": False,
        "options": options,
    }
    if context is not None:
        options["num_ctx"] = context
    if request.choices:
        options["num_predict"] = choice_room(request.choices)
    elif sampling.stop:
        options["stop"] = list(sampling.stop)
    return merge(body, more, {"logprobs": True} if logprobs else {})
