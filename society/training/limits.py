"""Limits on rows and tokens of training data, so that two arms of a comparison are equal in compute.

Rows are limited separately for each source agent. So one adapter trained on all agents' data gets exactly as many rows
as the agents' own adapters together, from the same debates.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain

from society.components.selectors import Case, Chosen
from society.core.identity import derive_seed
from society.scenario.models.training import LearnerSpec

Row = tuple[Case, str]


def limit_rows(learner: LearnerSpec, chosen: Chosen, debates: int, seed: int) -> Chosen:
    """Return the rows within the learner's limits. For each source agent, the shares of the rules stay the same.

    `debates`: number of debates that the rows come from.
    """
    if learner.rows is None and learner.tokens is None:
        return chosen
    agents = dict.fromkeys(case.turn.id.agent for case, _ in chosen)
    most = learner.most_rows(debates)
    parts = [_limit(learner, most, [row for row in chosen if row[0].turn.id.agent == agent], seed) for agent in agents]
    place = {id(row): i for i, row in enumerate(chosen)}
    return sorted(chain.from_iterable(parts), key=lambda row: place[id(row)])


def _limit(learner: LearnerSpec, most: int | None, rows: Sequence[Row], seed: int) -> list[Row]:
    """Return rows of one source agent, drawn until there are `most` or their tokens are closest to the limit."""
    draw = random.Random(derive_seed(seed, "limit", rows[0][0].turn.id.agent))
    taken: list[Row] = []
    tokens = 0
    endless = most is None and not any(count_tokens(case) for case, _ in rows)
    for row in _draws(rows, draw, learner.repeat and not endless):
        size = count_tokens(row[0])
        if len(taken) == most:
            break
        if learner.tokens is not None and tokens + size / 2 > learner.tokens:
            break  # without this row, the total is closer to the limit
        taken.append(row)
        tokens += size
    return taken


def _draws(rows: Sequence[Row], draw: random.Random, repeat: bool) -> Iterator[Row]:
    """Yield all rows in a random order, once or repeatedly."""
    while True:
        yield from _balanced_order(rows, draw)
        if not repeat:
            return


def _balanced_order(rows: Sequence[Row], draw: random.Random) -> list[Row]:
    """Return the rows in a random order in which every prefix has each rule in about its share of all rows."""
    # Row i of n rows of a rule is placed at (i + 0.5) / n of the whole order.
    placed: list[tuple[float, int, Row]] = []
    for rule in dict.fromkeys(rule for _, rule in rows):
        own = [row for row in rows if row[1] == rule]
        draw.shuffle(own)
        placed += [((i + 0.5) / len(own), len(placed) + i, row) for i, row in enumerate(own)]
    return [row for _, _, row in sorted(placed, key=lambda entry: entry[:2])]


def count_tokens(case: Case) -> int:
    """Return the number of tokens of a row: prompt and reply. The reply's stored tokens count, if there are any."""
    turn = case.turn
    generated = turn.usage.generated_tokens if turn.tokens is None else len(turn.tokens)
    return turn.usage.prompt_tokens + generated
