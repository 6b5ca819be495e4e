"""Which of an agent's turns it learns from.

Source of the rules: Subramaniam et al. 2025 (arXiv 2501.05707), section 3 and algorithm 1; `success` is the rule of
SiriuS (arXiv 2502.04780), section 3.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from society.component import Component
from society.types import Turn

SELECTORS = {
    "agrees": "society.selectors:Agrees",
    "critic": "society.selectors:Critic",
    "success": "society.selectors:Success",
    "all": "society.selectors:All",
}
"""The built-in selectors by kind."""


@dataclass(frozen=True, slots=True)
class Case:
    """A turn that could be learned. `agrees`: its answer is the label. `agreed_first`: so was the agent's first
    answer in this debate. `success`: the society's decision is the label."""

    turn: Turn
    agrees: bool
    agreed_first: bool
    success: bool


Chosen = list[tuple[Case, str]]
"""What is learned, each with the name of the rule that took it."""


class Selector(Component, ABC):
    """The `select:` of a learner."""

    @abstractmethod
    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        """The cases to learn from, in the order given."""


class Agrees(Selector):
    """Turns whose answer is the label: the generators' set, and STaR's and majority finetuning's."""

    kind: Literal["agrees"] = "agrees"

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        return [(case, "agrees") for case in cases if case.agrees]


class Critic(Selector):
    """Final turns that are the label, of agents that corrected themselves (weight w) or stayed right (1 - w).

    The larger of the two sets is thinned at random until the shares are w and 1 - w. Where one set is empty the
    other is taken whole: there is nothing to mix.
    """

    kind: Literal["critic"] = "critic"
    w: float = Field(0.5, ge=0, le=1)

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        corrected = [case for case in cases if case.agrees and not case.agreed_first]
        stayed = [case for case in cases if case.agrees and case.agreed_first]
        if corrected and stayed:
            corrected, stayed = _mix(corrected, stayed, self.w, random.Random(seed))
        taken = {id(case): "corrected" for case in corrected} | {id(case): "stayed right" for case in stayed}
        return [(case, taken[id(case)]) for case in cases if id(case) in taken]


class Success(Selector):
    """Every turn of a debate whose decision is the label, whatever the turn itself says (role chains)."""

    kind: Literal["success"] = "success"

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        return [(case, "success") for case in cases if case.success]


class All(Selector):
    """Every turn of a debate that has a label."""

    kind: Literal["all"] = "all"

    def choose(self, cases: Sequence[Case], seed: int) -> Chosen:
        return [(case, "all") for case in cases]


def _mix(ones: list[Case], others: list[Case], w: float, draw: random.Random) -> tuple[list[Case], list[Case]]:
    """The largest random parts of both with a share `w` of the first (rounded to whole cases)."""
    total = min(len(ones) / w if w else float("inf"), len(others) / (1 - w) if w < 1 else float("inf"))
    return draw.sample(ones, round(total * w)), draw.sample(others, round(total * (1 - w)))
