"""Counts tokens locally, for servers that do not count them. Every such count is marked as an estimate.

The model's own tokenizer counts where this machine has it: in the model's folder, or in the cache of the hub. Without
it, an ASCII text has one token for every four characters, and every other character is one token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from society.core.types import ChatMessage

CHARACTERS = 4
"""ASCII characters of a token, roughly, in English text."""
FRAME = 4
"""Tokens that a chat template adds to a message, roughly."""


class Estimator:
    """Counts the tokens of prompts and replies of a model. `model` and `folder`: as the server names them."""

    def __init__(self, model: str, folder: str | None) -> None:
        self._model, self._folder = model, folder

    @cached_property
    def _count(self) -> Callable[[str], int]:
        """The model's tokenizer, which is looked for when the first count is missing."""
        return _tokenizer(self._model, self._folder) or rough_count

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        return self._count(text)

    def count_prompt(self, messages: Sequence[ChatMessage]) -> int:
        """Return the tokens of a prompt with these messages."""
        return FRAME + sum(self._count(message.content) + FRAME for message in messages)


def rough_count(text: str) -> int:
    """Return the tokens of a text by its characters."""
    others = sum(not character.isascii() for character in text)
    return math.ceil((len(text) - others) / CHARACTERS) + others


def _tokenizer(model: str, folder: str | None) -> Callable[[str], int] | None:
    """Return a counter with the model's tokenizer; None if this machine does not have it."""
    path = _find(model, folder)
    if path is None:
        return None
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # the library is not installed, or raises a plain Exception for a broken file
        return None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _find(model: str, folder: str | None) -> Path | None:
    if folder and (path := Path(folder) / "tokenizer.json").is_file():
        return path
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(model, "tokenizer.json")
    except Exception:  # the library is not installed, or the name is no name of the hub
        return None
    return Path(found) if isinstance(found, str) else None
