"""Limits on rows and tokens of training data, so that two arms of a comparison are equal in compute.

Rows are limited separately for each source agent. So one adapter trained on all agents' data gets exactly as many rows
as the agents' own adapters together, from the same debates.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import ceil

from society.components.selectors import Case
from society.core.exchanges import count_replies, replies
from society.core.identity import derive_seed
from society.core.types import Turn
from society.scenario.models.training import LearnerSpec


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A chosen turn, the rule that chose it, and its weight in the loss.

    `against` is the undesired reply of a pair. A row that is not `desired` is an undesired reply by itself.
    """

    case: Case
    rule: str = ""
    weight: float = 1.0
    against: Turn | None = None
    desired: bool = True

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of the row: one, or the two of a pair."""
        return (self.case.turn,) if self.against is None else (self.case.turn, self.against)

    @property
    def replies(self) -> int:
        """The number of training rows that it gives: one for each reply."""
        return sum(map(count_replies, self.turns))

    @property
    def tokens(self) -> int:
        """The number of tokens of the row: prompts and replies."""
        return sum(map(count_tokens, self.turns))

    def chosen(self, rule: str, weight: float) -> Row:
        """Return the row after a further selector chose it."""
        return replace(self, rule=f"{self.rule}, {rule}" if self.rule else rule, weight=self.weight * weight)


def limit_rows(learner: LearnerSpec, chosen: Sequence[Row], debates: int, seed: int) -> list[Row]:
    """Return the rows within the learner's limits. For each source agent, the shares of the rules stay the same.

    `debates`: number of debates that the rows come from.
    """
    if learner.rows is None and learner.tokens is None:
        return list(chosen)
    agents = dict.fromkeys(row.case.turn.id.agent for row in chosen)
    most = learner.most_rows(debates)
    parts = [
        _limit(learner, most, [row for row in chosen if row.case.turn.id.agent == agent], seed) for agent in agents
    ]
    place = {id(row): i for i, row in enumerate(chosen)}
    return sorted(chain.from_iterable(parts), key=lambda row: place[id(row)])


def _limit(learner: LearnerSpec, most: int | None, rows: Sequence[Row], seed: int) -> list[Row]:
    """Return rows of one source agent, drawn until there are `most` or their tokens are closest to the limit.

    A turn is taken with all its replies or not at all. There are never more undesired replies than desired ones.
    """
    draw = random.Random(derive_seed(seed, "limit", rows[0].case.turn.id.agent))
    taken: list[Row] = []
    count = tokens = lead = 0
    repeats = learner.repeat and (most is not None or any(row.tokens for row in rows))
    while True:
        before = len(taken)
        for row in _balanced_order(rows, draw):
            size, parts = row.tokens, row.replies
            if (most is not None and count + parts > most) or (not row.desired and parts > lead):
                continue
            if learner.tokens is not None and tokens + size / 2 > learner.tokens:
                return taken  # without this row, the total is closer to the limit
            taken.append(row)
            count += parts
            tokens += size
            lead += parts if row.desired else -parts
        if not repeats or len(taken) == before:
            return taken


def _balanced_order(rows: Sequence[Row], draw: random.Random) -> list[Row]:
    """Return the rows in a random order in which every prefix has each rule in about its share of all rows.

    No prefix has more undesired rows than desired ones, if there are no more of them in all.
    """
    # Row i of n rows of a rule is placed at (i + 0.5) / n of the whole order.
    placed: list[tuple[float, int, Row]] = []
    undesired: list[Row] = []
    for rule, desired in dict.fromkeys((row.rule, row.desired) for row in rows):
        own = [row for row in rows if (row.rule, row.desired) == (rule, desired)]
        draw.shuffle(own)
        if not desired:
            undesired += own
        else:
            placed += [((i + 0.5) / len(own), len(placed) + i, row) for i, row in enumerate(own)]
    found = [row for _, _, row in sorted(placed, key=lambda entry: entry[:2])]
    # Undesired row i of n follows the first (i + 1) / n of the desired rows.
    for i, row in reversed([*enumerate(undesired)]):
        found.insert(ceil((i + 1) / len(undesired) * len(placed)), row)
    return found


def count_tokens(turn: Turn) -> int:
    """Return the number of tokens of the rows of a turn: prompts and replies. Stored tokens count if there are any."""
    learned = [reply for _, reply in replies(turn)]
    generated = [r.usage.generated_tokens if r.tokens is None else len(r.tokens) for r in learned]
    return turn.usage.prompt_tokens + sum(generated)
