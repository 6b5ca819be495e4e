"""Undesired replies for objectives that prefer some replies to others: turns with another answer than the label."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace

from backends.objectives import Objective
from society.components.faults import faults_of
from society.components.selectors import NOT_SELECTED, Case
from society.core.exchanges import count_replies
from society.core.identity import derive_seed
from society.core.types import TurnId
from society.training.limits import Row

AGAINST = "against"
"""Rule of rows with an undesired reply."""
NO_OPPOSITE = "no turn with another answer to compare with"
UNBALANCED = "more undesired than desired rows"
SEVERAL = "calls tools, so it has no single prompt"
"""Reasons why turns are left out."""


def contrast(
    objective: Objective,
    rows: Sequence[Row],
    cases: Sequence[Case],
    seed: int,
    left_out: Counter[str],
    place: str = "",
) -> list[Row]:
    """Return the selected rows with the undesired replies that the objective needs.

    `cases` are all turns of the source agents that may be learned. Turns that are left out are counted. A selected turn
    is never an undesired reply, whatever its answer is.
    """
    selected = {row.case.turn.id for row in rows}
    if objective.contrast == "pair":
        with faults_of(objective, "opposes", place):
            return _pair(objective, rows, selected, seed, left_out)
    others = [case for case in cases if _is_against(case) and case.turn.id not in selected]
    return [*rows, *_undesired(rows, others, seed, left_out)] if objective.contrast == "single" else list(rows)


def _pair(
    objective: Objective, rows: Sequence[Row], selected: Set[TurnId], seed: int, left_out: Counter[str]
) -> list[Row]:
    """Return each row with a random undesired reply, without those for which there is none."""
    found = []
    for row in rows:
        if count_replies(row.case.turn) > 1:
            left_out[SEVERAL] += 1
            continue
        alone = [turn for turn in row.case.against if turn.id not in selected and count_replies(turn) == 1]
        others = [turn for turn in alone if objective.opposes(row.case.turn, turn)]
        if others:
            draw = random.Random(derive_seed(seed, AGAINST, str(row.case.turn.id)))
            found.append(replace(row, against=draw.choice(others)))
        else:
            left_out[NO_OPPOSITE] += 1
    return found


def _undesired(rows: Sequence[Row], others: Sequence[Case], seed: int, left_out: Counter[str]) -> list[Row]:
    """Return turns with another answer as rows of their own: of each agent at most as many as it has selected rows.

    Each has the mean weight of the agent's selected rows. `others` are the turns with another answer, which the
    selectors have counted as not selected.
    """
    found: list[Row] = []
    for agent in dict.fromkeys(case.turn.id.agent for case in others):
        own = [case for case in others if case.turn.id.agent == agent]
        weights = [row.weight for row in rows if row.case.turn.id.agent == agent]
        most, weight = len(weights), sum(weights) / max(len(weights), 1)
        draw = random.Random(derive_seed(seed, AGAINST, agent))
        taken = draw.sample(range(len(own)), min(most, len(own)))
        found += [Row(own[i], AGAINST, weight, desired=False) for i in sorted(taken)]
        left_out[UNBALANCED] += len(own) - len(taken)
        left_out[NOT_SELECTED] -= len(own)
    return found


def _is_against(case: Case) -> bool:
    return not case.agrees and case.turn.answer is not None
