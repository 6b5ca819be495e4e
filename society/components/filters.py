"""Selectors that keep or weigh rows by the vote behind their label, by their novelty, and by witnesses.

They follow another selector in a list: `select: [agrees, {kind: margin, least: 0.6}]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from society.components.redundancy import Words
from society.components.selectors import Case, Chosen, Selector
from society.core.errors import FieldError
from society.core.types import Turn, TurnId


class Margin(Selector):
    """Turns whose answer is the label, if its share of the votes is large enough. Weight: margin ** `power`.

    The share f_1 is that of the label, and the margin f_1 - f_2 is its lead over the next answer. Labels without votes
    have the share and margin 1. Source: RESTRAIN (arXiv 2510.02172).
    """

    reads_votes: ClassVar[bool] = True
    kind: Literal["margin"] = "margin"
    least: float = Field(0.0, ge=0, le=1)
    """Minimum share of the votes that the label has."""
    power: float = Field(1.0, ge=0, le=10)
    """Exponent of the margin in the weight of a row. With 0, all rows weigh the same."""

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        return [(case, "margin") for case in cases if case.agrees and case.share >= self.least - 1e-9]

    def weigh(self, cases: Sequence[Case], seed: int) -> Sequence[float]:
        return [max(case.margin, 0.0) ** self.power for case in cases]


class Witness(Selector):
    """Turns whose answer is the label. A correction counts only with witnesses.

    The others' first answers, given before anybody read anything, must have the label as their only most frequent
    answer. A turn after an unreadable first answer needs witnesses, too.
    """

    compares_turns: ClassVar[bool] = True
    kind: Literal["witness"] = "witness"

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        return [(case, "witness") for case in cases if case.agrees and (case.agreed_first or case.witnessed)]


class Novel(Selector):
    """Turns whose answer is the label, by their novelty: they are weighted by it, or the most novel ones are taken.

    Novelty is 1 - (`alpha` * g + (1 - `alpha`) * s). Here g is the mean similarity to the other turns on the question
    whose answer is the label. And s is the largest similarity to another row of the same agent. That row is of the same
    iteration or, with `accumulate`, on the same question. Similarity is that of words and pairs of words, in [0, 1].
    Source: EVOL-RL (arXiv 2509.15194), equation 3, with words in place of embeddings.
    """

    kind: Literal["novel"] = "novel"
    alpha: float = Field(0.5, ge=0, le=1)
    """Weight of the similarity to turns on the same question."""
    power: float = Field(1.0, ge=0, le=10)
    """Exponent of the novelty in the weight of a row. With 0, all rows weigh the same."""
    top: int | None = Field(None, ge=1)
    """Maximum number of rows of each agent and question, the most novel ones."""
    share: float | None = Field(None, gt=0, lt=1)
    """Share of each agent's rows that are taken, the most novel ones."""

    @model_validator(mode="after")
    def _check_effect(self) -> Self:
        if self.power == 0 and self.top is None and self.share is None:
            raise FieldError("`power: 0` without `top` and `share` changes nothing; set one of them", "power")
        return self

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        able = [case for case in cases if case.agrees]
        if self.top is None and self.share is None:
            return [(case, "novel") for case in able]
        novelty = dict(zip(map(id, able), self._novelties(able), strict=True))
        kept: set[int] = set()
        for agent in dict.fromkeys(case.turn.id.agent for case in able):
            own = [case for case in able if case.turn.id.agent == agent]
            kept |= {id(case) for case in self._most_novel(own, novelty)}
        return [(case, "novel") for case in able if id(case) in kept]

    def _most_novel(self, own: Sequence[Case], novelty: Mapping[int, float]) -> Sequence[Case]:
        """Return the rows of one agent within `top` and `share`."""
        ranked = sorted(own, key=lambda case: -novelty[id(case)])
        taken: dict[str, int] = {}
        kept = []
        for case in ranked:
            item = case.turn.id.item
            taken[item] = taken.get(item, 0) + 1
            if self.top is None or taken[item] <= self.top:
                kept.append(case)
        return kept if self.share is None else kept[: max(1, round(self.share * len(own)))]

    def weigh(self, cases: Sequence[Case], seed: int) -> Sequence[float]:
        return [value**self.power for value in self._novelties(cases)] if self.power else [1.0] * len(cases)

    def _novelties(self, cases: Sequence[Case]) -> list[float]:
        """Return the novelty of each case, in [0, 1]."""
        words = {case.turn.id: Words(case.turn.text) for case in cases}
        together: dict[tuple[str, int | str], list[Case]] = {}
        for case in cases:
            for place in (case.turn.id.iteration, case.turn.id.item):
                together.setdefault((case.turn.id.agent, place), []).append(case)
        found = []
        for case in cases:
            own, turn = words[case.turn.id], case.turn.id
            group = [own.similarity(_words(other, words)) for other in case.group if other.id != turn]
            peers = [c for c in together[turn.agent, turn.iteration] if c is not case]
            peers += [c for c in together[turn.agent, turn.item] if c.turn.id.iteration != turn.iteration]
            rows = [own.similarity(words[c.turn.id]) for c in peers]
            mean = sum(group) / len(group) if group else 0.0
            found.append(1 - (self.alpha * mean + (1 - self.alpha) * max(rows, default=0.0)))
        return [min(1.0, max(0.0, value)) for value in found]


def _words(turn: Turn, known: dict[TurnId, Words]) -> Words:
    """Return the words of a turn, counted once."""
    if turn.id not in known:
        known[turn.id] = Words(turn.text)
    return known[turn.id]
