"""Chat completions that arrive in parts, from servers that only stream (some hosted reasoning models do).

A stream is server-sent events: lines `data: JSON`, ended by `data: [DONE]`. Each part has a `delta` of the message.
"""

from __future__ import annotations

import json
from typing import Any

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
    return json.dumps(whole).encode()


def _part(text: str) -> dict[str, Any]:
    try:
        part = json.loads(text)
    except ValueError:
        part = None
    if not isinstance(part, dict):
        raise TransientError("The server's stream holds no JSON.", "Look into the server's log.")
    return part


def _add(whole: dict[str, Any], part: dict[str, Any]) -> None:
    """Add one part of the stream. Usage comes in a part without choices, errors in a part of their own."""
    for name in ("usage", "system_fingerprint", "error"):
        if part.get(name) is not None:
            whole[name] = part[name]
    choice = whole["choices"][0]
    for piece in part.get("choices") or []:
        if piece.get("index", 0) != 0:
            continue
        delta = piece.get("delta") or {}
        for name in _TEXTS:
            if isinstance(delta.get(name), str):
                choice["message"][name] = choice["message"].get(name, "") + delta[name]
        if delta.get("tool_calls"):
            choice["message"].setdefault("tool_calls", []).extend(delta["tool_calls"])
        for name in ("finish_reason", "stop_reason", "matched_stop"):
            if piece.get(name) is not None:
                choice[name] = piece[name]
        if piece.get("logprobs"):
            choice.setdefault("logprobs", {"content": []})["content"] += piece["logprobs"].get("content") or []
