"""Messages to prompt tokens, by the chat template that the model carries or the user gives.

Templates come with models and are untrusted (see `backends.models.chat_templates`). Message contents are untrusted,
too: the name of a control token in a message is encoded as plain text (see `backends.models.control_tokens`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from backends.models.chat_templates import compile_chat_template, fill_chat_template
from backends.models.control_tokens import ControlTokens
from society.core.errors import BackendError, InputError
from society.core.types import ChatMessage

_MARK = "REPLY"


class ChatVocabulary(Protocol):
    """The part of a vocabulary that a chat needs."""

    bos: int
    eos: int
    adds_bos: bool
    controls: tuple[int, ...]
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
        self._template = compile_chat_template(template, model)
        self._vocabulary = vocabulary
        self.arguments: dict[str, object] = {
            "bos_token": vocabulary.name(vocabulary.bos),
            "eos_token": vocabulary.name(vocabulary.eos),
        }
        """Arguments of the template beside the messages; part of the model's hash."""
        names = {vocabulary.name(token): token for token in vocabulary.controls}
        known = {name: token for name, token in names.items() if len(name) > 1}
        self._controls = ControlTokens(known, known, lambda text, as_text: vocabulary.tokenize(text, not as_text))

    def tokens(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Return the prompt as tokens, up to the beginning of the assistant's reply.

        The token that begins a text occurs once if the model wants it. Raises `BackendError` if there are no
        messages or if the template refuses them.
        """
        if not messages:
            raise BackendError("There are no messages to answer.", "Give the agent a prompt.")
        turns = [{"role": message.role, "content": self._controls.mark(message.content)} for message in messages]
        text = fill_chat_template(self._template, messages=turns, add_generation_prompt=True, **self.arguments)
        tokens = self._controls.encode(text)
        if self._vocabulary.adds_bos and tokens[:1] != [self._vocabulary.bos]:
            tokens.insert(0, self._vocabulary.bos)
        return tokens

    @cached_property
    def end_of_turn(self) -> int:
        """The token that the template puts after an assistant's reply."""
        turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": _MARK}]
        text = fill_chat_template(self._template, messages=turns, add_generation_prompt=False, **self.arguments)
        after = self._vocabulary.tokenize(text.rpartition(_MARK)[2], special=True)
        return next((token for token in after if token in self._vocabulary.ends), self._vocabulary.eos)
