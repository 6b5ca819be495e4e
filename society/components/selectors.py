"""Selectors choose the turns that become training rows, and may weigh them. `filters` has further ones.

Source of the rules: Subramaniam et al. 2025 (arXiv 2501.05707), section 3 and algorithm 1; `success` is the rule of
SiriuS (arXiv 2502.04780), section 3.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

from pydantic import AliasChoices, Field

from society.core.component import Component
from society.core.identity import derive_seed
from society.core.results import ResultError
from society.core.types import Turn

SELECTORS = {
    "agrees": "society.components.selectors:Agrees",
    "critic": "society.components.selectors:Critic",
    "success": "society.components.selectors:Success",
    "all": "society.components.selectors:All",
    "margin": "society.components.filters:Margin",
    "novel": "society.components.filters:Novel",
    "witness": "society.components.filters:Witness",
}
"""The built-in selectors by kind."""


@dataclass(frozen=True, slots=True)
class Case:
    """A turn that may become a training row."""

    turn: Turn
    agrees: bool
    """Whether the turn's answer is the label of its debate."""
    agreed_first: bool
    """Whether the agent's first answer in the debate is the label."""
    success: bool
    """Whether the society's decision is the label."""
    first_read: bool = True
    """Whether the agent's first turn has a readable answer."""
    share: float = 1.0
    """Share of the votes that the label has; 1 for a label without votes."""
    margin: float = 1.0
    """Share of the votes that the label has, less that of the next answer; 1 for a label without votes."""
    witnessed: bool = False
    """Whether the label is the only most frequent answer among the others' first answers, given before any reading."""
    group: Sequence[Turn] = ()
    """All turns on the question, of all iterations that are learned, that the learner could learn and whose answer is
    the label."""
    against: Sequence[Turn] = ()
    """The same turns whose readable answer is another one."""


Chosen = list[tuple[Case, str]]
"""Cases to learn from, each with the name of the rule that chose it."""
NOT_SELECTED = "not selected"


class Selector(Component, ABC):
    """The `select:` of a learner: a rule that chooses training rows."""

    compares_turns: ClassVar[bool] = False
    """Whether the rule takes only turns that follow an earlier turn of the same agent."""
    reads_votes: ClassVar[bool] = False
    """Whether the rule uses the votes behind the label."""
    takes_all: ClassVar[bool] = False
    """Whether the rule takes every turn of a debate with a label."""
    takes_debates: ClassVar[bool] = False
    """Whether the rule takes all turns of a debate or none."""

    @abstractmethod
    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        """Return the cases to learn from, in the order given."""

    def explain(self, cases: Sequence[Case], seed: int) -> Counter[str]:
        """Return the number of cases that `choose` leaves out, by reason."""
        return Counter({NOT_SELECTED: len(cases) - len(self.choose(cases, seed))})

    def weigh(self, cases: Sequence[Case], seed: int) -> Sequence[float]:
        """Return the weight of each chosen case in the loss, at least 0. A weight of 0 leaves the row out."""
        return [1.0] * len(cases)


class Agrees(Selector):
    """Turns whose answer is the label: the set of generators, of STaR and of majority finetuning."""

    kind: Literal["agrees"] = "agrees"

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        return [(case, "agrees") for case in cases if case.agrees]


class Critic(Selector):
    """Final turns whose answer is the label, of agents that corrected themselves or stayed right.

    For each source agent, the larger of the two sets is thinned at random. The shares are then `corrected_share` and
    1 - `corrected_share` (w and 1 - w in the paper). So one critic trained on all agents' data gets as many rows as the
    agents' own critics together. A turn after an unreadable first answer is of neither kind. Rows of one kind never
    replace rows of the other, unless `unmixed: take`.
    """

    compares_turns: ClassVar[bool] = True
    kind: Literal["critic"] = "critic"
    corrected_share: float = Field(0.5, ge=0, le=1, validation_alias=AliasChoices("corrected_share", "w"))
    """Share of rows in which the agent corrected itself. Formerly `w`, which is still accepted."""
    unmixed: Literal["skip", "take"] = "skip"
    """Treatment of an agent's rows if all are of one kind and `corrected_share` is neither 0 nor 1. `skip` omits them.
    `take` uses all of them, with the rule "... unmixed"."""

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        rules: dict[int, str] = {}
        for agent in dict.fromkeys(case.turn.id.agent for case in cases):
            own = [case for case in cases if case.turn.id.agent == agent]
            rules |= self._choose(own, random.Random(derive_seed(seed, "critic", agent)))
        return [(case, rules[id(case)]) for case in cases if id(case) in rules]

    def _choose(self, cases: Sequence[Case], draw: random.Random) -> dict[int, str]:
        """Return the rule that chooses each case of one agent, by the case's `id`."""
        corrected, stayed = split_cases(cases)
        suffix = ""
        if 0 < self.corrected_share < 1 and self.unmixed == "take" and not (corrected and stayed):
            suffix = " unmixed"
        else:
            corrected, stayed = _mix(corrected, stayed, self.corrected_share, draw)
        taken = {id(case): f"corrected{suffix}" for case in corrected}
        return taken | {id(case): f"stayed right{suffix}" for case in stayed}

    def explain(self, cases: Sequence[Case], seed: int) -> Counter[str]:
        taken = {id(case) for case, _ in self.choose(cases, seed)}
        found: Counter[str] = Counter()
        for agent in dict.fromkeys(case.turn.id.agent for case in cases):
            own = [case for case in cases if case.turn.id.agent == agent]
            corrected, stayed = split_cases(own)
            found += Counter(self._reason(case, bool(corrected), bool(stayed)) for case in own if id(case) not in taken)
        return found

    def _reason(self, case: Case, corrected: bool, stayed: bool) -> str:
        """Return why a case was left out. `corrected`, `stayed`: whether its agent has cases of that kind."""
        if not case.agrees:
            return NOT_SELECTED
        if not case.first_read:
            return "no readable first answer"
        if self.corrected_share in (0, 1):
            kind = "stayed right" if case.agreed_first else "corrected"
            return f"{kind}, with corrected_share {self.corrected_share:g}"
        if not (corrected and stayed):
            return f"no {'stayed right' if corrected else 'corrected'} rows to mix with"
        return "thinned to corrected_share"


def split_cases(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Return the cases in which the agent corrected itself, and those in which it stayed right."""
    label = [case for case in cases if case.agrees and case.first_read]
    return [case for case in label if not case.agreed_first], [case for case in label if case.agreed_first]


class Success(Selector):
    """All turns of a debate whose decision is the label, whatever their own answers are (role chains)."""

    takes_debates: ClassVar[bool] = True
    kind: Literal["success"] = "success"

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        return [(case, "success") for case in cases if case.success]


class All(Selector):
    """All turns of a debate that has a label."""

    takes_all: ClassVar[bool] = True
    kind: Literal["all"] = "all"

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        return [(case, "all") for case in cases]


def require_chosen(chosen: object, cases: Sequence[Case]) -> Chosen:
    """Return what `choose` returned for these cases. Raises `ResultError` unless it has each case at most once."""
    if not isinstance(chosen, list | tuple):
        raise ResultError(f"{type(chosen).__name__} instead of a list of cases and rules")
    left = {id(case) for case in cases}
    for entry in chosen:
        if not (isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], Case)):
            raise ResultError(f"a list with {type(entry).__name__} instead of a pair of a case and its rule")
        case, rule = entry
        if not isinstance(rule, str):
            raise ResultError(f"the rule {rule!r:.40}, which is no text,")
        if id(case) not in left:
            raise ResultError(f"a case of {case.turn.id.agent!r} that was not given, or is in the list twice,")
        left.remove(id(case))
    return [(case, rule) for case, rule in chosen]


def require_weights(weights: Iterable[float], count: int) -> list[float]:
    """Return what `weigh` returned for this many cases. Raises `ResultError` unless all are finite and at least 0."""
    found = [float(weight) for weight in weights]
    if len(found) != count:
        raise ResultError(f"{len(found)} weights for {count} cases")
    if wrong := [weight for weight in found if not 0 <= weight < inf]:
        raise ResultError(f"the weight {wrong[0]}, which is no finite number of at least 0,")
    return found


def _mix(ones: list[Case], others: list[Case], share: float, draw: random.Random) -> tuple[list[Case], list[Case]]:
    """Return the largest random parts of both in which the first has this `share` (rounded to whole cases)."""
    total = min(len(ones) / share if share else float("inf"), len(others) / (1 - share) if share < 1 else float("inf"))
    return draw.sample(ones, round(total * share)), draw.sample(others, round(total * (1 - share)))
