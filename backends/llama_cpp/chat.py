"""Messages to prompt tokens, by the chat template that the model carries or the user gives.

Both local backends render and encode chats in the same way (see `backends.models.chat_encoding`). This module adds
llama.cpp's vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Protocol

from backends.models.chat_encoding import ChatEncoder
from backends.models.chat_rendering import ChatTemplate
from backends.models.control_tokens import ControlTokens
from backends.models.thoughts import Thoughts
from society.core.types import ChatMessage, TemplateArgs, Thinking, ToolSpec

_MARK = "REPLY"


class ChatVocabulary(Protocol):
    """The part of a vocabulary that a chat needs."""

    bos: int
    eos: int
    special: Mapping[str, int]
    """Tokens by the names that templates use, such as `pad_token`, beside `bos_token` and `eos_token`."""
    adds_bos: bool
    controls: tuple[int, ...]
    user_defined: tuple[int, ...]
    ends: frozenset[int]

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the tokens of `text`."""

    def name(self, token: int) -> str:
        """Return the text that names `token`."""

    def text(self, tokens: Sequence[int], names: bool = False) -> str:
        """Return the text of tokens, with or without the names of control tokens."""


class Chat:
    """A vocabulary with a chat template: writes a chat as the model expects it, and tokenizes it."""

    def __init__(self, template: str, vocabulary: ChatVocabulary, model: str) -> None:
        self._vocabulary = vocabulary
        special = {"bos_token": vocabulary.bos, "eos_token": vocabulary.eos}
        special |= {name: token for name, token in vocabulary.special.items() if name in template}
        variables = {name: vocabulary.name(token) for name, token in special.items()}
        self.template = ChatTemplate(template, model, variables)
        self.arguments: dict[str, object] = {**variables, **self.template.traits()}
        """Variables and traits of the template; part of the model's hash."""
        controls = _names(vocabulary, vocabulary.controls)
        known = controls | _names(vocabulary, vocabulary.user_defined)
        refused = [*controls, *filter(self.template.controls, known)]
        encoding = ControlTokens(known, refused, lambda text, as_text: vocabulary.tokenize(text, not as_text))
        self._encoder = ChatEncoder(self.template, encoding, vocabulary.bos if vocabulary.adds_bos else None)
        self.thoughts = Thoughts(
            self.template,
            known,
            encode=encoding.encode_own,
            plain=partial(vocabulary.tokenize, special=False),
            raw=lambda tokens: vocabulary.text(tokens, names=True),
            text=lambda tokens: vocabulary.text(tokens),
        )

    def tokens(self, messages: Sequence[ChatMessage], args: TemplateArgs = ()) -> list[int]:
        """Return the prompt as tokens, up to the beginning of the assistant's reply; see `ChatEncoder.tokens`."""
        return self._encoder.tokens(messages, args)

    def prompt(
        self, messages: Sequence[ChatMessage], thinking: Thinking, args: TemplateArgs, tools: tuple[ToolSpec, ...] = ()
    ) -> tuple[list[int], str]:
        """Return the prompt as tokens, and the text that the template writes after the last message.

        Raises `InputError` if the template does not read what `thinking` or `args` set.
        """
        return self._encoder.with_tools(tools).tokens_and_tail(messages, self.thoughts.arguments(thinking, args))

    @cached_property
    def end_of_turn(self) -> int:
        """The token that the template puts after an assistant's reply."""
        messages = [ChatMessage("user", "Q"), ChatMessage("assistant", _MARK)]
        text = self.template.text(messages, add_generation_prompt=False)
        after = self._vocabulary.tokenize(text.rpartition(_MARK)[2], special=True)
        return next((token for token in after if token in self._vocabulary.ends), self._vocabulary.eos)


def _names(vocabulary: ChatVocabulary, tokens: Sequence[int]) -> dict[str, int]:
    names = {vocabulary.name(token): token for token in tokens}
    return {name: token for name, token in names.items() if len(name) > 1}
