"""Chats to tokens, for both local backends: rendering, the defence against forged control tokens, and the first token.

The token that begins a text (BOS) occurs once where the tokenizer puts one before texts, whether or not the chat
template writes it. This is what llama.cpp's own server does.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.models.chat_rendering import ChatTemplate
from backends.models.control_tokens import ControlTokens
from society.core.errors import BackendError
from society.core.types import ChatMessage, ChatRole, TemplateArgs, ToolSpec

_ROLES: tuple[tuple[ChatRole, ...], ...] = (("user", "assistant"), ("system", "user", "assistant"), ("system",))
"""Roles of the chats that show which tokens a template writes."""


class ChatEncoder:
    """A chat template and a tokenizer. `bos`: the token that the tokenizer puts before texts, or None."""

    def __init__(self, template: ChatTemplate, controls: ControlTokens, bos: int | None) -> None:
        self.template, self._controls, self._bos = template, controls, bos
        self._with_tools: dict[tuple[ToolSpec, ...], ChatEncoder] = {}
        system = template.accepted().system
        for roles in _ROLES if system else _ROLES[:1]:
            controls.learn(*template.renderers([ChatMessage(role, "Ping?") for role in roles]))

    def with_tools(self, tools: tuple[ToolSpec, ...]) -> ChatEncoder:
        """Return the encoder of chats in which the model is offered these tools."""
        if not tools:
            return self
        if tools not in self._with_tools:
            self._with_tools[tools] = ChatEncoder(self.template.with_tools(tools), self._controls, self._bos)
        return self._with_tools[tools]

    def tokens(
        self, messages: Sequence[ChatMessage], args: TemplateArgs = (), add_generation_prompt: bool = True
    ) -> list[int]:
        """Return the tokens of a chat, by default with the beginning of the reply.

        `args` are additional variables of the template. Control tokens that a message spells out are encoded as plain
        text; the template alone can write them. Raises `ChatTemplateError` if the template refuses the chat.
        """
        return self.tokens_and_tail(messages, args, add_generation_prompt)[0]

    def tokens_and_tail(
        self, messages: Sequence[ChatMessage], args: TemplateArgs = (), add_generation_prompt: bool = True
    ) -> tuple[list[int], str]:
        """Return the tokens of a chat, and the text that the template writes after the last message; see `tokens`."""
        if not messages:
            raise BackendError("There are no messages to answer.", "Give the agent a prompt.")
        renderers = self.template.renderers(messages, args, add_generation_prompt)
        tokens, tail = self._controls.tokens_and_tail(*renderers)
        return (tokens if self._bos is None or tokens[:1] == [self._bos] else [self._bos, *tokens]), tail
