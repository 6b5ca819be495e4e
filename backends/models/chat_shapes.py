"""The shape of a chat: its roles and numbers of texts, and changes of chats that a template makes necessary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from society.core.types import ChatMessage

BETWEEN = "\n\n"
"""Text between messages that are joined."""
Shape = str | tuple[str, tuple[tuple[str, str], ...]]
"""Role of a message, or its role with the tools and parameters of its calls."""


def move_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return the chat with each system message at the beginning of the user message that follows it."""
    moved: list[ChatMessage] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "system":
            waiting.append(message.content)
        elif message.role == "user" and waiting:
            moved.append(ChatMessage("user", _join([*waiting, message.content])))
            waiting = []
        else:
            moved.append(message)
    return [*moved, *([ChatMessage("user", _join(waiting))] if waiting else [])]


def repeats(messages: Sequence[ChatMessage]) -> bool:
    """Return whether consecutive messages have one role."""
    return any(one.role == other.role for one, other in pairwise(messages))


def join_repeats(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return the chat with consecutive messages of one role as one message."""
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and joined[-1].role == message.role:
            joined[-1] = ChatMessage(message.role, _join([joined[-1].content, message.content]))
        else:
            joined.append(message)
    return joined


def _join(texts: Iterable[str]) -> str:
    return BETWEEN.join(filter(None, texts))


def shape_of(message: ChatMessage) -> Shape:
    """Return what a message has beside its texts: its role, or with calls also their tools and parameters."""
    return (message.role, tuple(call[:2] for call in message.calls)) if message.calls else message.role


def texts_of(message: ChatMessage) -> list[str]:
    """Return the content of a message, and the texts of its calls."""
    return [message.content, *(given for _, _, given in message.calls)]


def count_texts(shape: Shape) -> int:
    """Return the number of texts of a message."""
    return 1 if isinstance(shape, str) else 1 + len(shape[1])


def role_of(shape: Shape) -> str:
    """Return the role of a message."""
    return shape if isinstance(shape, str) else shape[0]


def turn_of(shape: Shape, parts: bool, texts: Iterator[str]) -> dict[str, object]:
    """Return a message as templates expect it, with the next texts."""
    content = next(texts)
    turn: dict[str, object] = {"role": role_of(shape)}
    turn["content"] = [{"type": "text", "text": content}] if parts else content
    if not isinstance(shape, str):
        calls = [{"name": tool, "arguments": {parameter: next(texts)}} for tool, parameter in shape[1]]
        turn["tool_calls"] = [{"type": "function", "function": call} for call in calls]
    return turn


def place_of(roles: Sequence[Shape], at: int) -> str:
    """Return in words where a message stands."""
    return f"after {with_article(role_of(roles[at - 1]))} message" if at else "at the beginning"


def with_article(role: str) -> str:
    """Return a role with its indefinite article."""
    return f"an {role}" if role == "assistant" else f"a {role}"
