"""Chat completions that arrive in parts: those that somebody watches, and those of servers that only stream.

A stream is server-sent events: lines `data: JSON`, ended by `data: [DONE]`. Each part has a `delta` of the message.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from backends.openai.wire import Chunk, Delta, Message
from society.core.errors import TransientError

OnMessage = Callable[[dict[str, Any]], None]
"""Receives the message of a reply as far as it has arrived."""
_TEXTS = ("content", "reasoning_content", "reasoning", "thinking", "refusal")
"""Texts of a delta, which are joined."""


def is_stream(data: bytes) -> bool:
    """Return whether a response body is a stream of events."""
    return data.lstrip()[:5] == b"data:" or data.lstrip()[:6] == b"event:"


class BrokenStreamError(TransientError):
    """A stream that ended before the reply did."""


class Arriving:
    """The message of a chat completion whose stream arrives line by line. `show` gets it after each line."""

    def __init__(self, show: OnMessage) -> None:
        self._show, self._whole = show, _nothing()

    def add(self, line: bytes) -> None:
        """Add a line. One that is no part of a completion is left to `join`, which raises its error."""
        field, _, value = line.decode("utf-8", "replace").partition(":")
        if field == "data" and value.strip() != "[DONE]":
            with suppress(TransientError):
                _add(self._whole, _part(value))
                self._show(self._whole["choices"][0]["message"])

    def whole(self, data: bytes) -> bytes:
        """Return the body as it is. The reader of completions joins it."""
        return data


def join(data: bytes) -> bytes:
    """Return the stream of a chat completion as one response. Raises `TransientError` if the stream is cut off."""
    whole = _nothing()
    done = False
    for line in data.decode("utf-8", "replace").splitlines():
        field, _, value = line.partition(":")
        if field != "data":
            continue
        if value.strip() == "[DONE]":
            done = True
            break
        _add(whole, _part(value))
    if not done and whole["choices"][0]["finish_reason"] is None:
        raise BrokenStreamError("The server's stream ended before the reply did.", "Look into the server's log.")
    try:
        return json.dumps(whole).encode()
    except (ValueError, RecursionError):  # too deep, or a number with too many digits
        raise _no_completion() from None


def _nothing() -> dict[str, Any]:
    return {"choices": [{"message": {}, "finish_reason": None}]}


def _no_completion() -> TransientError:
    return TransientError("The server's stream holds no chat completion.", "Look into the server's log.")


def _part(text: str) -> Chunk:
    try:
        return Chunk.model_validate(json.loads(text))
    except (ValueError, RecursionError):
        raise _no_completion() from None


def _add_parts(message: dict[str, Any], parts: list[Any]) -> None:
    """Add a delta whose content is a list of parts, thoughts among them (Mistral)."""
    try:
        said = Message.model_validate({"content": parts})
    except ValueError:
        raise _no_completion() from None
    for name, text in (("content", said.text), ("thinking", said.thought)):
        if text:
            message[name] = message.get(name, "") + text


def _add(whole: dict[str, Any], part: Chunk) -> None:
    """Add one part of the stream."""
    for name in ("usage", "system_fingerprint", "timings", "sglext", "error"):
        if (value := getattr(part, name)) is not None:
            whole[name] = value
    choice = whole["choices"][0]
    for piece in part.choices or []:
        if piece.index != 0:
            continue
        delta = piece.delta or Delta()
        for name in _TEXTS:
            if isinstance(text := getattr(delta, name), str):
                choice["message"][name] = choice["message"].get(name, "") + text
        if isinstance(delta.content, list):
            _add_parts(choice["message"], delta.content)
        if delta.tool_calls:
            choice["message"].setdefault("tool_calls", []).extend(delta.tool_calls)
        for name in ("finish_reason", "stop_reason", "matched_stop"):
            if (value := getattr(piece, name)) is not None:
                choice[name] = value
        if piece.logprobs:
            choice.setdefault("logprobs", {"content": []})["content"] += piece.logprobs.content or []
        if piece.token_ids is not None:
            choice.setdefault("token_ids", []).extend(piece.token_ids)
