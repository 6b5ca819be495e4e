"""Limits on what a learner learns from: rows and tokens of each source agent, so that two arms are equal in compute.

Rows are limited for each source agent by itself. So one adapter on everybody's data gets exactly as many as the agents'
own adapters together, from the same debates.
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
    """Return the rows within the learner's limits, source agent by source agent, rules in the shares that they had.

    `debates` is the number of debates that the rows were taken from.
    """
    if learner.rows is None and learner.tokens is None:
        return chosen
    agents = dict.fromkeys(case.turn.id.agent for case, _ in chosen)
    most = learner.most_rows(debates)
    parts = [_limit(learner, most, [row for row in chosen if row[0].turn.id.agent == agent], seed) for agent in agents]
    place = {id(row): i for i, row in enumerate(chosen)}
    return sorted(chain.from_iterable(parts), key=lambda row: place[id(row)])


def _limit(learner: LearnerSpec, most: int | None, rows: Sequence[Row], seed: int) -> list[Row]:
    """The rows of one source agent: drawn until there are `most`, or their tokens are as near to `tokens` as can be."""
    draw = random.Random(derive_seed(seed, "limit", rows[0][0].turn.id.agent))
    taken: list[Row] = []
    tokens = 0
    endless = most is None and not any(count_tokens(case) for case, _ in rows)
    for row in _passes(rows, draw, learner.repeat and not endless):
        size = count_tokens(row[0])
        if len(taken) == most:
            break
        if learner.tokens is not None and tokens + size / 2 > learner.tokens:
            break  # without this row the total is nearer to the limit
        taken.append(row)
        tokens += size
    return taken


def _passes(rows: Sequence[Row], draw: random.Random, repeat: bool) -> Iterator[Row]:
    """All rows in a random order, once or again and again."""
    while True:
        yield from _mixed(rows, draw)
        if not repeat:
            return


def _mixed(rows: Sequence[Row], draw: random.Random) -> list[Row]:
    """The rows in a random order in which every beginning has each rule in about its share of all rows."""
    placed: list[tuple[float, int, Row]] = []
    for rule in dict.fromkeys(rule for _, rule in rows):
        own = [row for row in rows if row[1] == rule]
        draw.shuffle(own)
        placed += [((i + 0.5) / len(own), len(placed) + i, row) for i, row in enumerate(own)]
    return [row for _, _, row in sorted(placed, key=lambda entry: entry[:2])]


def count_tokens(case: Case) -> int:
    """Return the tokens of a row: what the model read, and what it wrote as far as that was stored, else as counted."""
    turn = case.turn
    written = turn.usage.generated_tokens if turn.tokens is None else len(turn.tokens)
    return turn.usage.prompt_tokens + written
