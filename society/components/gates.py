"""Which messages an edge lets through: looked at each time a reader is about to read a sender."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from pydantic import Field

from society.components.facts import GateFacts, Reasons, listing
from society.components.redundancy import differ_in_meaning, similarity
from society.core.component import Component
from society.core.types import Same, Turn

GATES = {
    "answered": "society.components.gates:Answered",
    "differs": "society.components.gates:Differs",
    "confident": "society.components.gates:Confident",
    "similarity": "society.components.gates:Similarity",
}
"""The built-in gates by kind."""


class Gate(Component, ABC):
    """An entry of an edge's `gate:`; a message passes when all of the edge's gates let it."""

    reads_confidence: ClassVar[bool] = False
    """Whether the rule uses the confidences of turns or votes."""

    @abstractmethod
    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        """Whether the reader, whose own latest turn is `reader`, is shown the sender's turn."""

    def idle(self, facts: GateFacts) -> Reasons:
        """Return why the gate lets everything through along these edges."""
        return {}

    def blocks(self, facts: GateFacts) -> Reasons:
        """Return why the gate lets nothing through along these edges."""
        return {}


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

    def idle(self, facts: GateFacts) -> Reasons:
        return compares_nothing(facts)


class Confident(Gate):
    """Only turns whose confidence is at least `least`; one that states none does not pass."""

    reads_confidence: ClassVar[bool] = True
    kind: Literal["confident"] = "confident"
    least: float = Field(0.5, ge=0, le=1)
    """The least confidence that passes, in [0, 1]."""

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        return sender.confidence is not None and sender.confidence >= self.least

    def blocks(self, facts: GateFacts) -> Reasons:
        if facts.confident:
            return {}
        return {"": "no sender has a confidence, so nobody is ever read; set `confidence: stated` in the senders' role"}

    def idle(self, facts: GateFacts) -> Reasons:
        silent = sorted(facts.senders - facts.confident)
        if not silent or not facts.confident:
            return {}
        return {"": f"is never passed by {listing(silent)}; set `confidence: stated` in their role"}


class Similarity(Gate):
    """Only texts unlike the reader's own: cosine similarity below `below` (as S2-MAD's filter of redundant views,
    with counts of words and pairs of neighbouring words in place of a sentence encoder).

    A message with another answer than the reader's always passes, as does one with an answer where the reader has
    none. Where no answers can be compared, so does a text with other numbers, signs or negations, or with the same
    words in another order.
    """

    kind: Literal["similarity"] = "similarity"
    below: float = Field(0.9, gt=0, le=1)
    """Only a similarity below this passes; 1 lets through all but equal texts."""

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        if reader is None:
            return True
        if sender.answer is not None and (reader.answer is None or not same(sender.answer, reader.answer)):
            return True
        comparable = sender.answer is not None
        if not comparable and differ_in_meaning(sender.text, reader.text):
            return True
        return similarity(sender.text, reader.text) < self.below

    def idle(self, facts: GateFacts) -> Reasons:
        return compares_nothing(facts)


def compares_nothing(facts: GateFacts) -> Reasons:
    """Return why a gate that compares a message with the reader's own turn lets everything through."""
    if facts.readers_spoke:
        return {}
    return {"": "holds nothing back: no reader has said anything before it reads; give the phase `rounds: 2`"}
