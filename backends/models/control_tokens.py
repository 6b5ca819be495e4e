"""Defence against forged control tokens: in a message, the name of a control token is encoded as plain text.

Before the chat template is filled in, each such name in a message is put between two private-use characters. Names that
the template writes are not marked. The tokenizer then encodes marked names as text and everything else as usual.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from society.core.errors import BackendError

START, END = "\U000f0000", "\U000f0001"
"""Characters around a marked name. They are removed from messages first, so no message can forge them."""

Encode = Callable[[str, bool], list[int]]
"""Returns the tokens of a text. The second argument: encode the names of control tokens as plain text."""


class ControlTokens:
    """The control tokens of one tokenizer.

    `known` has the token of each name that the tokenizer recognizes in text; `refused` are the names that messages must
    not turn into their tokens.
    """

    def __init__(self, known: Mapping[str, int], refused: Iterable[str], encode: Encode) -> None:
        self._known, self._encode = known, encode
        self._refused = _join(refused)
        self._marked = re.compile(f"{START}({_join(known).pattern}){END}|[{START}{END}]")

    def mark(self, text: str) -> str:
        """Return the text of a message with each name of a control token marked."""
        plain = text.replace(START, "").replace(END, "")
        return self._refused.sub(rf"{START}\g<0>{END}", plain)

    def encode(self, chat: str) -> list[int]:
        """Return the tokens of a chat that was rendered from marked messages.

        Raises `BackendError` for a marked name that the tokenizer turns into its control token even as text.
        """
        first, *pieces = self._marked.split(chat)  # text, marked name or None, text, marked name or None, text ...
        ids = self._encode(first, False)
        for name, text in zip(pieces[::2], pieces[1::2], strict=True):
            if name:
                ids += self._encode_name(name)
            if text:
                ids += self._encode_inside(text, False)
        return ids

    def _encode_name(self, name: str) -> list[int]:
        ids = self._encode_inside(name, True)
        if self._known[name] in ids:
            raise BackendError(
                f"A message contains {name!r}, which this tokenizer cannot encode as plain text.",
                "Give another model or tokenizer.",
            )
        return ids

    def _encode_inside(self, piece: str, as_text: bool) -> list[int]:
        """Return the tokens of a piece from the middle of a chat.

        Some tokenizers add a space where a text begins, so the piece is encoded after a line break.
        """
        ids = self._encode("\n" + piece, as_text)
        if ids[: len(self._line_break)] == self._line_break:
            return ids[len(self._line_break) :]
        return self._encode(piece, as_text)

    @cached_property
    def _line_break(self) -> list[int]:
        return self._encode("\n", False)


def _join(names: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for any of these names; of two that overlap, the longer one is found."""
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)")
