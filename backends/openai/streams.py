"""Chat completions that arrive in parts, from servers that only stream (some hosted reasoning models do).

A stream is server-sent events: lines `data: JSON`, ended by `data: [DONE]`. Each part has a `delta` of the message.
"""

from __future__ import annotations

import json
from typing import Any

from backends.openai.wire import Chunk, Delta
from society.core.errors import TransientError

_TEXTS = ("content", "reasoning_content", "reasoning", "thinking", "refusal")
"""Texts of a delta, which are joined."""


def is_stream(data: bytes) -> bool:
    """Return whether a response body is a stream of events."""
    return data.lstrip()[:5] == b"data:" or data.lstrip()[:6] == b"event:"


def join(data: bytes) -> bytes:
    """Return the stream of a chat completion as one response. Raises `TransientError` if the stream is cut off."""
    whole: dict[str, Any] = {"choices": [{"message": {}, "finish_reason": None}]}
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
        raise TransientError("The server's stream ended before the reply did.", "Look into the server's log.")
    try:
        return json.dumps(whole).encode()
    except (ValueError, RecursionError):  # too deep, or a number with too many digits
        raise _no_completion() from None


def _no_completion() -> TransientError:
    return TransientError("The server's stream holds no chat completion.", "Look into the server's log.")


def _part(text: str) -> Chunk:
    try:
        return Chunk.model_validate(json.loads(text))
    except (ValueError, RecursionError):
        raise _no_completion() from None


def _add(whole: dict[str, Any], part: Chunk) -> None:
    """Add one part of the stream."""
    for name in ("usage", "system_fingerprint", "error"):
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
        if delta.tool_calls:
            choice["message"].setdefault("tool_calls", []).extend(delta.tool_calls)
        for name in ("finish_reason", "stop_reason", "matched_stop"):
            if (value := getattr(piece, name)) is not None:
                choice[name] = value
        if piece.logprobs:
            choice.setdefault("logprobs", {"content": []})["content"] += piece.logprobs.content or []
