"""Ollama's own API, which has every option; its OpenAI-compatible one silently ignores top_k, min_p and penalties.

    GET  /api/version   the version; other servers have no such page
    GET  /api/tags      models with the hash of their contents
    POST /api/show      the model's context length and abilities
    POST /api/chat      a reply, with options, `think` and `format`

`truncate` and `shift` are off, so that a prompt that is too long is an error: by default Ollama drops its beginning.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field

from backends.openai.choices import choice_room
from backends.openai.dialects import OLLAMA, Fields
from backends.openai.failures import is_page
from backends.openai.streams import BrokenStreamError, OnMessage
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
from society.core.errors import TransientError
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
    load_duration: Any = None
    prompt_eval_duration: Any = None
    eval_duration: Any = None

    def _timings(self) -> dict[str, float] | None:
        """Return the milliseconds of work on the prompt and on the reply. Ollama counts nanoseconds."""
        parts = (self.prompt_eval_duration, self.eval_duration, self.load_duration or 0)
        if not all(isinstance(part, int) for part in parts):
            return None
        prompt, reply, loading = (part / 1e6 for part in parts)
        return {"prompt_ms": prompt + loading, "predicted_ms": reply}

    def completion(self) -> Completion:
        """Return the reply as a chat completion. A prompt that was read from the cache has no count."""
        said = Message(
            content=self.message.content, reasoning=self.message.thinking, tool_calls=self.message.tool_calls
        )
        usage = Usage(prompt_tokens=self.prompt_eval_count, completion_tokens=self.eval_count)
        logprobs = Logprobs(content=self.logprobs) if self.logprobs else None
        choice = Choice(message=said, finish_reason=self.done_reason, logprobs=logprobs)
        return Completion(choices=[choice], usage=usage, timings=self._timings())


class ArrivingReply:
    """A reply that arrives as lines of JSON, each with a part of the message. `show` gets the message so far."""

    def __init__(self, show: OnMessage) -> None:
        self._show, self._whole = show, _nothing()

    def add(self, line: bytes) -> None:
        """Add a line. One that cannot be read is left to `whole`, which raises its error."""
        with suppress(TransientError):
            _add(self._whole, line)
            self._show(self._whole["message"])

    def whole(self, data: bytes) -> bytes:
        """Return the lines as one response. Raises `TransientError` if the stream is cut off."""
        if is_page(data):
            return data
        whole = _nothing()
        for line in filter(bytes.strip, data.splitlines()):
            _add(whole, line)
        if not whole.get("done") and "error" not in whole:
            raise BrokenStreamError("Ollama's stream ended before the reply did.", "Look into the server's log.")
        return json.dumps(whole).encode()


def _nothing() -> dict[str, Any]:
    return {"message": {"content": ""}}


def _add(whole: dict[str, Any], line: bytes) -> None:
    """Add one line of a stream: texts and lists are joined, other values are replaced."""
    try:
        part = json.loads(line)
        said = part.pop("message", None) or {}
        for name in ("content", "thinking"):
            if isinstance(said.get(name), str):
                whole["message"][name] = whole["message"].get(name, "") + said[name]
        if said.get("tool_calls"):
            whole["message"].setdefault("tool_calls", []).extend(said["tool_calls"])
        if drawn := part.pop("logprobs", None):
            whole.setdefault("logprobs", []).extend(drawn)
        whole.update(part)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise TransientError("Ollama's stream holds no reply.", "Look into the server's log.") from None


def write_chat(
    model: str, request: GenerateRequest, context: int | None, logprobs: bool, more: Fields, streams: bool = False
) -> Fields:
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
        "stream": streams,
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
