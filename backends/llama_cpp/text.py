"""Tokens to text, one at a time: characters split over tokens, and stop strings split over tokens."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """The text of a growing reply. `stopped` once a stop string has appeared; the text ends before it."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(filter(None, stop))
        self._longest = max(map(len, self._stop), default=0)
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self.text = ""
        self.stopped = False

    def add(self, piece: bytes) -> None:
        """Append the bytes of one more token; an unfinished character waits for the next."""
        seen = len(self.text)
        self.text += self._decode(piece)
        if self._stop:
            start = max(0, seen - self._longest + 1)
            places = [at for stop in self._stop if (at := self.text.find(stop, start)) >= 0]
            if places:
                self.text, self.stopped = self.text[: min(places)], True
