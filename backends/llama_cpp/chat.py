"""Messages to prompt tokens, by the chat template that the model carries or the user gives.

Templates come with models and are untrusted (see `backends.models.chat_templates`). Message contents are untrusted,
too: the name of a control token in a message is encoded as plain text (see `backends.models.control_tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from backends.models.chat_templates import ChatTemplate
from backends.models.control_tokens import ControlTokens, Render
from society.core.errors import BackendError, InputError
from society.core.types import ChatMessage, ChatRole

_MARK = "REPLY"
_ROLES: tuple[tuple[ChatRole, ...], ...] = (("user", "assistant"), ("system", "user", "assistant"), ("system",))
"""Roles of the chats that show which tokens a template writes. Some templates refuse some of them."""


class ChatVocabulary(Protocol):
    """The part of a vocabulary that a chat needs."""

    bos: int
    eos: int
    adds_bos: bool
    controls: tuple[int, ...]
    user_defined: tuple[int, ...]
    ends: frozenset[int]

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the tokens of `text`."""

    def name(self, token: int) -> str:
        """Return the text that names `token`."""


class Chat:
    """A vocabulary with a chat template: writes a chat as the model expects it, and tokenizes it."""

    def __init__(self, template: str, vocabulary: ChatVocabulary, model: str) -> None:
        if not template:
            raise InputError(
                f"{model} is a base model: it carries no chat template.",
                "Use an instruction-tuned model, or give the backend a chat_template (Jinja2 text).",
            )
        self._template = ChatTemplate(template, model)
        self._vocabulary = vocabulary
        self.arguments: dict[str, object] = {
            "bos_token": vocabulary.name(vocabulary.bos),
            "eos_token": vocabulary.name(vocabulary.eos),
        }
        """Arguments of the template beside the messages; part of the model's hash."""
        controls = _names(vocabulary, vocabulary.controls)
        known = controls | _names(vocabulary, vocabulary.user_defined)
        written = filter(self._template.writes, known)
        self._controls = ControlTokens(
            known, [*controls, *written], lambda text, as_text: vocabulary.tokenize(text, not as_text)
        )
        for roles in _ROLES:
            messages = [ChatMessage(role, _MARK) for role in roles]
            self._controls.learn(*self._renderers(messages))

    def tokens(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Return the prompt as tokens, up to the beginning of the assistant's reply.

        The token that begins a text occurs once if the model wants it. Raises `BackendError` if there are no
        messages or if the template refuses them.
        """
        if not messages:
            raise BackendError("There are no messages to answer.", "Give the agent a prompt.")
        tokens = self._controls.tokens(*self._renderers(messages))
        if self._vocabulary.adds_bos and tokens[:1] != [self._vocabulary.bos]:
            tokens.insert(0, self._vocabulary.bos)
        return tokens

    def _renderers(
        self, messages: Sequence[ChatMessage], add_generation_prompt: bool = True
    ) -> tuple[list[str], Render, list[Render]]:
        return self._template.renderers(messages, add_generation_prompt=add_generation_prompt, **self.arguments)

    @cached_property
    def end_of_turn(self) -> int:
        """The token that the template puts after an assistant's reply."""
        messages = [ChatMessage("user", "Q"), ChatMessage("assistant", _MARK)]
        contents, fill, _ = self._renderers(messages, add_generation_prompt=False)
        after = self._vocabulary.tokenize(fill(contents).rpartition(_MARK)[2], special=True)
        return next((token for token in after if token in self._vocabulary.ends), self._vocabulary.eos)


def _names(vocabulary: ChatVocabulary, tokens: Sequence[int]) -> dict[str, int]:
    names = {vocabulary.name(token): token for token in tokens}
    return {name: token for name, token in names.items() if len(name) > 1}
