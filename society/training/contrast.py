"""Undesired replies for objectives that prefer some replies to others: turns with another answer than the label."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import fmean

from backends.objectives import Objective
from backends.training import UNBALANCED
from society.components.faults import faults_of
from society.components.selectors import NOT_SELECTED, Case
from society.core.exchanges import count_replies
from society.core.identity import derive_seed
from society.core.types import Same, Turn, TurnId
from society.training.limits import Row

AGAINST = "against"
"""Rule of rows with an undesired reply."""
NO_OPPOSITE = "no turn with another answer to compare with"
SEVERAL = "calls tools, so it has no single prompt"
"""Reasons why turns are left out."""


PromptOptions = Callable[[Turn], object]
"""Returns what shaped the prompt of a turn beside its messages."""


@dataclass(frozen=True, slots=True)
class Chooser:
    """The facts that decide which replies are undesired.

    `desired` are the turns that are selected for any agent of the learner: they are never undesired replies, whatever
    their answers are. `same` compares answers. `options` returns what shaped the prompt of a turn beside its messages.
    `place` names the training in errors.
    """

    objective: Objective
    desired: Set[TurnId]
    same: Same
    seed: int
    options: PromptOptions
    place: str = ""


def contrast(chooser: Chooser, rows: Sequence[Row], cases: Sequence[Case], left_out: Counter[str]) -> list[Row]:
    """Return the selected rows with the undesired replies that the objective needs.

    `cases` are all turns of the source agents that may be learned. Turns that are left out are counted.
    """
    objective = chooser.objective
    if objective.contrast == "pair":
        with faults_of(objective, "opposes", chooser.place):
            return _pair(chooser, rows, left_out)
    others = [case for case in cases if _is_against(case) and case.turn.id not in chooser.desired]
    return [*rows, *_undesired(rows, others, chooser.seed, left_out)] if objective.contrast == "single" else list(rows)


def _pair(chooser: Chooser, rows: Sequence[Row], left_out: Counter[str]) -> list[Row]:
    """Return each row with a random undesired reply, without those for which there is none."""
    found = []
    for row in rows:
        if count_replies(row.case.turn) > 1:
            left_out[SEVERAL] += 1
        elif others := [turn for turn in row.case.against if _opposes(chooser, row.case.turn, turn)]:
            draw = random.Random(derive_seed(chooser.seed, AGAINST, str(row.case.turn.id)))
            found.append(replace(row, against=draw.choice(others)))
        else:
            left_out[NO_OPPOSITE] += 1
    return found


def _opposes(chooser: Chooser, turn: Turn, other: Turn) -> bool:
    """Return whether another turn may be the undesired reply of a pair with this one: it has another answer."""
    if other.id in chooser.desired or count_replies(other) > 1:
        return False
    is_same = None not in (turn.answer, other.answer) and chooser.same(turn.answer or "", other.answer or "")
    if is_same or not (chooser.objective.crosses_prompts or chooser.options(turn) == chooser.options(other)):
        return False
    return chooser.objective.opposes(turn, other)


def _undesired(rows: Sequence[Row], others: Sequence[Case], seed: int, left_out: Counter[str]) -> list[Row]:
    """Return turns with another answer as rows of their own, at most as many for each agent as it has selected rows.

    Each has the mean weight of the agent's selected rows. `others` are the turns with another answer, which the
    selectors have counted as not selected.
    """
    found: list[Row] = []
    for agent in dict.fromkeys(case.turn.id.agent for case in others):
        own = [case for case in others if case.turn.id.agent == agent]
        desired = [row for row in rows if row.case.turn.id.agent == agent]
        most, weight = sum(row.replies for row in desired), fmean([row.weight for row in desired] or [1.0])
        draw = random.Random(derive_seed(seed, AGAINST, agent))
        drawn = draw.sample(range(len(own)), min(most, len(own)))
        counts = accumulate(count_replies(own[i].turn) for i in drawn)
        taken = [i for i, count in zip(drawn, counts, strict=True) if count <= most]
        found += [Row(own[i], AGAINST, weight, desired=False) for i in sorted(taken)]
        left_out[UNBALANCED] += len(own) - len(taken)
        left_out[NOT_SELECTED] -= len(own)
    return found


def _is_against(case: Case) -> bool:
    return not case.agrees and case.turn.answer is not None
