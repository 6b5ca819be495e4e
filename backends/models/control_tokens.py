"""Defence against forged control tokens: text of messages never becomes a token that the chat template writes.

The template is filled in twice: with the messages, and with masked messages, in which each character is replaced by a
private-use character. Both texts are equal, character by character, apart from the masks. So every character of the
chat is known to come from a message or from the template, even if the template trims, splits or deletes text. A control
token whose text has a character of a message is forged, and is encoded as plain text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from society.core.errors import BackendError

BMP_MASK, ASTRAL_MASK = 0x100000, 0xF0000
"""First code points of the masks: of the characters below U+10000, and of the others."""

Encode = Callable[[str, bool], list[int]]
"""Returns the tokens of a text. The second argument: encode the names of control tokens as plain text."""
Render = Callable[[Sequence[str]], str]
"""Returns the chat with these texts as the contents of its messages."""
Span = tuple[int, int, int]
"""A token, and the start and end of its text in characters."""


class _Masks(dict[int, int]):
    """Masks by code point, filled in as they are used."""

    def __missing__(self, code: int) -> int:
        kept = chr(code).isspace() or chr(code) in '"\\' or code < ord(" ") or code > 0xFFFF
        self[code] = code if kept else BMP_MASK + code
        return self[code]


def mask(text: str, astral: Mapping[int, int] | None = None) -> str:
    """Return the text with a private-use character for each character.

    White space, quotes and backslashes stay, since templates trim and escape them. `astral` has the masks of the
    characters from U+10000.
    """
    return text.translate(_Masks(astral or {}))


class ControlTokens:
    """The control tokens of one tokenizer.

    `known` has the token of each name that the tokenizer recognizes in text; `refused` are the names that messages must
    not turn into their tokens. `spans` returns the recognized names in a text, after the tokenizer's normalization
    (`normalize`); by default, names are recognized as they are written.
    """

    def __init__(
        self,
        known: Mapping[str, int],
        refused: Iterable[str],
        encode: Encode,
        spans: Callable[[str], list[Span]] | None = None,
        normalize: Callable[[str], str] = str,
    ) -> None:
        self._known, self._encode, self._normalize = known, encode, normalize
        self._spans = spans or self.written_spans
        self._names = {token: name for name, token in known.items()}
        self._refused = {known[name] for name in refused if name in known}

    def learn(self, contents: Sequence[str], render: Render, masked: Sequence[Render]) -> None:
        """Refuse the tokens that the template writes around these messages, also those whose names it composes."""
        try:
            text, own = self._trace(contents, render, masked)
        except BackendError:  # many templates refuse some order of roles
            return
        self._refused |= self._written(self._spans(text), own)

    def tokens(self, contents: Sequence[str], render: Render, masked: Sequence[Render]) -> list[int]:
        """Return the tokens of a chat.

        `masked` fill masked contents into the template, with or without masks on its constants. Raises `BackendError`
        if the template changes the text of messages that may forge a control token, or if the tokenizer has no plain
        text for one.
        """
        return self.tokens_and_tail(contents, render, masked)[0]

    def tokens_and_tail(
        self, contents: Sequence[str], render: Render, masked: Sequence[Render]
    ) -> tuple[list[int], str]:
        """Return the tokens of a chat, and the text that the template writes after the last message; see `tokens`."""
        text, own = self._trace(contents, render, masked)
        spans = self._spans(text)
        ids = self._encode_piece(text, own, self._refused | self._written(spans, own), spans)
        return ids, text[own.rfind(1) + 1 :]

    def encode_own(self, text: str) -> list[int]:
        """Return the tokens of a text that the template writes within a chat, names of control tokens included."""
        return self._encode_inside(text, False)

    def encode_text(self, text: str) -> list[int]:
        """Return the tokens of a text that has no control token."""
        return self._encode_piece(text, b"\1" * len(text), self._refused, self._spans(text))

    def refuses(self, ids: Iterable[int]) -> bool:
        """Return whether these tokens include one that no message may contain."""
        return not self._refused.isdisjoint(ids)

    def _trace(self, contents: Sequence[str], render: Render, masked: Sequence[Render]) -> tuple[str, bytes]:
        """Return the chat, and a 1 for each of its characters that comes from a message."""
        text = render(contents)
        others = {code for content in contents for code in map(ord, set(content)) if code > 0xFFFF}
        astral = {code: ASTRAL_MASK + number for number, code in enumerate(sorted(others))}
        back = {private: code for code, private in astral.items()}
        for fill in masked:
            try:
                trace = fill([mask(content, astral) for content in contents])
            except BackendError:
                continue
            back |= {private: private - BMP_MASK for private in map(ord, set(trace)) if private >= BMP_MASK}
            if trace.translate(back) == text:
                return text, bytes(ord(character) >= ASTRAL_MASK for character in trace)
        if name := self._possible_forgery(contents):
            raise BackendError(
                f"The chat template changes the text of messages, so that it may produce the control token {name!r}.",
                "Give a chat_template that writes messages as they are.",
            )
        return text, bytes(len(text))

    def _possible_forgery(self, contents: Sequence[str]) -> str | None:
        """Return a refused name whose signs all occur in these texts, in any order, case or normal form."""
        joined = "".join(contents)
        forms = (joined, joined.lower(), joined.upper(), unicodedata.normalize("NFKC", joined))
        signs = {sign for form in forms for sign in form + self._normalize(form)}
        names = [self._names[token] for token in sorted(self._refused)]
        return next((name for name in names if name.strip() and signs >= _signs(name)), None)

    def _written(self, spans: Sequence[Span], own: bytes) -> set[int]:
        """Return the tokens in the chat that the template has written by itself."""
        found = {token for token, start, end in spans if 1 not in own[start:end]}
        return {token for token in found if not self._names[token].isspace()}

    def written_spans(self, text: str) -> list[Span]:
        """Return the names as they are written in the text; of two that overlap, the longer one."""
        present = sorted((name for name in self._known if name in text), key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, present)) or "(?!)")
        return [(self._known[match[0]], *match.span()) for match in pattern.finditer(text)]

    def _encode_piece(
        self, text: str, own: bytes, refused: set[int], spans: Sequence[Span], first: bool = True
    ) -> list[int]:
        """Return the tokens of a piece of a chat, with forged names as plain text."""
        forged = self._forged(text, own, refused, spans)
        if not forged:
            return self._encode(text, False) if first else self._encode_inside(text, False)
        ids: list[int] = []
        position = 0
        for start, end in [*forged, (len(text), len(text))]:
            piece = text[position:start]
            if piece or (first and not position):
                ids += self._encode_piece(
                    piece, own[position:start], refused, self._spans(piece), first and not position
                )
            if start < end:
                ids += self._encode_name(text[start:end], refused)
            position = end
        return ids

    def _forged(self, text: str, own: bytes, refused: set[int], spans: Sequence[Span]) -> list[tuple[int, int]]:
        """Return where refused names are that have a character of a message. Overlapping places are joined."""
        if 1 not in own:
            return []
        places = [(start, end) for token, start, end in spans if token in refused]
        for token in refused:
            name = self._names[token]
            places += [(found.start(), found.start() + len(name)) for found in _overlapping(name, text)]
        joined: list[tuple[int, int]] = []
        for start, end in sorted(place for place in places if 1 in own[slice(*place)]):
            if joined and start < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def _encode_name(self, name: str, refused: set[int]) -> list[int]:
        """Return the tokens of a name as plain text, in two pieces.

        llama.cpp recognizes some names in plain text, too, so the first cut that it does not recognize is used. The
        other tokenizers are asked for the same pieces, so that their ids are the same.
        """
        for cut in range(1, len(name) + 1):
            ids = self._encode_inside(name[:cut], True) + self._encode_inside(name[cut:], True)
            if refused.isdisjoint(ids):
                break
        if not refused.isdisjoint(ids):
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


def _signs(name: str) -> set[str]:
    """Return the punctuation of a name, or all its characters if there is none."""
    visible = {character for character in name if not character.isspace()}
    return {character for character in visible if not character.isalnum()} or visible


def _overlapping(name: str, text: str) -> Iterable[re.Match[str]]:
    return re.finditer(f"(?={re.escape(name)})", text) if name in text else ()
