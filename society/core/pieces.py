"""Replies in pieces, for those who watch a debate as it is spoken.

Piece     a part of a growing reply
Growing   the reply that the pieces so far make up
Pieces    turns the states of a growing reply into pieces
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the text of a reply, or of its thought, which begins at character `at` of it.

    Where `at` is smaller than the length so far, the characters from there on are taken back: a backend may learn
    late that what it sent was a thought, or an attempt failed and another begins.
    """

    text: str
    at: int
    thought: bool = False


OnPiece = Callable[[Piece], None]
"""Receives the pieces of one reply in their order, in the event loop that asked for the reply."""


@dataclass(slots=True)
class Growing:
    """The thought and the text of a reply as far as its pieces are known."""

    thought: str = ""
    text: str = ""

    def add(self, piece: Piece) -> None:
        """Add the next piece."""
        if piece.thought:
            self.thought = self.thought[: piece.at] + piece.text
        else:
            self.text = self.text[: piece.at] + piece.text


class Pieces:
    """Sends the difference between each state of a growing reply and the state before it.

    Characters that the finished reply may not have are held back: a beginning of a stop text, a part of a character,
    and space at the end.
    """

    def __init__(self, send: OnPiece, stops: Sequence[str] = ()) -> None:
        self._send, self._stops = send, tuple(filter(None, stops))
        self._sent = Growing()

    def update(self, thought: str, text: str) -> None:
        """Send what is new in the thought and the text of an unfinished reply."""
        self._emit(_certain(thought), _certain(text[: len(text) - self._doubtful(text)]))

    def finish(self, thought: str, text: str) -> None:
        """Send what is new in the finished reply."""
        self._emit(thought, text)

    def _emit(self, thought: str, text: str) -> None:
        for is_thought, before, now in ((True, self._sent.thought, thought), (False, self._sent.text, text)):
            if before != now:
                at = len(before) if now.startswith(before) else _common(before, now)
                self._send(Piece(now[at:], at, is_thought))
        self._sent = Growing(thought, text)

    def _doubtful(self, text: str) -> int:
        """Return the number of characters at the end that may begin a stop text."""
        for stop in self._stops:
            if (at := text.find(stop)) >= 0:
                return len(text) - at
        lengths = (n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
        return max(lengths, default=0)


def _common(before: str, now: str) -> int:
    """Return the number of characters with which both texts begin."""
    differs = (i for i, (one, other) in enumerate(zip(before, now, strict=False)) if one != other)
    return next(differs, min(len(before), len(now)))


def _certain(text: str) -> str:
    return text.rstrip("\ufffd").rstrip()
