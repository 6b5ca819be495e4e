"""Messages to prompt tokens, by the chat template that the model carries or the user gives.

Templates come with models and are untrusted (see `backends.models.chat_templates`). So are message contents: the name
of a control token in one (say, the mark that ends a turn) is broken up by an invisible character, so that nobody can
write a turn in another's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from backends.models.chat_templates import compile_chat_template, fill_chat_template
from society.core.errors import BackendError, InputError
from society.core.types import ChatMessage

_BREAK = "\u200b"  # a zero-width space
_MARK = "REPLY"


class Words(Protocol):
    """What is needed of a vocabulary."""

    bos: int
    eos: int
    adds_bos: bool
    controls: tuple[int, ...]
    ends: frozenset[int]

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Tokens of `text`."""

    def name(self, token: int) -> str:
        """How a token is written."""


class Chat:
    """Writes a chat as the model expects it, and tokenises it."""

    def __init__(self, template: str, vocabulary: Words, model: str) -> None:
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
        """What the template is given beside the messages; part of the model's hash."""
        names = sorted((re.escape(name) for t in vocabulary.controls if len(name := vocabulary.name(t)) > 1), key=len)
        self._forged = re.compile("|".join(reversed(names)) or r"(?!)")

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt as text, up to where the assistant's reply begins."""
        if not messages:
            raise BackendError("There are no messages to answer.", "Give the agent a prompt.")
        turns = [{"role": message.role, "content": self._defuse(message.content)} for message in messages]
        return fill_chat_template(self._template, messages=turns, add_generation_prompt=True, **self.arguments)

    def tokens(self, messages: Sequence[ChatMessage]) -> list[int]:
        """The prompt as tokens; with the mark of the beginning once if the model wants one."""
        tokens = self._vocabulary.tokenize(self.render(messages), special=True)
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

    def _defuse(self, content: str) -> str:
        return self._forged.sub(lambda match: match[0][0] + _BREAK + match[0][1:], content)
