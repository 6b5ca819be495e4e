"""Calls of tools in a model's own format, as far as its chat template writes them as JSON.

Hermes, Qwen, SmolLM3, Granite:   <tool_call>{"name": "calculator", "arguments": {"expression": "1 + 1"}}</tool_call>
Llama 3:                          {"name": "calculator", "parameters": {"expression": "1 + 1"}}
Mistral:                          [TOOL_CALLS][{"name": "calculator", "arguments": {"expression": "1 + 1"}}]

A template is supported if the calls that it writes are read back. For all other models, agents call in plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from backends.models.chat_rendering import ChatTemplate
from society.core.errors import BackendError
from society.core.types import ChatMessage, GenerateOutput, ToolCall, ToolSpec

LONGEST = 200_000
"""Number of characters of a reply that are searched for calls."""
MOST_BRACES = 1000
"""Number of opening braces that are tried."""
_TRIED = 'a "b"\n{c} \\d'
"""A text of a call that needs escapes in JSON."""
_LEAD = re.compile(r"(?:<[|\uff5c]?[\w/:\uff5c|]+[|\uff5c]?>|\[[A-Z_]+\]|\[|```(?:json)?|,)\s*$")
_BEGUN = re.compile(r'\{\s*"name"\s*:\s*"([^"]{1,80})"\s*,\s*"(?:arguments|parameters)"\s*:(.*)', re.DOTALL)
"""The beginning of a call."""
_RISKY = re.compile("[<\\[\u25c1]")
"""Characters of a description that could begin a control token: such tools are offered in plain text."""


class TemplateTools:
    """The ability `tools` of a local backend: the chat template writes tools, calls and results."""

    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self._supports = lru_cache(maxsize=256)(self._try)

    def supports(self, tools: tuple[ToolSpec, ...]) -> bool:
        """Return whether the template writes these tools, and calls that are read back."""
        return (
            bool(tools) and not any(map(_RISKY.search, (tool.description for tool in tools))) and self._supports(tools)
        )

    def _try(self, tools: tuple[ToolSpec, ...]) -> bool:
        template, first = self._template.with_tools(tools), tools[0]
        asked = [ChatMessage("user", "Ping?")]
        called = [*asked, ChatMessage("assistant", "", ((first.name, first.takes, _TRIED),))]
        try:
            before = template.text(asked)
            during = template.text(called, add_generation_prompt=False)
            after = template.text([*called, ChatMessage("tool", "Pong.")])
        except BackendError:
            return False
        told = all(text in before for tool in tools for text in (tool.name, tool.takes))
        calls = read_calls(during)[1]
        return told and "Pong." in after and calls[-1:] == [(first.name, first.takes, _TRIED)]


def with_calls(output: GenerateOutput, tools: Sequence[ToolSpec]) -> GenerateOutput:
    """Return a reply to a request with tools: its text before the calls, and the calls.

    A call that was cut off, or is no JSON, is refused.
    """
    before, found = read_calls(output.text)
    if not found:
        begun = _BEGUN.search(output.text[:LONGEST])
        if begun is None:
            return output
        call = ToolCall(begun[1], begun[2].strip(), "it is incomplete.", "refused", parameter="input")
        return replace(output, text=_without_lead(output.text[: begun.start()]), calls=(call,))
    takes = {tool.name: tool.takes for tool in tools}
    calls = tuple(
        ToolCall(name, given, parameter=parameter or takes.get(name, "input")) for name, parameter, given in found
    )
    return replace(output, text=before, calls=calls)


def read_calls(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the text before the calls in a reply, and each call: tool, parameter and text.

    A call with several parameters or none has the parameter "" and all of them as JSON.
    """
    found: list[tuple[str, str, str]] = []
    first, at = len(text), 0
    for _ in range(MOST_BRACES):
        at = text.find("{", at, LONGEST)
        if at < 0:
            break
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        if (call := _as_call(value)) is not None:
            found.append(call)
            first = min(first, at)
        at = end
    return _without_lead(text[:first]) if found else text, found


def _as_call(value: Any) -> tuple[str, str, str] | None:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or "description" in value:
        return None  # with a description, it is the tool as it was offered
    given = value.get("arguments", value.get("parameters"))
    if isinstance(given, str):
        return value["name"], "", given
    return (value["name"], *_as_text(given)) if isinstance(given, dict) else None


def read_arguments(text: str) -> tuple[str, str]:
    """Return the parameter and the text of arguments in JSON; the parameter "" and all of it for several or none."""
    try:
        given = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return "", text
    return _as_text(given) if isinstance(given, dict) else ("", text)


def _as_text(given: dict[str, Any]) -> tuple[str, str]:
    if len(given) != 1:
        return "", json.dumps(given, ensure_ascii=False)
    [(parameter, only)] = given.items()
    return parameter, only if isinstance(only, str) else json.dumps(only, ensure_ascii=False)


def _without_lead(text: str) -> str:
    """Return the text without the tags that a template writes before a call."""
    while (shorter := _LEAD.sub("", text.rstrip()).rstrip()) != text.rstrip():
        text = shorter
    return text.rstrip()
