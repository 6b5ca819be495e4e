"""Tokens to text, one at a time, with characters and stop texts that are split over tokens."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """The text of a growing reply. After a stop text, `stopped` is true and the text ends before the stop text."""

    def __init__(self, stop: Sequence[str] = (), trims: bool = False) -> None:
        """`trims`: leave out space before the text."""
        self._trims = trims
        self._stop = tuple(filter(None, stop))
        self._longest = max(map(len, self._stop), default=0)
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self.text = ""
        self.stopped = False

    def add(self, piece: bytes) -> None:
        """Append the bytes of one token. An incomplete character waits for the next token."""
        seen = len(self.text)
        self.text += self._decode(piece)
        if self._trims:
            self.text = self.text.lstrip()
            self._trims = not self.text
        if self._stop:
            start = max(0, seen - self._longest + 1)
            places = [at for stop in self._stop if (at := self.text.find(stop, start)) >= 0]
            if places:
                self.text, self.stopped = self.text[: min(places)], True
