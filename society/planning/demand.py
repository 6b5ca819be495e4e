"""What a scenario asks of its backends: the longest prompts, the most requests at a time; and backends made to fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from backends.base import BackendConfig, Count, Demand
from society.core.types import ChatMessage, Item
from society.planning.dry_run import dry_run, rough_count
from society.scenario.expand import Society

CANDIDATES = 32
"""So many of the questions with the most characters are counted, to find the one with the most tokens."""


def fit_backends(society: Society, items: Sequence[Item]) -> Society:
    """The society with backends of the sizes that debates on these questions need, where the scenario leaves them open.

    Raises `InputError` when one cannot fit into memory, with what would fit.
    """
    plans = [plan for phase in society.phases for plan in phase.agents.values()]
    fitted: dict[str, BackendConfig] = {}
    for name in dict.fromkeys(plan.backend for plan in plans):
        own = [plan for plan in plans if plan.backend == name]
        adapters = [Path(adapter) for adapter in dict.fromkeys(plan.adapter for plan in own) if adapter]
        config = society.scenario.backends[name]
        with config.token_counter(max(plan.sampling.max_tokens for plan in own)) as count:
            demand = None if count is None else find_demand(society, items, name, count)
        if demand is not None:
            fitted[name] = config.fitted(demand, adapters)
    backends = {**society.scenario.backends, **fitted}
    return replace(society, scenario=society.scenario.model_copy(update={"backends": backends}))


def find_demand(society: Society, items: Sequence[Item], backend: str, count: Count) -> Demand:
    """What debates on these questions ask of this backend, by a dry run on the longest of them."""
    counts = {**dict.fromkeys(society.scenario.backends, rough_count), backend: count}
    turns = [turn for turn in dry_run(society, longest(items, count), counts) if turn.backend == backend]
    together = Counter((turn.phase, turn.round) for turn in turns)
    debates = min(society.scenario.concurrency, len(items) * society.scenario.samples)
    return Demand(
        max((turn.prompt + turn.answer for turn in turns), default=0), max(together.values(), default=0) * debates
    )


def longest(items: Sequence[Item], count: Count) -> Item:
    """The question with the most tokens, sought among those with the most characters."""
    by_characters = sorted(items, key=lambda item: len(item.question), reverse=True)
    return max(by_characters[:CANDIDATES], key=lambda item: count([ChatMessage("user", item.question)]))
