"""Messages to prompt tokens, by the chat template that the model carries or the user gives.

Templates come with models and are untrusted: they run in Jinja2's immutable sandbox. Message contents are
untrusted too: the name of a control token in one (say, the mark that ends a turn) is broken up by an
invisible character, so that nobody can write a turn in another's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from society.errors import BackendError, InputError
from society.types import ChatMessage

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
        self._template = _compile(template, model)
        self._vocabulary = vocabulary
        self._names = {
            "bos_token": vocabulary.name(vocabulary.bos),
            "eos_token": vocabulary.name(vocabulary.eos),
        }
        names = sorted((re.escape(name) for t in vocabulary.controls if len(name := vocabulary.name(t)) > 1), key=len)
        self._forged = re.compile("|".join(reversed(names)) or r"(?!)")

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt as text, up to where the assistant's reply begins."""
        from jinja2 import TemplateError

        if not messages:
            raise BackendError("There are no messages to answer.", "Give the agent a prompt.")
        turns = [{"role": message.role, "content": self._defuse(message.content)} for message in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._names)  # type: ignore[no-any-return]
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            remedy = "Change the order or the roles of the messages, or give the backend another chat_template."
            raise BackendError(f"The model's chat template refuses this chat: {error}.", remedy) from None

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
        text = self._template.render(messages=turns, add_generation_prompt=False, **self._names)
        after = self._vocabulary.tokenize(text.rpartition(_MARK)[2], special=True)
        return next((token for token in after if token in self._vocabulary.ends), self._vocabulary.eos)

    def _defuse(self, content: str) -> str:
        return self._forged.sub(lambda match: match[0][0] + _BREAK + match[0][1:], content)


def _compile(template: str, model: str) -> Any:
    """The template, in the environment that chat templates are written for."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(template)
    except TemplateError as error:
        raise InputError(f"The chat template of {model} is not valid Jinja2: {error}.", "Correct it.") from None


def _refuse(reason: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(str(reason))


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)  # Jinja2's own escapes for HTML
