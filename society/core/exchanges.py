"""The chat of a turn with calls of tools: each reply that calls tools, then the results, then the next reply.

OPEN, CLOSE      the tags around a call in a text
has_open_call    whether a text has a call without its end
exchange         the messages that follow a reply with calls
replies          each reply of a turn, with the chat that the model saw
count_replies    the number of replies of a turn
own_usage        the tokens of a turn's last reply alone
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from society.core.types import ChatMessage, GenerateOutput, ToolCall, Turn, Usage

OPEN, CLOSE = "<use {name}>", "</use>"
"""Tags of a call in the plain text protocol. The closing tag is a stop sequence of the agents that have tools."""
BEGIN = re.compile(r"<use[ \t]+[A-Za-z][\w-]{0,63}[ \t]*>")
"""Pattern of the opening tag."""


def has_open_call(text: str) -> bool:
    """Return whether a text in the plain text protocol has the beginning of a call, and not its end."""
    begun = [*BEGIN.finditer(text)]
    return bool(begun) and CLOSE not in text[begun[-1].end() :]


def exchange(calls: Sequence[ToolCall]) -> tuple[ChatMessage, ...]:
    """Return the messages after the prompt of one reply with these calls: the reply, and the results."""
    reply = calls[0].reply
    assert reply is not None
    if calls[0].parameter:
        made = tuple((call.tool, call.parameter, call.given) for call in calls)
        return (ChatMessage("assistant", reply.text, made), *(ChatMessage("tool", call.result) for call in calls))
    text = reply.text if reply.text.rstrip().endswith(CLOSE) else f"{reply.text}{CLOSE}"
    results = "\n\n".join(f"Result of {call.tool}:\n{call.result}" for call in calls)
    return ChatMessage("assistant", text), ChatMessage("user", results)


def replies(turn: Turn) -> Iterator[tuple[tuple[ChatMessage, ...], GenerateOutput]]:
    """Yield each reply of a turn with the chat that the model saw before it, in order. The last one is the turn's.

    The text of a reply with calls ends with the tag that closes its call, as its drawn tokens do.
    """
    chat = turn.messages
    for calls in _by_reply([call for call in turn.calls if call.status != "refused"]):
        reply = calls[0].reply
        assert reply is not None
        said, *results = exchange(calls)
        yield chat, replace(reply, text=said.content)
        chat = (*chat, said, *results)
    if turn.reply is not None:
        yield chat, replace(turn.reply, usage=own_usage(turn), calls=())


def count_replies(turn: Turn) -> int:
    """Return the number of replies of a turn: the last one, and those that call tools before it."""
    return 1 + sum(call.reply is not None for call in turn.calls)


def own_usage(turn: Turn | GenerateOutput) -> Usage:
    """Return the usage of the last reply of a turn alone; its seconds are those of the whole turn."""
    spent = [call.reply.usage for call in turn.calls if call.reply is not None]
    usage = turn.usage
    return replace(
        usage,
        prompt_tokens=usage.prompt_tokens - sum(one.prompt_tokens for one in spent),
        generated_tokens=usage.generated_tokens - sum(one.generated_tokens for one in spent),
        cached_tokens=usage.cached_tokens - sum(one.cached_tokens for one in spent),
        thought_tokens=usage.thought_tokens - sum(one.thought_tokens for one in spent),
        tool_calls=0,
        failed_calls=0,
        tool_seconds=0.0,
    )


def _by_reply(calls: Sequence[ToolCall]) -> Iterator[list[ToolCall]]:
    """Yield the calls of each reply together."""
    number = 0

    def of(call: ToolCall) -> int:
        nonlocal number
        number += call.reply is not None
        return number

    for _, group in groupby(calls, key=of):
        yield list(group)
