"""Calls of tools in the words of the OpenAI standard: in requests, in replies, and the trial before the first turn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from backends.models.tool_format import read_arguments
from backends.openai.dialects import Fields
from backends.openai.wire import Answer
from society.core.types import ChatMessage, GenerateRequest, Sampling, ToolCall, ToolSpec

MOST_CALLS = 100
"""Maximum number of calls of a reply that are read."""


class _Function(Answer):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(Answer):
    """A call, or a part of one in a stream: parts of one call have the same `index`."""

    index: int | None = None
    function: _Function | None = None


def write_messages(messages: Sequence[ChatMessage]) -> list[Fields]:
    """Return the messages of a request. Calls are numbered, and results follow in their order."""
    written: list[Fields] = []
    made = answered = 0
    for message in messages:
        fields: Fields = {"role": message.role, "content": message.content}
        if message.calls:
            fields["tool_calls"] = [_write_call(made + i, call) for i, call in enumerate(message.calls)]
            made += len(message.calls)
        if message.role == "tool":
            fields["tool_call_id"] = _name(answered)
            answered += 1
        written.append(fields)
    return written


def _write_call(number: int, call: tuple[str, str, str]) -> Fields:
    tool, parameter, given = call
    arguments = json.dumps({parameter: given}, ensure_ascii=False)
    return {"id": _name(number), "type": "function", "function": {"name": tool, "arguments": arguments}}


def _name(number: int) -> str:
    """Return the id of a call: nine letters and digits, as Mistral's server wants them."""
    return f"call{number:05}"


def read_tool_calls(given: Sequence[Any], tools: Sequence[ToolSpec]) -> tuple[ToolCall, ...]:
    """Return the calls in a message. A call without a name, or of another form, is left out: it calls nothing."""
    takes = {tool.name: tool.takes for tool in tools}
    whole: dict[int, tuple[str, str]] = {}
    for place, part in enumerate(given[: 1000 * MOST_CALLS]):
        try:
            call = _Call.model_validate(part)
        except ValidationError:
            continue
        if call.function is None:
            continue
        index = place if call.index is None else call.index
        name, arguments = whole.get(index, ("", ""))
        more = call.function.arguments
        more = json.dumps(more, ensure_ascii=False) if isinstance(more, dict) else more or ""
        whole[index] = (name or call.function.name or "", arguments + more)
    found = [(name, *read_arguments(arguments)) for name, arguments in whole.values() if name][:MOST_CALLS]
    return tuple(ToolCall(tool, text, parameter=key or takes.get(tool, "input")) for tool, key, text in found)


def make_trial(tools: tuple[ToolSpec, ...]) -> GenerateRequest:
    """Return a request that a model which calls tools answers with a call."""
    text = f"Call the tool {tools[0].name} now, with any {tools[0].takes} that you like. Write nothing else."
    return GenerateRequest((ChatMessage("user", text),), Sampling(temperature=0, max_tokens=512), 1, tools=tools)


class ServerTools:
    """The ability `tools` of a server, as far as its model called each set of tools in a trial."""

    def __init__(self, tried: Mapping[tuple[ToolSpec, ...], bool]) -> None:
        self._tried = tried

    def supports(self, tools: tuple[ToolSpec, ...]) -> bool:
        """Return whether the model called these tools before the first turn."""
        return self._tried.get(tools, False)
