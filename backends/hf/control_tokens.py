"""Defence against forged control tokens: in a message, the name of a control token is encoded as plain text.

Before the chat template is filled in, each such name in a message is put between two private-use characters. What the
template itself writes has none around it. The tokenizer then encodes marked names as text and everything else as usual.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from backends.models.chat_templates import chat_environment
from society.core.errors import BackendError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

START, END = "\U000f0000", "\U000f0001"
"""Characters around a marked name. They are removed from messages first, so no message can forge them."""


class ControlTokens:
    """The control tokens of a tokenizer and its chat template: the special ones, and those that the template writes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str) -> None:
        self.tokenizer = tokenizer
        self._names = _join(_control_names(tokenizer, template))
        every = _join([token.content for token in tokenizer.added_tokens_decoder.values()])
        self._marked = re.compile(f"{START}({every.pattern}){END}|[{START}{END}]")

    def mark(self, text: str) -> str:
        """Return the text of a message with each name of a control token marked."""
        plain = text.replace(START, "").replace(END, "")
        return self._names.sub(rf"{START}\g<0>{END}", plain)

    def encode(self, chat: str) -> list[int]:
        """Return the tokens of a chat that was rendered from marked messages.

        Raises `BackendError` for a marked name that the tokenizer makes a control token of even as text.
        """
        first, *pieces = self._marked.split(chat)  # text, marked name or None, text, marked name or None, text ...
        ids = self._encode(first)
        for name, text in zip(pieces[::2], pieces[1::2], strict=True):
            if name:
                ids += self._encode_name(name)
            if text:
                ids += self._encode_inside(text)
        return ids

    def _encode_name(self, name: str) -> list[int]:
        ids = self._encode_inside(name, as_text=True)
        if self.tokenizer.convert_tokens_to_ids(name) in ids:
            raise BackendError(
                f"A message contains {name!r}, which this tokenizer cannot encode as plain text.",
                "Give another model or tokenizer.",
            )
        return ids

    def _encode_inside(self, piece: str, as_text: bool = False) -> list[int]:
        """Return the tokens of a piece from the middle of a chat.

        Some tokenizers add a space where a text begins, so the piece is encoded after a line break.
        """
        ids = self._encode("\n" + piece, as_text)
        if ids[: len(self._line_break)] == self._line_break:
            return ids[len(self._line_break) :]
        return self._encode(piece, as_text)

    @cached_property
    def _line_break(self) -> list[int]:
        return self._encode("\n")

    def _encode(self, text: str, as_text: bool = False) -> list[int]:
        backend: Any = getattr(self.tokenizer, "backend_tokenizer", None)
        if not as_text or backend is None:
            ids: Any = self.tokenizer(text, add_special_tokens=False, split_special_tokens=as_text)["input_ids"]
            return list(ids)
        # The fast tokenizers' own switch skips special tokens alone, so their steps run here without added tokens.
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        splits = [text]
        if backend.pre_tokenizer is not None:
            splits = [split for split, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        return [token.id for split in splits for token in backend.model.tokenize(split)]


def _join(names: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern for any of these names; of two that overlap, the longer one is found."""
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)")


def _control_names(tokenizer: PreTrainedTokenizerBase, template: str) -> list[str]:
    """Return the names of tokens that messages must not make: the special ones, and those that the template writes."""
    from jinja2 import nodes

    tree = chat_environment().parse(template)
    written = [node.data for node in tree.find_all(nodes.TemplateData)]
    written += [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)]
    listed = getattr(tokenizer, "chat_control_tokens", None)

    def is_control(name: str) -> bool:
        if listed is not None:
            return name in listed
        return not name.isspace() and any(name in text for text in written)

    added = tokenizer.added_tokens_decoder.values()
    return [token.content for token in added if token.special or is_control(token.content)]
