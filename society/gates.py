"""Which messages an edge lets through: looked at each time a reader is about to read a sender."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections import Counter
from typing import Literal

from pydantic import Field

from society.component import Component
from society.types import Same, Turn

GATES = {
    "answered": "society.gates:Answered",
    "differs": "society.gates:Differs",
    "confident": "society.gates:Confident",
    "similarity": "society.gates:Similarity",
}
"""The built-in gates by kind."""


class Gate(Component, ABC):
    """An entry of an edge's `gate:`; a message passes when all of the edge's gates let it."""

    @abstractmethod
    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        """Whether the reader, whose own latest turn is `reader`, is shown the sender's turn."""


class Answered(Gate):
    """Only turns with a readable answer."""

    kind: Literal["answered"] = "answered"

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        return sender.answer is not None


class Differs(Gate):
    """Only answers that are not the reader's own: agreement carries no news."""

    kind: Literal["differs"] = "differs"

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        if reader is None or reader.answer is None or sender.answer is None:
            return True
        return not same(sender.answer, reader.answer)


class Confident(Gate):
    """Only turns whose confidence is at least `least`; one that states none does not pass."""

    kind: Literal["confident"] = "confident"
    least: float = Field(0.5, ge=0, le=1)
    """The least confidence that passes, in [0, 1]."""

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        return sender.confidence is not None and sender.confidence >= self.least


class Similarity(Gate):
    """Only texts unlike the reader's own: cosine similarity of word counts below `below` (as S2-MAD's filter of
    redundant views, with word counts in place of a sentence encoder)."""

    kind: Literal["similarity"] = "similarity"
    below: float = Field(0.9, gt=0, le=1)
    """Only a similarity below this passes; 1 lets through all but equal texts."""

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        return reader is None or cosine(sender.text, reader.text) < self.below


def cosine(one: str, other: str) -> float:
    """Cosine similarity of two texts' word counts, in [0, 1]; 0 if either has no words."""
    a, b = (Counter(re.findall(r"\w+", text.lower())) for text in (one, other))
    norm = math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
    return sum(count * b[word] for word, count in a.items()) / norm if norm else 0.0
